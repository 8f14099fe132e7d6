"""SLIM: each item as a sparse, non-negative sum of similar items (Ning & Karypis, ICDM 2011).

"SLIM: Sparse linear methods for top-N recommender systems", in the variant fsSLIM: only the items of largest cosine may
have a weight. One item after another would be slow, so the items of a block take each step of the descent together.

Legend: J items, b items of a block, k items that may have a weight, candidates in short.
"""

from typing import NamedTuple

import numpy as np

from widedeep.data.matrix_products import row_blocks, top_k_columns

# Items that are solved for at once: their products of candidates take 4 b k^2 bytes.
ITEMS_PER_BLOCK = 1024
# An item is solved when none of its weights moves further than this in a sweep over its candidates, or after so many
# sweeps.
TOLERANCE, MOST_SWEEPS = 1e-4, 200
SWEEPS_PER_SOLUTION = 2


class Neighbours(NamedTuple):
    """The items from which each item is predicted."""

    item: np.ndarray  # [J, k] int64
    weight: np.ndarray  # [J, k] float32, not negative


def nearest_by_cosine(gram: np.ndarray, k: int) -> np.ndarray:
    """Return the k items of largest cosine with each item, itself aside: [J, J] X^T X -> [J, k] int64, best first."""
    scale = 1.0 / np.sqrt(np.maximum(gram.diagonal(), np.float32(1e-9)))
    nearest = []
    for rows in row_blocks(len(gram)):
        block = gram[rows] * scale
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = -1.0
        nearest.append(top_k_columns(block, min(k, len(gram) - 1)))
    return np.concatenate(nearest)


def slim_weights(gram: np.ndarray, nearest: np.ndarray, l1: float, l2: float) -> Neighbours:
    """Solve for the weights B >= 0 with zero diagonal that minimise 1/2 |X - X B|^2 + l2/2 |B|^2 + l1 sum of B.

    Args:
        gram: [J, J] float32 X^T X, where X has no negative entries.
        nearest: [J, k] int64 candidates of each item; a weight of an item for itself stays 0.
        l1: strength of the penalty that makes weights 0.
        l2: strength of the penalty that makes weights small, above 0.

    Returns:
        the candidates and their weights, many of them 0.

    """
    weights = np.zeros(nearest.shape, np.float32)
    for low in range(0, len(nearest), ITEMS_PER_BLOCK):
        block = slice(low, low + ITEMS_PER_BLOCK)
        near = nearest[block]
        item = np.arange(low, low + len(near))[:, None]
        # Without a positive product with the goal a weight stays 0, since no products are negative.
        goal = np.where(near == item, 0, gram[item, near])
        weights[block] = descend(gram[near.T[:, :, None], near], goal, l1, l2)
    return Neighbours(nearest, weights)


def descend(products: np.ndarray, goal: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """Minimise 1/2 w Q w - w goal + l2/2 |w|^2 + l1 sum of w over w >= 0 for several items, by coordinate descent.

    Where candidates are alike, that alone takes a hundred sweeps and more. So after some sweeps the weights above 0 are
    solved for together, and an item keeps what lowers its sum.

    Args:
        products: [k, b, k] float32 Q: products of a candidate with the other candidates of the same item.
        goal: [b, k] products of the candidates with the item.
        l1: as in `slim_weights`.
        l2: the same.

    Returns:
        [b, k] float32.

    """
    weights, goal = np.zeros(goal.shape, np.float32), goal.astype(np.float32)
    rest = goal.copy()  # goal - Q w
    items = np.arange(len(goal))
    for sweep in range(1, MOST_SWEEPS + 1):
        furthest = _sweep(products, weights, rest, items, l1, l2)
        items = np.flatnonzero(furthest > TOLERANCE)
        if not len(items):
            break
        if sweep % SWEEPS_PER_SOLUTION == 0:
            _keep_if_lower(products, goal, weights, rest, items, l1, l2)
    return weights


def _sweep(
    products: np.ndarray, weights: np.ndarray, rest: np.ndarray, items: np.ndarray, l1: float, l2: float
) -> np.ndarray:
    """Move each weight of some items to its best value in turn, and `rest` with it; return the longest moves, [b]."""
    own = np.diagonal(products, axis1=0, axis2=2)  # [b, k] squared lengths of the candidates
    furthest = np.zeros(len(weights), np.float32)
    for column, others in enumerate(products):
        old, length = weights[items, column], own[items, column]
        best = (rest[items, column] + length * old - l1) / (length + l2)
        step = np.maximum(best, 0) - old
        moves = np.flatnonzero(step)  # few: many weights stay 0
        moved, step = items[moves], step[moves]
        weights[moved, column] += step
        rest[moved] -= others[moved] * step[:, None]
        furthest[moved] = np.maximum(furthest[moved], np.abs(step))
    return furthest


def _keep_if_lower(
    products: np.ndarray,
    goal: np.ndarray,
    weights: np.ndarray,
    rest: np.ndarray,
    items: np.ndarray,
    l1: float,
    l2: float,
) -> None:
    """Give those of some items the weights of `_solve`, and `rest` with them, whose sum is lower for it."""
    old, old_rest, wanted = weights[items], rest[items], goal[items]
    new = _solve(products, wanted, old, items, l1, l2)
    new_rest = wanted - (products[:, items].transpose(1, 0, 2) @ new[:, :, None])[:, :, 0]
    # With Q w = goal - rest, 1/2 w Q w - w goal is -1/2 w (goal + rest).
    before, after = ((w * (l1 + 0.5 * (l2 * w - wanted - r))).sum(1) for w, r in ((old, old_rest), (new, new_rest)))
    lower = after < before
    weights[items[lower]], rest[items[lower]] = new[lower], new_rest[lower]


def _solve(
    products: np.ndarray, goal: np.ndarray, weights: np.ndarray, items: np.ndarray, l1: float, l2: float
) -> np.ndarray:
    """Return the weights of some items if those above 0 are solved for together, and cut off at 0.

    Args:
        products: of all items of the block.
        goal: [m, k] of these items.
        weights: [m, k] their weights so far.
        items: [m] their places in the block.
        l1: as in `slim_weights`.
        l2: the same.

    Returns:
        [m, k] float32.

    """
    above = weights > 0
    most = int(above.sum(1).max(initial=0))
    place = np.argsort(~above, axis=1, kind="stable")[:, :most]  # of those above 0, filled up with others
    above = np.take_along_axis(above, place, 1)
    matrix = products[place[:, :, None], items[:, None, None], place[:, None]]
    matrix = matrix * (above[:, :, None] & above[:, None]) + l2 * np.eye(most, dtype=np.float32)
    wanted = (np.take_along_axis(goal, place, 1) - np.float32(l1)) * above
    found = np.linalg.solve(matrix, wanted[:, :, None])[:, :, 0]
    solved = np.zeros(weights.shape, np.float32)
    np.put_along_axis(solved, place, np.maximum(found, 0), 1)
    return solved
