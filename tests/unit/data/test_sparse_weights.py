"""SLIM's weights by hand; tests/unit/baselines compares them with scikit-learn's elastic net."""

import numpy as np
import pytest
from scipy.optimize import nnls

from widedeep.data.sparse_weights import nearest_by_cosine, slim_weights


def dense(gram: np.ndarray, nearest: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """Weights as a matrix; column i has those of the items from which item i is predicted."""
    found = np.zeros_like(gram)
    for item, (near, weight) in enumerate(zip(*slim_weights(gram, nearest, l1, l2), strict=True)):
        found[near, item] = weight
    return found


def test_a_slim_weight_by_hand():
    # From item 1 alone, item 0 has the weight (6 - 1) / (8 + 2). From items 1 and 2 it has the solution of
    # (8 + 2) a + 5 b = 6 - 1 and 5 a + (5 + 2) b = 4 - 1, as both a and b are above 0.
    gram = np.array([[9, 6, 4], [6, 8, 5], [4, 5, 5]], np.float32)
    one = dense(gram, np.array([[1], [0], [1]]), 1.0, 2.0)
    assert one == pytest.approx(np.array([[0, 5 / 11, 0], [0.5, 0, 0.4], [0, 0, 0]]))
    both = dense(gram, np.array([[1, 2], [0, 2], [1, 0]]), 1.0, 2.0)
    assert both[1:, 0] == pytest.approx(np.linalg.solve([[8 + 2, 5], [5, 5 + 2]], [6 - 1, 4 - 1]), abs=1e-3)
    assert (both.diagonal() == 0).all()
    assert not dense(gram, np.array([[1, 2], [0, 2], [1, 0]]), 6.0, 2.0).any()


def test_candidates_that_are_alike_are_told_apart():
    """Coordinate descent alone ends far from the solution, or not at all."""
    random = np.random.default_rng(0)
    common = random.random((300, 1)) < 0.5
    history = np.where(random.random((300, 30)) < 0.9, common, random.random((300, 30)) < 0.5).astype(np.float64)
    gram, l1, l2 = history.T @ history, 0.5, 0.1
    nearest = np.array([[other for other in range(30) if other != item] for item in range(30)])
    found = dense(gram.astype(np.float32), nearest, l1, l2)
    for item, near in enumerate(nearest):
        # The same minimum as least squares: |A w - b|^2 with A^T A = Q + l2 and A^T b = goal - l1.
        root = np.linalg.cholesky(gram[np.ix_(near, near)] + l2 * np.eye(29)).T
        best, _ = nnls(root, np.linalg.solve(root.T, gram[item, near] - l1))
        assert found[near, item] == pytest.approx(best, abs=1e-3)


def test_an_item_has_no_weight_for_itself():
    history = (np.random.default_rng(0).random((40, 12)) < 0.5).astype(np.float32)
    found = dense(history.T @ history, np.tile(np.arange(12), (12, 1)), 0.1, 1.0)
    assert (found.diagonal() == 0).all()
    assert (found >= 0).all()
    assert found.any(axis=0).all()


def test_the_nearest_items_are_those_of_largest_cosine():
    """Item 3 is never rated: its cosine with others is 0."""
    gram = np.array([[4, 3, 2, 0], [3, 25, 9, 0], [2, 9, 9, 0], [0, 0, 0, 0]], np.float32)
    assert nearest_by_cosine(gram, 2)[:3].tolist() == [[2, 1], [2, 0], [1, 0]]
    assert [set(near) for near in nearest_by_cosine(gram, 9).tolist()] == [{1, 2, 3}, {0, 2, 3}, {0, 1, 3}, {0, 1, 2}]
