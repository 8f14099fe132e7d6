"""User neighbourhoods, computed for a block of users at a time: similarities of all pairs would not fit in memory.

Legend: U users, V active users (with training ratings), n users of a block, I items, k neighbours.
"""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from widedeep.baselines.base import Baseline, BaselineContext, Counts, NonNegatives, Positives
from widedeep.baselines.biases import residuals
from widedeep.baselines.similarity import Correlation, residual_similarity, set_similarity
from widedeep.baselines.tuning import USERS_PER_BLOCK, Candidate, Predictor, Ranker
from widedeep.data.matrix_products import sparse_from_top_k, square_elements, top_k_columns
from widedeep.data.rating_matrices import Splits

# users [n] -> similarities [n, V] float32 with all active users
Similarity = Callable[[np.ndarray], np.ndarray]
# Blocks whose neighbours are cached, as candidates that differ only in k share them.
CACHED_BLOCKS = 64
# Users whose similarities with all others are in memory at once: 70 MB a matrix with 270 K others.
USERS_AT_ONCE = 64


class UserKnn(Baseline):
    """Similar users rank items and predict ratings."""

    name = "user_knn"
    list_exponents: NonNegatives = Field(
        default=(0.5, 0.7, 0.9), description="0.5: cosine; above, users of long lists count less"
    )
    list_shrinkages: NonNegatives = Field(default=(0.0, 20.0, 50.0), description="added to the similarity's divisor")
    list_neighbours: Counts = Field(default=(25, 50, 100), description="users who vote on a list")
    rating_similarities: tuple[Correlation, ...] = Field(default=("cosine", "pearson"), description="of residuals")
    rating_shrinkages: NonNegatives = Field(
        default=(3.0, 10.0, 50.0), description="common items that halve a correlation"
    )
    rating_neighbours: Counts = Field(default=(300, 1000, 2000), description="most similar users of all, raters or not")
    rating_dampings: Positives = Field(default=(0.03, 0.1, 0.5), description="weight of a correction of 0")

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield candidates for lists, then candidates for ratings."""
        yield from self.list_candidates(context.splits)
        yield from self.rating_candidates(context.splits, context.bias_predictor)

    def list_candidates(self, splits: Splits) -> Iterator[Candidate]:
        """Sum what the k most similar users rated, weighted by their similarity and maybe by their ratings."""
        for exponent in self.list_exponents:
            for shrinkage in self.list_shrinkages:
                similarity = history_similarity(splits, exponent, shrinkage)
                nearest = NearestUsers(splits.history, similarity, max(self.list_neighbours))
                for k in self.list_neighbours:
                    for weighted in (False, True):
                        settings = {"exponent": exponent, "shrinkage": shrinkage, "k": k, "weighted_history": weighted}
                        yield Candidate(settings, ranker=neighbour_votes(splits, nearest, splits.past(weighted), k))

    def rating_candidates(self, splits: Splits, base: Predictor) -> Iterator[Candidate]:
        """Add to `base` the weighted mean of the residuals of those of the k nearest users who rated the item."""
        rest = splits.matrix("train", residuals(splits, base))
        for kind in self.rating_similarities:
            for shrinkage in self.rating_shrinkages:
                similarity = correlation(splits, rest, kind, shrinkage)
                nearest = NearestUsers(splits.history, similarity, max(self.rating_neighbours))
                for k in self.rating_neighbours:
                    for damping in self.rating_dampings:
                        settings = {"similarity": kind, "shrinkage": shrinkage, "k": k, "damping": damping}
                        yield Candidate(settings, UserKnnPredictor(splits, base, rest, nearest, k, damping))


class NearestUsers:
    """Finds the k active users most similar to each user, and caches them by block.

    Args:
        history: [U, I], nonzero where a user rated an item.
        similarity: of users with all active users.
        k: number of neighbours.

    """

    def __init__(self, history: sp.csr_matrix, similarity: Similarity, k: int):
        self._similarity, self._k = similarity, k
        self._active_index = row_index_of_active(history)
        self._cache: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[n] -> indexes among the active users [n, k] int64, best first, and similarities [n, k], none below 0."""
        key = users.tobytes()
        if key in self._cache:
            return self._cache[key]
        parts = [self._search(users[low : low + USERS_AT_ONCE]) for low in range(0, len(users), USERS_AT_ONCE)]
        nearest, similar = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        if len(self._cache) < CACHED_BLOCKS:
            self._cache[key] = nearest, similar
        return nearest, similar

    def _search(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        similar = self._similarity(users)
        active = np.flatnonzero(self._active_index[users] >= 0)
        similar[active, self._active_index[users[active]]] = 0  # no user is their own neighbour
        nearest = top_k_columns(similar, self._k)
        return nearest, np.maximum(np.take_along_axis(similar, nearest, axis=1), 0)


def row_index_of_active(history: sp.csr_matrix) -> np.ndarray:
    """[U] index of each user among the active ones, -1 for the others."""
    active = np.diff(history.indptr) > 0
    return np.where(active, np.cumsum(active) - 1, -1)


def history_similarity(splits: Splits, exponent: float, shrinkage: float) -> Similarity:
    """Compare users by the sets of items they rated."""
    history = splits.history
    sizes = np.diff(history.indptr)
    others = history[sizes > 0].T.tocsr()  # [I, V]

    def similarity(users: np.ndarray) -> np.ndarray:
        common = (history[users] @ others).toarray()
        return set_similarity(common, sizes[users], sizes[sizes > 0], exponent, shrinkage)

    return similarity


def neighbour_votes(splits: Splits, nearest: NearestUsers, votes: sp.csr_matrix, k: int) -> Ranker:
    """Rank items by the sum of the k nearest users' votes [U, I], each times the similarity."""
    others = votes[np.diff(splits.history.indptr) > 0]  # [V, I]

    def affinities(users: np.ndarray) -> np.ndarray:
        neighbours, similar = nearest(users)
        return (sparse_from_top_k(neighbours[:, :k], similar[:, :k], others.shape[0]) @ others).toarray()

    return affinities


def correlation(splits: Splits, rest: sp.csr_matrix, kind: Correlation, shrinkage: float) -> Similarity:
    """Compare users by their residuals [U, I], with shrinkage."""
    present, squares = splits.history, square_elements(rest)
    active = np.diff(present.indptr) > 0
    rest_t, present_t, squares_t = (matrix[active].T.tocsr() for matrix in (rest, present, squares))  # [I, V]
    sums = np.asarray(squares.sum(axis=1), np.float32)  # [U, 1]

    def similarity(users: np.ndarray) -> np.ndarray:
        products, common = (rest[users] @ rest_t).toarray(), (present[users] @ present_t).toarray()
        if kind == "pearson":
            left, right = (squares[users] @ present_t).toarray(), (present[users] @ squares_t).toarray()
        else:
            left, right = sums[users], sums[active].T
        return residual_similarity(products, common, left, right, shrinkage)

    return similarity


class UserKnnPredictor:
    """Predicts ratings from the residuals of the most similar users.

    Args:
        splits: for the history.
        base: prediction to correct.
        rest: [U, I] residuals of the training ratings.
        nearest: finds neighbours.
        k: number of neighbours.
        damping: weight of a correction of 0.

    """

    def __init__(
        self, splits: Splits, base: Predictor, rest: sp.csr_matrix, nearest: NearestUsers, k: int, damping: float
    ):
        active = np.diff(splits.history.indptr) > 0
        self._base, self._nearest, self._k, self._damping = base, nearest, k, damping
        self._rest, self._present = rest[active], splits.history[active]  # [V, I]

    def __call__(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """[n], [n] -> [n] float64."""
        predicted = self._base(user, item)
        if not len(user):
            return predicted
        users, row = np.unique(user, return_inverse=True)
        order = np.argsort(row, kind="stable")
        ends = np.searchsorted(row[order], np.arange(USERS_PER_BLOCK, len(users) + USERS_PER_BLOCK, USERS_PER_BLOCK))
        for number, pairs in enumerate(np.split(order, ends[:-1])):
            low = number * USERS_PER_BLOCK
            predicted[pairs] += self._correction(users[low : low + USERS_PER_BLOCK], row[pairs] - low, item[pairs])
        return predicted

    def _correction(self, users: np.ndarray, row: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Corrections of pairs (users[row], item) of one block of users."""
        nearest, similar = self._nearest(users)
        weights = sparse_from_top_k(nearest[:, : self._k], similar[:, : self._k], self._rest.shape[0])  # [n, V]
        sums = (weights @ self._rest).toarray()[row, item]
        sizes = (weights @ self._present).toarray()[row, item]
        return sums / (sizes + self._damping)
