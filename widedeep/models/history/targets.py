"""Items to be judged for each user, what the crosses make of them, and how users are dealt to chunks.

Legend: u users, T targets (items to be judged), L ratings of the longest history, I items, R rows (the rated items, and
the last one for all unrated items), C candidates, K unrated candidates.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from widedeep.models.history.past import Past
from widedeep.models.history.wide import WideScores

# Elements u x T x L that are computed at once, in training and for answers. On a CPU a step takes no less time with a
# half or a quarter of them; answers take a twentieth less with half as many.
ELEMENTS_AT_ONCE = 1 << 18
ELEMENTS_OF_ANSWERS = 1 << 17
LEAST_SCORE = 0.01  # smaller sparse scores are alike; many are 0
STANDINGS = 9  # numbers of `Survey.standings`
WIDE, SCORE, SPARSE = 0, 4, 5  # of them: by the weights in closed form, standardised and not; by the sparse ones


class Targets(NamedTuple):
    """Items to be judged for each user."""

    item: Tensor  # [u, T] int64 item indexes
    row: Tensor  # [u, T] int64 rows
    own: Tensor  # [u, T] float32, 1.0 where the statistics hold the user's own rating of the item
    residual: Tensor  # [u, T] float32, the residual of that rating in the statistics
    bias: Tensor  # [u, 1] float32, the user's bias in the statistics
    standings: Tensor  # [u, T, 9] float32, see `Survey.standings`

    def part(self, users: Tensor, count: int) -> "Targets":
        """Return the first `count` targets of some of the users."""
        return Targets(*(column[users, :count] for column in self))


class Survey(NamedTuple):
    """What the crosses make of all items for each user."""

    titles: Tensor  # [u, I] float32, crosses of histories with titles
    crossed: Tensor  # [u, R] float32, scores by which candidates are chosen; -inf for the history and unrated items
    candidates: Tensor  # [u, C] int64 rows of the highest scores, best first
    cutoffs: Tensor  # [u, C] float32, their scores
    cold: Tensor  # [u, K] int64 item indexes of the best unrated items, best first
    mean: Tensor  # [u, 1] float32, mean of the wide scores without those of the history
    sd: Tensor  # [u, 1] float32, their standard deviation
    best: Tensor  # [u, 1] float32, the highest of them
    sparse_spread: Tensor  # [u, 1] float32, root mean square of the sparse scores without those of the history
    sparse_best: Tensor  # [u, 1] float32, the highest of them

    def rank(self, row: Tensor) -> Tensor:
        """Return how many candidates score higher than the targets: [u, T] rows -> [u, T] float32."""
        score = self.crossed.gather(1, row)
        return torch.searchsorted(-self.cutoffs, -score).float()

    def standings(self, wide: WideScores, row: Tensor) -> Tensor:
        """Return how targets stand among all items: [u, T] rows -> [u, T, 9].

        By the weights in closed form: the score above the mean, below the best, and of residuals, in standard
        deviations; the rank; and the score. By the sparse ones: the score in spreads, below the best, its log, and of
        residuals.
        """
        score, residual, sparse, sparse_residual = (scores.gather(1, row) for scores in wide)
        standard = (number / self.sd for number in (score - self.mean, score - self.best, residual))
        by_sparse = sparse / self.sparse_spread, sparse - self.sparse_best, (sparse + LEAST_SCORE).log()
        return torch.stack([*standard, self.rank(row).log1p(), score, *by_sparse, sparse_residual], dim=-1)


class Chunk(NamedTuple):
    """Users with histories of like length, who are answered together."""

    users: Tensor  # their numbers
    length: int  # of the longest history
    targets: int  # of the user who has most


def chunks(past: Past, targets: Tensor, at_once: int) -> Iterator[Chunk]:
    """Deal users to chunks of at most `at_once` elements: histories, and the number of targets of each user [u] int64.

    A user with many targets or a long history is a chunk alone.
    """
    length = past.present.sum(1).long().clamp(min=1)
    order = torch.argsort(length * (targets.max() + 1) + targets) if len(length) else length
    lengths, counts = length[order].tolist(), targets[order].tolist()
    low, most = 0, 0
    for high in range(1, len(lengths) + 1):
        most = max(most, counts[high - 1])
        full = high == len(lengths) or (high + 1 - low) * lengths[high] * max(most, counts[high]) > at_once
        if full:
            yield Chunk(order[low:high], lengths[high - 1], most)
            low, most = high, 0
