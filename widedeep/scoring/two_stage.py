"""Top-N in two stages: approximate affinities of all items, then the model on each user's best candidates alone.

The matrix of affinities [users x items] of a trained model is close to one of low rank: a user's affinities to a few
landmark items predict those to all others. S ~ S[:, landmarks] B is the pseudo-skeleton (CUR) approximation of
Goreinov, Tyrtyshnikov and Zamarashkin, "A theory of pseudoskeleton approximations", Linear Algebra and its Applications
261 (1997). Here the exact affinities of a sample of users choose the landmarks and, by ridge regression, give B. The
method asks a model for encodings and affinities only. The lists hold the model's own affinities; only the choice of the
candidates is approximate.

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
from widedeep.scoring.scorer import USERS_PER_BLOCK, Scorer
from widedeep.scoring.top_n import best_columns, hide

# Users whose exact affinities the approximation is fitted to; twice as many do not improve it.
FIT_USERS = 1024
# Relative to the landmarks' mean square. Affinities have no noise: the ridge only separates similar landmarks.
RIDGE = 1e-4
# Items in a group of `rough_top`: the fastest of 4, 8, 16 and 32 with some hundred candidates of 5 K items and more.
GROUP = 8


@dataclass(frozen=True)
class Approximation:
    """The affinities to all items as a linear function of those to the landmarks."""

    landmarks: Tensor  # [L] int64 item indexes
    slope: Tensor  # [L, I] float32
    intercept: Tensor  # [I] float32

    def to_bytes(self) -> bytes:
        """Return the content of a safetensors file, to send to other machines."""
        return save({"landmarks": self.landmarks, "slope": self.slope, "intercept": self.intercept})

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Approximation":
        """Return the approximation that `to_bytes` stored."""
        return cls(**load(stored))


@torch.inference_mode()
def fit(scorer: Scorer, users: np.ndarray, landmarks: int) -> Approximation:
    """Choose the landmarks and fit the affinities to all items to those to the landmarks.

    Args:
        scorer: returns exact affinities.
        users: [M] int32 indexes of users like those to score; FIT_USERS are enough.
        landmarks: L; all items if there are fewer.

    """
    blocks = [users[low : low + USERS_PER_BLOCK] for low in range(0, len(users), USERS_PER_BLOCK)]
    scores = torch.cat([scorer.affinities(block).cpu() for block in blocks])  # [M, I]
    mean = scores.mean(0)
    scores -= mean
    # A shift of all items of a user does not change their order, so it should not choose a landmark.
    chosen = spread_columns(scores - scores.mean(1, keepdim=True), min(landmarks, scores.shape[1]))
    known = scores[:, chosen]  # [M, L]
    gram = (known.T @ known).double()
    gram.diagonal().add_((RIDGE * gram.diagonal().mean()).clamp_min(1e-12))
    slope = torch.linalg.solve(gram, (known.T @ scores).double()).float()  # [L, I]
    return Approximation(chosen, slope.contiguous(), mean - mean[chosen] @ slope)


def spread_columns(matrix: Tensor, count: int) -> Tensor:
    """Return columns that span the others well: each is the farthest from the span of those before it.

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
    """A scorer that asks the model only for the affinities to the landmarks and to each user's candidates."""

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
        self._landmarks = self._item_encodings[approximation.landmarks]  # [L, C]
        # Padding to whole groups: items with an affinity of -inf.
        filling = (0, -items % GROUP)
        self._slope = torch.nn.functional.pad(approximation.slope, filling).to(self._device)  # [L, G * GROUP]
        self._intercept = torch.nn.functional.pad(approximation.intercept, filling, value=-torch.inf).to(self._device)
        self._rough = torch.empty(USERS_PER_BLOCK, len(self._intercept), device=self._device)

    def _best(self, encodings: Tensor, seen: Sequence[np.ndarray], n: int) -> tuple[Tensor, Tensor]:
        """Return the affinities and items of a block's lists, among the candidates only; n is at most their number."""
        known = torch.empty(len(encodings), len(self._landmarks), device=self._device)
        self._model.score_block(encodings, self._landmarks, known)
        rough = torch.addmm(self._intercept, known, self._slope, out=self._rough[: len(encodings)])  # [U, G * GROUP]
        hide(rough, seen)
        chosen = rough_top(rough, self._candidates)  # [U, P]
        hidden = rough.gather(1, chosen) == -torch.inf
        chosen.clamp_(max=self._items - 1)
        scores = torch.empty(chosen.shape, device=self._device)
        self._model.score_chosen(encodings, self._item_encodings, chosen, scores)
        best, where = best_columns(scores.masked_fill_(hidden, -torch.inf), n)
        return best, torch.where(where < 0, -1, chosen.gather(1, where.clamp(min=0)))


def rough_top(scores: Tensor, count: int) -> Tensor:
    """Return the columns of each row's highest scores, in ascending order; it breaks ties arbitrarily.

    It takes the best groups first and then the best of their members, which is faster than to look at all scores: the
    `count` highest scores lie in at most `count` groups.

    Args:
        scores: [U, I].
        count: P, at most I.

    Returns:
        [U, P] int64.

    """
    groups, rest = divmod(scores.shape[1], GROUP)
    if rest or groups <= count:
        return torch.topk(scores, count, dim=1, sorted=False).indices.sort(dim=1).values
    tiers = scores.view(len(scores), GROUP, groups)  # neighbouring items go to different groups
    tops = torch.topk(tiers.amax(1), count, dim=1, sorted=False).indices  # [U, P] groups
    members = tiers.gather(2, tops[:, None].expand(-1, GROUP, -1)).flatten(1)  # [U, GROUP * P]
    where = torch.topk(members, count, dim=1, sorted=False).indices
    columns = where.div(count, rounding_mode="floor") * groups + tops.gather(1, where % count)
    return columns.sort(dim=1).values


def recall(exact: np.ndarray, approximate: np.ndarray) -> float:
    """Return the share of the exact lists' items that the approximate lists have.

    Args:
        exact: [U, N] items, -1 where a list ends.
        approximate: [U, N], the same.

    """
    common = sum(len(np.intersect1d(e[e >= 0], a)) for e, a in zip(exact, approximate, strict=True))
    return common / max(1, int((exact >= 0).sum()))
