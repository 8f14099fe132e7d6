"""Top-N in two stages: approximate scores of all items, then the model on each user's best candidates alone.

The matrix of scores [users x items] of a trained model is close to one of low rank: a user's scores of a few
landmark items tell his others. S ~ S[:, landmarks] B is the pseudo-skeleton (CUR) approximation of Goreinov,
Tyrtyshnikov and Zamarashkin, "A theory of pseudoskeleton approximations", Linear Algebra and its Applications 261
(1997). Here the exact scores of a sample of users choose the landmarks and, by ridge regression, give B. Nothing but
codes and scores is asked of a model. What comes out are its own scores; approximate is only which items get one.

Legend: U users of a block, I items, L landmarks, P candidates of a user, N items recommended, M users fitted on,
G groups of items, R directions of a sketch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from widedeep.models import Recommender
from widedeep.scoring.scorer import BLOCK, Scorer, best_columns, hide

# Users whose exact scores the approximation is fitted on; twice as many find no more.
FIT_USERS = 1024
# Of the landmarks' mean square. Scores hold no noise, so this only keeps alike landmarks apart.
RIDGE = 1e-4
# Items in a group of `rough_top`: the fastest of 4, 8, 16 and 32 with some hundred candidates of 5 K items and more.
GROUP = 8


@dataclass(frozen=True)
class Approximation:
    """Scores of all items as a linear function of those of the landmarks."""

    landmarks: Tensor  # [L] int64, positions
    slope: Tensor  # [L, I] float32
    intercept: Tensor  # [I] float32

    def to_bytes(self) -> bytes:
        """As a safetensors file, to be sent to other machines."""
        return save({"landmarks": self.landmarks, "slope": self.slope, "intercept": self.intercept})

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Approximation":
        """What `to_bytes` made."""
        return cls(**load(stored))


@torch.inference_mode()
def fit(scorer: Scorer, users: np.ndarray, landmarks: int) -> Approximation:
    """Choose the landmarks and fit all items' scores to theirs.

    Args:
        scorer: gives exact scores.
        users: [M] int32 positions of users like those to be scored; FIT_USERS are enough.
        landmarks: L; all items if there are fewer.

    """
    blocks = [torch.from_numpy(users[low : low + BLOCK]) for low in range(0, len(users), BLOCK)]
    scores = torch.cat([scorer.scores(block).cpu() for block in blocks])  # [M, I]
    mean = scores.mean(0)
    scores -= mean
    # What moves all items of a user alike does not order them: it should choose no landmark.
    chosen = spread_columns(scores - scores.mean(1, keepdim=True), min(landmarks, scores.shape[1]))
    known = scores[:, chosen]  # [M, L]
    gram = (known.T @ known).double()
    gram.diagonal().add_((RIDGE * gram.diagonal().mean()).clamp_min(1e-12))
    slope = torch.linalg.solve(gram, (known.T @ scores).double()).float()  # [L, I]
    return Approximation(chosen, slope.contiguous(), mean - mean[chosen] @ slope)


def spread_columns(matrix: Tensor, count: int) -> Tensor:
    """Columns that span the others well: each is the one farthest from the span of those before it.

    This is QR with column pivoting, on a random sketch of the rows, which keeps lengths and angles well enough.

    Args:
        matrix: [M, I].
        count: how many, at most I.

    Returns:
        [count] int64 columns, in the order they were chosen.

    """
    directions = min(len(matrix), 2 * count + 8)
    random = torch.randn(directions, len(matrix), generator=torch.Generator().manual_seed(0))
    rest = random @ matrix  # [R, I], what is left of each column
    chosen: list[int] = []
    for _ in range(count):
        lengths = rest.square().sum(0)
        lengths[chosen] = -1.0
        chosen.append(int(lengths.argmax()))
        axis = rest[:, chosen[-1]] / rest[:, chosen[-1]].norm().clamp_min(1e-12)  # [R]
        rest = rest - axis[:, None] * (axis @ rest)
    return torch.tensor(chosen)


class TwoStageScorer(Scorer):
    """A scorer that asks the model only for the scores of the landmarks and of each user's candidates."""

    def __init__(
        self,
        model: Recommender,
        items: int,
        approximation: Approximation,
        candidates: int,
        device: torch.device | None = None,
    ):
        super().__init__(model, items, device)
        self._candidates = min(candidates, items)
        self._landmarks = self._codes[approximation.landmarks]  # [L, C]
        # Filled up to whole groups by items that nobody is offered.
        filling = (0, -items % GROUP)
        self._slope = torch.nn.functional.pad(approximation.slope, filling).to(self._device)  # [L, G * GROUP]
        self._intercept = torch.nn.functional.pad(approximation.intercept, filling, value=-torch.inf).to(self._device)
        self._rough = torch.empty(BLOCK, len(self._intercept), device=self._device)

    def best_of_block(self, users: Tensor, seen: Sequence[np.ndarray], n: int) -> tuple[Tensor, Tensor]:
        """As of Scorer, among the candidates; n is at most their number."""
        codes = self._model.encode_users(users.to(self._device))
        known = torch.empty(len(users), len(self._landmarks), device=self._device)
        self._model.score_block(codes, self._landmarks, known)
        rough = torch.addmm(self._intercept, known, self._slope, out=self._rough[: len(users)])  # [U, G * GROUP]
        hide(rough, seen)
        chosen = rough_top(rough, self._candidates)  # [U, P]
        hidden = rough.gather(1, chosen) == -torch.inf
        chosen.clamp_(max=self._items - 1)
        scores = torch.empty(chosen.shape, device=self._device)
        self._model.score_chosen(codes, self._codes, chosen, scores)
        best, where = best_columns(scores.masked_fill_(hidden, -torch.inf), n)
        return best, torch.where(where < 0, -1, chosen.gather(1, where.clamp(min=0)))


def rough_top(scores: Tensor, count: int) -> Tensor:
    """The columns of each row's highest scores, in ascending order; of equal scores any.

    Taking the best groups first and then the best of their members spares looking at all scores one by one:
    the `count` highest scores lie in at most as many groups.

    Args:
        scores: [U, I].
        count: P, at most I.

    Returns:
        [U, P] int64.

    """
    groups, rest = divmod(scores.shape[1], GROUP)
    if rest or groups <= count:
        return torch.topk(scores, count, dim=1, sorted=False).indices.sort(dim=1).values
    tiers = scores.view(len(scores), GROUP, groups)  # items that stand together go to different groups
    tops = torch.topk(tiers.amax(1), count, dim=1, sorted=False).indices  # [U, P] groups
    members = tiers.gather(2, tops[:, None].expand(-1, GROUP, -1)).flatten(1)  # [U, GROUP * P]
    where = torch.topk(members, count, dim=1, sorted=False).indices
    columns = where.div(count, rounding_mode="floor") * groups + tops.gather(1, where % count)
    return columns.sort(dim=1).values


def recall(exact: np.ndarray, found: np.ndarray) -> float:
    """The share of the exact lists' items that are in the lists found.

    Args:
        exact: [U, N] items, -1 where a list ends.
        found: [U, N], likewise.

    """
    there = sum(len(np.intersect1d(e[e >= 0], f)) for e, f in zip(exact, found, strict=True))
    return there / max(1, int((exact >= 0).sum()))
