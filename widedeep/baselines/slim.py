"""SLIM: each item as a sparse, non-negative sum of similar items (Ning & Karypis, ICDM 2011).

"SLIM: Sparse linear methods for top-N recommender systems", in the variant fsSLIM: only the items of largest cosine may
have a weight. One item after another would be slow, so the items of a block take each step of the descent together.

Legend: U users, J rated items, b items of a block, k items that may have a weight, candidates in short.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from widedeep.baselines.base import Baseline, BaselineContext, Counts, NonNegatives, Positives
from widedeep.baselines.item_knn import nearest_items, sparse_ranker
from widedeep.baselines.tuning import Candidate
from widedeep.data.matrix_products import dense_product, sparse_from_top_k
from widedeep.data.rating_matrices import Splits

# Items that are solved for at once: their products of candidates take 4 b k^2 bytes.
ITEMS_PER_BLOCK = 1024
# An item is solved when none of its weights moves further than this in a sweep over its candidates, or after so many
# sweeps.
TOLERANCE, MOST_SWEEPS = 1e-4, 200


class Slim(Baseline):
    """Sparse, non-negative weights of similar items rank items."""

    name = "slim"
    neighbours: Counts = Field(default=(100,), description="items of largest cosine, which may have a weight")
    l1: NonNegatives = Field(default=(1.0, 3.0, 10.0), description="penalty of the weights that leaves few of them")
    l2: Positives = Field(default=(10.0, 50.0), description="penalty of the squares of the weights")

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield candidates for lists: plain or weighted histories, both to fit and to score."""
        splits = context.splits
        for weighted_fit in (False, True):
            history = splits.past(weighted_fit)[:, splits.rated].T.tocsr()  # [J, U]
            gram = dense_product(history, history)
            nearest, _ = nearest_items(gram, gram.diagonal(), 0.5, 0.0, max(self.neighbours))  # by cosine
            for k, l1, l2 in product(self.neighbours, self.l1, self.l2):
                weights = slim_weights(gram, nearest[:, :k], l1, l2)
                for weighted in (True,) if weighted_fit else (False, True):
                    histories = {"weighted_fit": weighted_fit, "weighted_history": weighted}
                    ranker = sparse_ranker(splits, splits.past(weighted), weights)
                    yield Candidate({"k": k, "l1": l1, "l2": l2} | histories, ranker=ranker)

    def memory_bytes(self, splits: Splits) -> int:
        """Estimate the memory of two Gram matrices, of plain and of weighted histories, and of a block."""
        return 2 * 4 * len(splits.rated) ** 2 + 2 * 4 * ITEMS_PER_BLOCK * max(self.neighbours) ** 2


def slim_weights(gram: np.ndarray, nearest: np.ndarray, l1: float, l2: float) -> sp.csr_matrix:
    """Solve for the weights B >= 0 with zero diagonal that minimise 1/2 |X - X B|^2 + l2/2 |B|^2 + l1 sum of B.

    Args:
        gram: [J, J] float32 X^T X, where X has no negative entries.
        nearest: [J, k] int64 candidates of each item; a weight of an item for itself stays 0.
        l1: strength of the penalty that makes weights 0.
        l2: strength of the penalty that makes weights small, above 0.

    Returns:
        sparse [J, J] float32; column i has the weights of the items from which item i is predicted.

    """
    weights = np.zeros(nearest.shape, np.float32)
    for low in range(0, len(nearest), ITEMS_PER_BLOCK):
        block = slice(low, low + ITEMS_PER_BLOCK)
        near = nearest[block]
        item = np.arange(low, low + len(near))[:, None]
        # Without a positive product with the goal a weight stays 0, since no products are negative.
        goal = np.where(near == item, 0, gram[item, near])
        weights[block] = descend(gram[near.T[:, :, None], near], goal, l1, l2)
    return sparse_from_top_k(nearest, weights, len(gram)).T.tocsr()


def descend(products: np.ndarray, goal: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """Minimise 1/2 w Q w - w goal + l2/2 |w|^2 + l1 sum of w over w >= 0 for several items, by coordinate descent.

    Args:
        products: [k, b, k] float32 Q: products of a candidate with the other candidates of the same item.
        goal: [b, k] products of the candidates with the item.
        l1: as in `slim_weights`.
        l2: the same.

    Returns:
        [b, k] float32.

    """
    weights, rest = np.zeros(goal.shape, np.float32), goal.astype(np.float32)  # rest: goal - Q w
    own = np.diagonal(products, axis1=0, axis2=2)  # [b, k] squared lengths of the candidates
    open_items = np.arange(len(goal))
    for _ in range(MOST_SWEEPS):
        furthest = np.zeros(len(goal), np.float32)
        for column, others in enumerate(products):
            old, length = weights[open_items, column], own[open_items, column]
            best = (rest[open_items, column] + length * old - l1) / (length + l2)
            step = np.maximum(best, 0) - old
            moves = np.flatnonzero(step)  # few: most weights stay 0
            moved, step = open_items[moves], step[moves]
            weights[moved, column] += step
            rest[moved] -= others[moved] * step[:, None]
            furthest[moved] = np.maximum(furthest[moved], np.abs(step))
        open_items = np.flatnonzero(furthest > TOLERANCE)
        if not len(open_items):
            break
    return weights
