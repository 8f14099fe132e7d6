"""People of like taste: users of the data whose ratings go up and down with those of a history, and what they say.

This is collaborative filtering by neighbours among users (Herlocker et al., 1999, doi:10.1145/312624.312682), with
similarities shrunk as in Koren (2008, doi:10.1145/1401890.1401944), as an input of the towers. The attention and the
weights know pairs of items, summed over all users; only here a history is set beside the whole history of one person.

A user of the data is nobody's neighbour to themselves, so no rating that is held out enters but through the biases of
items, of which the user's share is subtracted.

Legend: u users, P people of the pool, K neighbours, R rows (the rated items, and the last one for all unrated items),
T targets, n ratings.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from widedeep.models.history.biases import USER_DAMPING
from widedeep.models.history.fitted import Fitted
from widedeep.models.history.lookups import elements_of
from widedeep.models.history.wide import Bags

NUMBERS = 2  # that are known of a target
SHRINKAGE = 30.0  # common ratings at which a similarity counts half
DAMPING = 0.3  # of the mean residual, in similarity: the weight of a neighbour who says 0


class Neighbours(NamedTuple):
    """The people of the pool who are most similar to each user."""

    place: Tensor  # [u, K] int64 places in the pool
    similarity: Tensor  # [u, K] float32, 0 for those who are no neighbours

    def part(self, users: Tensor | slice) -> "Neighbours":
        """Return the neighbours of some of the users."""
        return Neighbours(*(column[users] for column in self))


class People(Fitted):
    """Finds neighbours, and says what they rated."""

    user: Tensor  # [P] int32 user indexes
    norm: Tensor  # [P] float32, length of the vector of residuals
    # Both are half as large, and products with them twice as fast, as in float32.
    residual: Tensor  # [R, P] float16, rating - mean - user bias - item bias, 0 where there is no rating
    rated: Tensor  # [R, P] float16, 1.0 where there is a rating

    def __init__(self, rows: int, people: int, neighbours: int):
        """Build with empty buffers for a pool of `people`, of whom at most `neighbours` are chosen for each user."""
        super().__init__()
        self.neighbours = min(neighbours, people)
        self.register_buffer("user", torch.zeros(people, dtype=torch.int32))
        self.register_buffer("norm", torch.zeros(people))
        for name in ("residual", "rated"):
            self.register_buffer(name, torch.zeros(rows, people, dtype=torch.float16))

    def find(self, past: Bags, residual: Tensor, user: Tensor | None) -> Neighbours:
        """Return the neighbours of users by their histories.

        The similarity is the cosine of the residuals, shrunk by how many ratings are common; below 0 it counts as 0.

        Args:
            past: the histories.
            residual: [n] residuals of the ratings.
            user: [u] user indexes, who are left out of the pool; None: people who are not in the data.

        """
        products = self._sums(past, self.residual, residual)
        common = self._sums(past, self.rated, torch.ones_like(residual))
        squares = residual.new_zeros(len(products)).index_add_(0, past.owner(), residual.square())
        cosine = products / (squares.sqrt()[:, None] * self.norm).clamp(min=1e-6)
        similarity = (cosine * (common / (common + SHRINKAGE))).clamp(min=0.0)
        if user is not None:
            similarity.masked_fill_(user[:, None] == self.user, 0.0)
        best = similarity.topk(self.neighbours, dim=1)
        return Neighbours(best.indices, best.values)

    def _sums(self, past: Bags, table: Tensor, weight: Tensor) -> Tensor:
        """Return the sums over histories of weight [n] x row of a table [R, P]: [u, P] float32."""
        offsets, weight = past.start[:-1], weight.to(table.dtype)
        return embedding_bag(past.item, table, offsets, mode="sum", per_sample_weights=weight).float()

    def forward(self, neighbours: Neighbours, row: Tensor, shift: Tensor) -> list[Tensor]:
        """Return what neighbours say of targets.

        Args:
            neighbours: of the users.
            row: [u, T] int64 rows.
            shift: [u, T] by how much the targets' biases are lower without the user's own rating.

        Returns:
            the mean residual of those who rated the target, by similarity, and the log of 1 + their similarities,
            [u, T] each.

        """
        where = row[:, :, None], neighbours.place[:, None]
        similarity = neighbours.similarity[:, None]
        support = (similarity * elements_of(self.rated, *where)).sum(2)
        total = (similarity * elements_of(self.residual, *where)).sum(2) + support * shift
        return [total / (support + DAMPING), support.log1p()]


def fit_people(
    user: np.ndarray, row: np.ndarray, deviation: np.ndarray, shape: tuple[int, int], pool: int
) -> dict[str, Tensor]:
    """Return the buffers of `People`: of the users with most ratings, at most `pool`.

    Args:
        user: [n] user indexes.
        row: [n] rows.
        deviation: [n] rating - mean - item bias.
        shape: (users, R).
        pool: how many people it has at most.

    """
    count = np.bincount(user, minlength=shape[0])
    chosen = np.argsort(-count, kind="stable")[: min(pool, np.count_nonzero(count))]
    bias = np.bincount(user, deviation, shape[0]) / (count + USER_DAMPING)
    residual = deviation - bias[user]
    place = np.full(shape[0], -1)
    place[chosen] = np.arange(len(chosen))
    inside = place[user] >= 0
    where = row[inside], place[user[inside]]
    tables = {name: np.zeros((shape[1], len(chosen)), np.float16) for name in ("residual", "rated")}
    tables["residual"][where] = residual[inside]
    tables["rated"][where] = 1.0
    norm = np.sqrt(np.bincount(where[1], residual[inside] ** 2, len(chosen)))
    return {
        "user": torch.from_numpy(chosen.astype(np.int32)),
        "norm": torch.from_numpy(norm.astype(np.float32)),
        **{name: torch.from_numpy(table) for name, table in tables.items()},
    }
