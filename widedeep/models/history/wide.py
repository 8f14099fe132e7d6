"""The wide part: item x item weights over a history, in closed form (EASE; Steck, 2019, arXiv:1905.03375).

The score of item k for a history c is sum_j c_j B_jk with B_jk = -P_jk / P_kk off the diagonal and P the inverse of the
Gram matrix of all histories plus a ridge. Users and items with many ratings are scaled down (Park et al., 2025).

P is kept instead of B, because a user's share of the Gram matrix can then be removed or replaced exactly, by rank-one
updates of the inverse (Sherman & Morrison, 1950). In training a user is scored as if the held-out ratings had never
been given; a person who is not in the data is scored as if in it.

Legend: u users, A rated items, n ratings of all of their histories.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from widedeep.data.histories import owners_of
from widedeep.data.matrix_products import dense_product
from widedeep.models.history.fitted import Fitted
from widedeep.models.history.lookups import elements_of

# Histories are scaled by (number of ratings) ^ -USER_POWER, items by (sum of squared preferences) ^ -ITEM_POWER.
USER_POWER, ITEM_POWER = 0.2, 0.15
# Further ridge, as a share of the diagonal: what dropout of this rate amounts to (Steck, 2020).
DIAGONAL_SHARE = 0.1
# A sum of contributions is only rounding if it is smaller than this share of the sum of their sizes.
LEAST_TOTAL = 1e-4


class Bags(NamedTuple):
    """Histories one after another; user j has the ratings from `start[j]` up to `start[j + 1]`."""

    start: Tensor  # [u + 1] int64
    item: Tensor  # [n] int64 rated items
    weight: Tensor  # [n] float32, the preference of each rating

    def owner(self) -> Tensor:
        """Return the number of the user that each rating belongs to, [n] int64."""
        return owners_of(self.start, len(self.item))

    def count(self) -> Tensor:
        """Return the number of ratings of each user, [u] float32."""
        return self.start.diff().float()


class LinearScores(NamedTuple):
    """Scores of all rated items by one kind of weights."""

    preference: Tensor  # [u, A] float32, by the weights of the ratings
    residual: Tensor  # [u, A] float32, by how much better or worse than expected the ratings are


class WideScores(NamedTuple):
    """Scores of all rated items: by the weights in closed form, and by the sparse ones."""

    preference: Tensor  # [u, A] float32, see `LinearScores`
    residual: Tensor
    sparse: Tensor
    sparse_residual: Tensor


class WideCrosses(Fitted):
    """Scores all items by a history."""

    inverse: Tensor  # [A, A] float32, P
    item_scale: Tensor  # [A] float32
    user_scale: Tensor  # [] float32

    def __init__(self, items: int):
        """Build with empty buffers for `items` rated items."""
        super().__init__()
        self.register_buffer("inverse", torch.zeros(items, items))
        self.register_buffer("item_scale", torch.zeros(items))
        self.register_buffer("user_scale", torch.zeros(()))

    def scores(self, past: Bags, residual: Tensor, known: bool) -> LinearScores:
        """Score all items for histories.

        Args:
            past: the histories.
            residual: [n] residuals of the ratings.
            known: whether these histories are in the Gram matrix already.

        """
        diagonal = self.inverse.diagonal()
        fit, odd = self._products(past, past.weight, residual)
        if known:
            return LinearScores(fit.div_(-diagonal), odd.div_(-diagonal))
        size = self._size(past.count())
        return self._add(past, fit * size, odd * size, diagonal, size)

    def scores_without(self, others: Bags, past: Bags, residual: Tensor) -> LinearScores:
        """Score all items as if users of the data had only a part of their ratings.

        Args:
            others: all ratings that they are not to have. With the part they are the histories in the Gram matrix.
            past: the part.
            residual: [n] residuals of the part's ratings.

        """
        full_size, size = self._size(past.count() + others.count()), self._size(past.count())
        fit, odd = self._products(past, past.weight, residual)
        (removed,) = self._products(others, others.weight)
        removed = (fit + removed) * full_size  # w = P x
        leverage = 1.0 - sum(self._dot(part, part.weight, full_size, removed) for part in (past, others))
        fit, odd, share = fit * size, odd * size, removed / leverage
        fit = fit + share * self._dot(past, past.weight, size, removed)
        odd = odd + share * self._dot(past, residual, size, removed)
        return self._add(past, fit, odd, self.inverse.diagonal() + removed * share, size)

    def contributions(self, row: Tensor, weight: Tensor, target: Tensor, score: Tensor) -> Tensor:
        """Return what each rating of a history adds to the scores of targets.

        The score of a history that is in the Gram matrix is the sum of c_j B_jk. For one that is added, this sum is
        scaled, since the rank-one update turns P into P' with P' c = P c / (1 + c P c); the scores tell by how much.

        Args:
            row: [u, L] int64 rated items.
            weight: [u, L] the preferences of their ratings, 0 for none.
            target: [u, T] int64 rated items.
            score: [u, T] scores of the targets by the preferences.

        Returns:
            [u, T, L], which add up to the scores.

        """
        scaled = (weight * self.item_scale[row])[:, None]
        products = scaled * elements_of(self.inverse, target[:, :, None], row[:, None])  # [u, T, L]
        parts = -products / self.inverse.diagonal()[target][:, :, None]
        total = parts.sum(2)
        cancelled = total.abs() <= LEAST_TOTAL * parts.abs().sum(2)
        return parts * torch.where(cancelled, 1.0, score / total)[:, :, None]

    def _add(self, past: Bags, fit: Tensor, odd: Tensor, diagonal: Tensor, size: Tensor) -> LinearScores:
        """Return the scores after the histories c were added to the Gram matrix.

        Args:
            past: c.
            fit: [u, A], P c.
            odd: [u, A], P times the residuals.
            diagonal: [u, A] or [A], that of P.
            size: [u, 1], scale of the users.

        """
        share = fit / (1.0 + self._dot(past, past.weight, size, fit))
        odd = odd - share * self._dot(past, past.weight, size, odd)
        diagonal = diagonal - fit * share
        return LinearScores(-share / diagonal / size, -odd / diagonal / size)

    def _size(self, count: Tensor) -> Tensor:
        """Return the factor that scales each user's history: [u] numbers of ratings -> [u, 1]."""
        return (count.clamp(min=1.0).pow(-USER_POWER) * self.user_scale)[:, None]

    def _products(self, bags: Bags, *weights: Tensor) -> tuple[Tensor, ...]:
        """Return P times the histories by each of some weights of their ratings, whose items are scaled: [u, A] each.

        The sums of a user follow each other, while the rows of P are still in the cache.
        """
        times, count = len(weights), bags.start.diff()
        numbers = torch.arange(times, device=count.device)
        start = times * bags.start[:-1, None] + count[:, None] * numbers  # [u, times]
        owner = bags.owner()
        place = torch.arange(len(owner), device=owner.device) - bags.start[owner] + start[owner].T  # [times, n]
        item, scaled = bags.item.new_empty(place.numel()), weights[0].new_empty(place.numel())
        item[place] = bags.item.expand_as(place)
        scaled[place] = torch.stack(weights) * self.item_scale[bags.item]
        sums = embedding_bag(item, self.inverse, start.flatten(), mode="sum", per_sample_weights=scaled)
        return sums.view(len(count), times, len(self.inverse)).unbind(1)

    def _dot(self, bags: Bags, weight: Tensor, size: Tensor, vectors: Tensor) -> Tensor:
        """Return the dot product of each scaled history with a vector [u, A]: [u, 1]."""
        user = bags.owner()
        parts = weight * self.item_scale[bags.item] * vectors[user, bags.item]
        return torch.zeros(len(vectors), device=vectors.device).index_add_(0, user, parts)[:, None] * size


def fit_crosses(
    user: np.ndarray, item: np.ndarray, weight: np.ndarray, shape: tuple[int, int], ridge: float, device: torch.device
) -> dict[str, Tensor]:
    """Return the buffers of `WideCrosses`.

    Args:
        user: [n] user indexes.
        item: [n] rated items, 0 to A - 1.
        weight: [n] float32 preferences.
        shape: (users, A).
        ridge: added to the diagonal of the Gram matrix.
        device: inverts the matrix.

    """
    count = np.bincount(user, minlength=shape[0])
    popularity = np.maximum(np.bincount(item, weight.astype(np.float64) ** 2, shape[1]), 0.1)
    item_scale = popularity**-ITEM_POWER
    item_scale /= np.sqrt((popularity * item_scale**2).sum() / popularity.sum())
    user_scale = np.maximum(count, 1.0) ** -USER_POWER
    unit = 1.0 / np.sqrt((user_scale**2 * count).sum() / count.sum())
    values = (weight * item_scale[item] * user_scale[user] * unit).astype(np.float32)
    scaled = sp.csr_matrix((values, (item, user)), shape=shape[::-1])
    gram = torch.from_numpy(dense_product(scaled, scaled)).to(device)
    gram.diagonal().mul_(1.0 + DIAGONAL_SHARE).add_(ridge)
    return {
        "inverse": torch.cholesky_inverse(torch.linalg.cholesky(gram)).cpu(),
        "item_scale": torch.from_numpy(item_scale.astype(np.float32)),
        "user_scale": torch.tensor(unit, dtype=torch.float32),
    }
