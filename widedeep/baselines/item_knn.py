"""Item neighbourhoods: lists by the users in common, ratings by correlated residuals.

Legend: U users, J rated items (with training ratings), I all items, k neighbours, n pairs of one user,
m items that a user rated.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from widedeep.baselines.base import (
    ITEM_PAIR_BYTES,
    Baseline,
    BaselineContext,
    Counts,
    NonNegatives,
    Positives,
)
from widedeep.baselines.biases import residuals
from widedeep.baselines.item_weights import linear_ranker
from widedeep.baselines.similarity import Correlation, residual_similarity, set_similarity
from widedeep.baselines.tuning import Candidate, Predictor
from widedeep.data.matrix_products import (
    dense_product,
    row_blocks,
    sparse_from_top_k,
    square_elements,
    top_k_columns,
)
from widedeep.data.rating_matrices import Splits


class ItemKnn(Baseline):
    """Similar items rank items and predict ratings."""

    name = "item_knn"
    list_exponents: NonNegatives = Field(
        default=(0.5, 0.7, 0.8, 0.9), description="0.5: cosine; above, a much rated item says less of its raters"
    )
    list_shrinkages: NonNegatives = Field(default=(0.0, 20.0), description="added to the similarity's divisor")
    list_neighbours: Counts = Field(default=(2, 3, 5, 10), description="items that speak for an item")
    rating_similarities: tuple[Correlation, ...] = Field(default=("cosine", "pearson"), description="of residuals")
    rating_shrinkages: NonNegatives = Field(
        default=(50.0, 200.0, 1000.0), description="common raters that halve a correlation"
    )
    rating_neighbours: Counts = Field(default=(5, 10, 20), description="most similar of the user's rated items")
    rating_dampings: Positives = Field(default=(0.01, 0.05, 0.2), description="weight of a correction of 0")

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield candidates for lists, then candidates for ratings."""
        yield from self.list_candidates(context.splits)
        yield from self.rating_candidates(context.splits, context.bias_predictor)

    def memory_bytes(self, splits: Splits) -> int:
        """Estimate the memory of the dense matrices of item pairs."""
        return ITEM_PAIR_BYTES * len(splits.rated) ** 2

    def list_candidates(self, splits: Splits) -> Iterator[Candidate]:
        """Sum an item's similarities with a user's history, over the k items most similar to it."""
        columns = splits.history[:, splits.rated].T.tocsr()  # [J, U]
        sizes = np.diff(columns.indptr)
        common = dense_product(columns, columns)  # [J, J]
        for exponent in self.list_exponents:
            for shrinkage in self.list_shrinkages:
                nearest, similar = nearest_items(common, sizes, exponent, shrinkage, max(self.list_neighbours))
                for k in self.list_neighbours:
                    # [J of the history, J scored]
                    weights = sparse_from_top_k(nearest[:, :k], similar[:, :k], len(splits.rated)).T.tocsr()
                    for weighted in (False, True):
                        settings = {"exponent": exponent, "shrinkage": shrinkage, "k": k, "weighted_history": weighted}
                        yield Candidate(settings, ranker=linear_ranker(splits, splits.past(weighted), weights))

    def rating_candidates(self, splits: Splits, base: Predictor) -> Iterator[Candidate]:
        """Add to `base` the weighted mean of the user's residuals for the k rated items most similar to the item."""
        rest = splits.matrix("train", residuals(splits, base))  # [U, I]
        for settings, similar in self.residual_similarities(splits, rest):
            for k in self.rating_neighbours:
                for damping in self.rating_dampings:
                    predictor = ItemKnnPredictor(base, rest, similar, splits, k, damping)
                    yield Candidate({**settings, "k": k, "damping": damping}, predictor)

    def residual_similarities(self, splits: Splits, rest: sp.csr_matrix) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Yield settings and similarities [J, J] float32 for each kind of correlation and shrinkage."""
        columns = rest[:, splits.rated].T.tocsr()  # [J, U]
        present = splits.history[:, splits.rated].T.tocsr()
        products, common = dense_product(columns, columns), dense_product(present, present)
        squares = square_elements(columns)
        for kind in self.rating_similarities:
            # Sums of the row's squared residuals: over common raters [J, J], or over all its raters [J, 1].
            pearson = kind == "pearson"
            sums = dense_product(squares, present) if pearson else np.asarray(squares.sum(axis=1), np.float32)
            for shrinkage in self.rating_shrinkages:
                similar = np.empty_like(products)
                for rows in row_blocks(len(products)):
                    right = sums[:, rows].T if pearson else sums.T
                    similar[rows] = residual_similarity(products[rows], common[rows], sums[rows], right, shrinkage)
                yield {"similarity": kind, "shrinkage": shrinkage}, similar


def nearest_items(
    common: np.ndarray, sizes: np.ndarray, exponent: float, shrinkage: float, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k other items most similar to each item, best first.

    Args:
        common: [J, J] number of users who rated both items.
        sizes: [J] number of users who rated the item.
        exponent: of `set_similarity`.
        shrinkage: of `set_similarity`.
        k: number of neighbours.

    Returns:
        indexes among the rated items [J, k] int64, and similarities [J, k] float32.

    """
    nearest, similarities = [], []
    for rows in row_blocks(len(common)):
        block = set_similarity(common[rows], sizes[rows], sizes, exponent, shrinkage)
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = 0  # no item is its own neighbour
        columns = top_k_columns(block, k)
        nearest.append(columns)
        similarities.append(np.take_along_axis(block, columns, axis=1))
    return np.concatenate(nearest), np.concatenate(similarities)


class ItemKnnPredictor:
    """Predicts ratings from those of the user's rated items that are most similar to the item.

    Args:
        base: prediction to correct.
        rest: [U, I] residuals of the training ratings.
        similar: [J, J] similarities.
        splits: for the rated items.
        k: number of neighbours.
        damping: weight of a correction of 0.

    """

    def __init__(
        self, base: Predictor, rest: sp.csr_matrix, similar: np.ndarray, splits: Splits, k: int, damping: float
    ):
        self._base, self._rest, self._similar, self._k, self._damping = base, rest, similar, k, damping
        self._rated_index = np.full(splits.items, -1)  # [I] index among the rated items, -1 if unrated
        self._rated_index[splits.rated] = np.arange(len(splits.rated))

    def __call__(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """[n], [n] -> [n] float64; unrated items are predicted by `base` alone."""
        predicted = self._base(user, item)
        known = np.flatnonzero(self._rated_index[item] >= 0)
        order = known[np.argsort(user[known], kind="stable")]
        for pairs in np.split(order, np.flatnonzero(np.diff(user[order])) + 1):
            if len(pairs):
                predicted[pairs] += self._correction(int(user[pairs[0]]), self._rated_index[item[pairs]])
        return predicted

    def _correction(self, user: int, rated_index: np.ndarray) -> np.ndarray:
        """[n] indexes among the rated items -> [n] what to add to the base."""
        span = slice(self._rest.indptr[user], self._rest.indptr[user + 1])
        values = self._rest.data[span]  # [m]
        weights = self._similar[np.ix_(rated_index, self._rated_index[self._rest.indices[span]])]  # [n, m]
        return weighted_mean(weights, values, self._k, self._damping)


def weighted_mean(weights: np.ndarray, values: np.ndarray, k: int, damping: float) -> np.ndarray:
    """Mean of values by the k weights of largest size in each row: sum(w v) / (sum |w| + damping).

    Args:
        weights: [n, m].
        values: [m].
        k: number of weights used.
        damping: added to the divisor; draws the mean to 0.

    Returns:
        [n].

    """
    sizes = np.abs(weights)
    if k < weights.shape[1]:
        kept = top_k_columns(sizes, k)
        weights, sizes = (np.take_along_axis(part, kept, axis=1) for part in (weights, sizes))
        return (weights * values[kept]).sum(axis=1) / (sizes.sum(axis=1) + damping)
    return weights @ values / (sizes.sum(axis=1) + damping)
