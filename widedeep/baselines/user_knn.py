"""Neighbourhoods of users, a block of users at a time: similarities of all pairs would not fit.

Legend: V users with training ratings, n users of a block, I items, k neighbours.
"""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp

from widedeep.baselines.item_knn import residual_similarity, set_similarity
from widedeep.baselines.products import at, squared, strongest
from widedeep.baselines.simple import residuals
from widedeep.baselines.tuning import BLOCK, Offer, Predictor, Ranker
from widedeep.config.baselines import UserKnnGrid
from widedeep.data.rating_matrices import Splits

# users [n] -> their neighbours [n, k], best first, and the similarities [n, k] float32; positions among V
Nearest = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# Blocks whose neighbours are remembered: candidates that differ in k alone share them.
REMEMBERED = 64
# Users whose similarities with all others are held at once: 70 MB for each matrix of 270 K others.
AT_ONCE = 64


class Neighbours:
    """The most similar of the other users, block by block.

    Args:
        present: [U, I] 1 where a user rated an item.
        similarity: users [n] -> similarities [n, V] float32 with all users that have ratings.
        k: how many neighbours to keep.

    """

    def __init__(self, present: sp.csr_matrix, similarity: Callable[[np.ndarray], np.ndarray], k: int):
        self._similarity, self._k = similarity, k
        self._place = places(present)
        self._memory: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[n] -> neighbours [n, k] int64 and similarities [n, k]; those of no use have similarity 0."""
        key = users.tobytes()
        if key in self._memory:
            return self._memory[key]
        parts = [self._nearest(users[low : low + AT_ONCE]) for low in range(0, len(users), AT_ONCE)]
        closest, similar = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        if len(self._memory) < REMEMBERED:
            self._memory[key] = closest, similar
        return closest, similar

    def _nearest(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        similar = self._similarity(users)
        own = np.flatnonzero(self._place[users] >= 0)
        similar[own, self._place[users[own]]] = 0
        closest = strongest(similar, self._k)
        return closest, np.maximum(np.take_along_axis(similar, closest, axis=1), 0)


def places(present: sp.csr_matrix) -> np.ndarray:
    """[U] position of each user among those with ratings, -1 for the others."""
    having = np.diff(present.indptr) > 0
    return np.where(having, np.cumsum(having) - 1, -1)


# --- lists -------------------------------------------------------------------------------------


def user_lists(splits: Splits, grid: UserKnnGrid) -> Iterator[Offer]:
    """What the k most similar users rated, each weighted by the similarity and by what they thought of it."""
    for exponent in grid.list_exponents:
        for shrinkage in grid.list_shrinkages:
            similarity = set_similarities(splits, exponent, shrinkage)
            near = Neighbours(splits.history, similarity, max(grid.list_neighbours))
            for k in grid.list_neighbours:
                for weighted in (False, True):
                    settings = {"exponent": exponent, "shrinkage": shrinkage, "k": k, "weighted_history": weighted}
                    yield Offer(settings, ranker=votes(splits, near, splits.past(weighted), k))


def set_similarities(splits: Splits, exponent: float, shrinkage: float) -> Callable[[np.ndarray], np.ndarray]:
    """For users [n] the similarities [n, V] of the sets of items they rated."""
    history = splits.history
    sizes = np.diff(history.indptr)
    others = history[sizes > 0].T.tocsr()  # [I, V]

    def similarity(users: np.ndarray) -> np.ndarray:
        common = (history[users] @ others).toarray()
        return set_similarity(common, sizes[users], sizes[sizes > 0], exponent, shrinkage)

    return similarity


def votes(splits: Splits, near: Nearest, opinions: sp.csr_matrix, k: int) -> Ranker:
    """Scores of all items: the neighbours' opinions [U, I], each times the similarity."""
    others = opinions[np.diff(splits.history.indptr) > 0]

    def scores(users: np.ndarray) -> np.ndarray:
        closest, similar = near(users)
        return (at(closest[:, :k], similar[:, :k], others.shape[0]) @ others).toarray()

    return scores


# --- ratings -----------------------------------------------------------------------------------


def user_ratings(splits: Splits, base: Predictor, grid: UserKnnGrid) -> Iterator[Offer]:
    """Biases plus the weighted mean of the residuals of those of the k most similar users who rated the item."""
    rest = splits.matrix("train", residuals(splits, base))
    for kind in grid.rating_similarities:
        for shrinkage in grid.rating_shrinkages:
            similarity = residual_similarities(splits, rest, kind, shrinkage)
            near = Neighbours(splits.history, similarity, max(grid.rating_neighbours))
            for k in grid.rating_neighbours:
                for damping in grid.rating_dampings:
                    settings = {"similarity": kind, "shrinkage": shrinkage, "k": k, "damping": damping}
                    yield Offer(settings, UserNeighbours(splits, base, rest, near, k, damping))


def residual_similarities(
    splits: Splits, rest: sp.csr_matrix, kind: str, shrinkage: float
) -> Callable[[np.ndarray], np.ndarray]:
    """For users [n] the correlations [n, V] of their residuals [U, I], shrunk."""
    there, squares = splits.history, squared(rest)
    having = np.diff(there.indptr) > 0
    turned, turned_there, turned_squares = (m[having].T.tocsr() for m in (rest, there, squares))  # [I, V]
    sums = np.asarray(squares.sum(axis=1), np.float32)  # [U, 1]

    def similarity(users: np.ndarray) -> np.ndarray:
        products, common = (rest[users] @ turned).toarray(), (there[users] @ turned_there).toarray()
        if kind == "pearson":
            left, right = (squares[users] @ turned_there).toarray(), (there[users] @ turned_squares).toarray()
        else:
            left, right = sums[users], sums[having].T
        return residual_similarity(products, common, left, right, shrinkage)

    return similarity


class UserNeighbours:
    """Predicts pairs from the most similar users."""

    def __init__(self, splits: Splits, base: Predictor, rest: sp.csr_matrix, near: Nearest, k: int, damping: float):
        having = np.diff(splits.history.indptr) > 0
        self._base, self._near, self._k, self._damping = base, near, k, damping
        self._rest, self._there = rest[having], splits.history[having]  # [V, I]

    def __call__(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """[n], [n] -> [n] float64."""
        predicted = self._base(user, item)
        if not len(user):
            return predicted
        users, row = np.unique(user, return_inverse=True)
        order = np.argsort(row, kind="stable")
        ends = np.searchsorted(row[order], np.arange(BLOCK, len(users) + BLOCK, BLOCK))
        for number, pairs in enumerate(np.split(order, ends[:-1])):
            low = number * BLOCK
            closest, similar = self._near(users[low : low + BLOCK])
            weights = at(closest[:, : self._k], similar[:, : self._k], self._rest.shape[0])
            at_pairs = row[pairs] - low, item[pairs]
            sums = (weights @ self._rest).toarray()[at_pairs]
            sizes = (weights @ self._there).toarray()[at_pairs]
            predicted[pairs] += sums / (sizes + self._damping)
        return predicted
