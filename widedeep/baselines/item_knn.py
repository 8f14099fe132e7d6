"""Neighbourhoods of items: for lists by who rated both, for ratings by how alike they were rated.

Legend: U users, J rated items (those with training ratings), I all items, k neighbours.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from widedeep.baselines.products import at, dense_product, row_blocks, squared, strongest
from widedeep.baselines.simple import residuals
from widedeep.baselines.tuning import Offer, Predictor, Ranker
from widedeep.config.baselines import ItemKnnGrid
from widedeep.data.rating_matrices import Splits

# --- lists -------------------------------------------------------------------------------------


def set_similarity(
    common: np.ndarray, own: np.ndarray, others: np.ndarray, exponent: float, shrinkage: float
) -> np.ndarray:
    """How alike sets are: an asymmetric cosine (Aiolli, 2013).

    Args:
        common: [A, B] members in both sets.
        own: [A] sizes of the sets of the rows, for which neighbours are looked for.
        others: [B] sizes of those of the columns, the neighbours.
        exponent: 0.5 is the cosine; above that, large neighbours count less.
        shrinkage: added to the divisor, so that small sets are not alike by chance.

    Returns:
        [A, B] float32, common / (own^(1 - exponent) x others^exponent + shrinkage).

    """
    # In place: these matrices are the largest there are.
    divisor = np.multiply.outer(
        np.power(own, 1 - exponent, dtype=np.float32), np.power(others, exponent, dtype=np.float32)
    )
    divisor += np.float32(shrinkage)
    np.maximum(divisor, np.float32(1e-9), out=divisor)
    return np.divide(common, divisor, out=divisor)


def item_lists(splits: Splits, grid: ItemKnnGrid) -> Iterator[Offer]:
    """The sum of an item's similarities with a user's history, over the k items most similar to it."""
    rated = splits.rated
    columns = splits.history[:, rated].T.tocsr()  # [J, U]
    sizes = np.diff(columns.indptr)
    common = dense_product(columns, columns)  # [J, J]
    for exponent in grid.list_exponents:
        for shrinkage in grid.list_shrinkages:
            closest, weights = nearest_items(common, sizes, exponent, shrinkage, max(grid.list_neighbours))
            for k in grid.list_neighbours:
                to_items = at(closest[:, :k], weights[:, :k], len(rated)).T.tocsr()  # [J of the history, J scored]
                for weighted in (False, True):
                    settings = {"exponent": exponent, "shrinkage": shrinkage, "k": k, "weighted_history": weighted}
                    yield Offer(settings, ranker=summed(splits, splits.past(weighted), to_items))


def nearest_items(
    common: np.ndarray, sizes: np.ndarray, exponent: float, shrinkage: float, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar others of each item, best first.

    Args:
        common: [J, J] users who rated both.
        sizes: [J] users who rated each.
        exponent: of `set_similarity`.
        shrinkage: of `set_similarity`.
        k: how many.

    Returns:
        positions [J, k] int64 and similarities [J, k] float32.

    """
    closest, weights = [], []
    for rows in row_blocks(len(common)):
        block = set_similarity(common[rows], sizes[rows], sizes, exponent, shrinkage)
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = 0  # none is its own neighbour
        columns = strongest(block, k)
        closest.append(columns)
        weights.append(np.take_along_axis(block, columns, axis=1))
    return np.concatenate(closest), np.concatenate(weights)


def summed(splits: Splits, history: sp.csr_matrix, to_items: sp.csr_matrix) -> Ranker:
    """Scores of rated items: history [U, I] x weights [J, J]."""
    known = history[:, splits.rated]
    return lambda users: splits.widen((known[users] @ to_items).toarray())


# --- ratings -----------------------------------------------------------------------------------


def residual_similarity(
    products: np.ndarray,
    common: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    shrinkage: float,
) -> np.ndarray:
    """Correlation of residuals, shrunk to 0 where few stand behind it (Koren, 2008, section 2.2).

    Args:
        products: [A, B] sums of products of residuals over common raters.
        common: [A, B] number of common raters.
        left: [A, B] or [A, 1] sums of squared residuals of the rows; over the common raters for
            Pearson's correlation, over all for the cosine.
        right: [A, B] or [1, B] the same of the columns.
        shrinkage: common raters that halve the correlation.

    Returns:
        [A, B] float32.

    """
    scale = np.sqrt(np.maximum(left * right, np.float32(1e-12)))
    return (products / scale * (common / np.maximum(common + np.float32(shrinkage), 1e-9))).astype(np.float32)


def item_ratings(splits: Splits, base: Predictor, grid: ItemKnnGrid) -> Iterator[Offer]:
    """Biases plus the weighted mean of the user's residuals at the k most similar of the items he rated."""
    rest = splits.matrix("train", residuals(splits, base))  # [U, I]
    for settings, similar in item_similarities(splits, rest, grid):
        for k in grid.rating_neighbours:
            for damping in grid.rating_dampings:
                found = {**settings, "k": k, "damping": damping}
                yield Offer(found, ItemNeighbours(base, rest, similar, splits, k, damping))


def item_similarities(splits: Splits, rest: sp.csr_matrix, grid: ItemKnnGrid) -> Iterator[tuple[dict, np.ndarray]]:
    """[J, J] float32 for each similarity and shrinkage."""
    columns = rest[:, splits.rated].T.tocsr()  # [J, U]
    there = splits.history[:, splits.rated].T.tocsr()
    products, common = dense_product(columns, columns), dense_product(there, there)
    squares = squared(columns)
    for kind in grid.rating_similarities:
        # Squares of the row's residuals over common raters [J, J], or over all its raters [J, 1].
        sums = dense_product(squares, there) if kind == "pearson" else np.asarray(squares.sum(axis=1), np.float32)
        for shrinkage in grid.rating_shrinkages:
            similar = np.empty_like(products)
            for rows in row_blocks(len(products)):
                right = sums[:, rows].T if kind == "pearson" else sums.T
                similar[rows] = residual_similarity(products[rows], common[rows], sums[rows], right, shrinkage)
            yield {"similarity": kind, "shrinkage": shrinkage}, similar


class ItemNeighbours:
    """Predicts pairs from the user's most similar rated items."""

    def __init__(
        self, base: Predictor, rest: sp.csr_matrix, similar: np.ndarray, splits: Splits, k: int, damping: float
    ):
        self._base, self._rest, self._similar, self._k, self._damping = base, rest, similar, k, damping
        self._place = np.full(splits.items, -1)  # position among the rated items
        self._place[splits.rated] = np.arange(len(splits.rated))

    def __call__(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """[n], [n] -> [n] float64; items nobody has rated keep their bias."""
        predicted = self._base(user, item)
        known = np.flatnonzero(self._place[item] >= 0)
        order = known[np.argsort(user[known], kind="stable")]
        for rows in np.split(order, np.flatnonzero(np.diff(user[order])) + 1):
            if len(rows):
                predicted[rows] += self._correction(int(user[rows[0]]), self._place[item[rows]])
        return predicted

    def _correction(self, user: int, places: np.ndarray) -> np.ndarray:
        """[n] for the rated items at `places`."""
        span = slice(self._rest.indptr[user], self._rest.indptr[user + 1])
        values = self._rest.data[span]
        weights = self._similar[np.ix_(places, self._place[self._rest.indices[span]])]  # [n, rated by the user]
        return weighted_mean(weights, values, self._k, self._damping)


def weighted_mean(weights: np.ndarray, values: np.ndarray, k: int, damping: float) -> np.ndarray:
    """Means of values by the k weights of largest size of each row, drawn to 0 by `damping`.

    Args:
        weights: [n, m].
        values: [m].
        k: weights used.
        damping: added to the sum of their sizes.

    Returns:
        [n] sum(w v) / (sum |w| + damping).

    """
    sizes = np.abs(weights)
    if k < weights.shape[1]:
        kept = strongest(sizes, k)
        weights, sizes = (np.take_along_axis(part, kept, axis=1) for part in (weights, sizes))
        return (weights * values[kept]).sum(axis=1) / (sizes.sum(axis=1) + damping)
    return weights @ values / (sizes.sum(axis=1) + damping)
