"""The item x item weights against EASE as it is published, refitted in double precision."""

import numpy as np
import pytest
import torch

from widedeep.models.history.wide import DIAGONAL_SHARE, ITEM_POWER, USER_POWER, Bags, WideCrosses, fit_crosses

USERS, ITEMS, RIDGE = 25, 12, 3.0


class Case:
    """Random histories, the crosses fitted to them, and their scaled matrix X."""

    def __init__(self, seed: int = 0):
        random = np.random.default_rng(seed)
        self.user, self.item = np.nonzero(random.random((USERS, ITEMS)) < 0.4)
        self.weight = random.uniform(0.1, 2.0, len(self.user)).astype(np.float32)
        self.residual = random.normal(size=len(self.user)).astype(np.float32)
        fitted = fit_crosses(self.user, self.item, self.weight, (USERS, ITEMS), RIDGE, torch.device("cpu"))
        self.crosses = WideCrosses(ITEMS)
        self.crosses.load_state_dict(fitted)
        self.item_scale = fitted["item_scale"].double().numpy()
        self.user_scale = fitted["user_scale"].item()
        self.matrix = np.stack([self.scaled(self.row(u)) for u in range(USERS)])
        squares = (self.matrix**2).sum(0)
        self.ridge = np.diag(RIDGE + DIAGONAL_SHARE * squares)

    def row(self, user: int, values: np.ndarray | None = None) -> np.ndarray:
        """The weights (or other values) of a user, [ITEMS]."""
        row, mine = np.zeros(ITEMS), self.user == user
        row[self.item[mine]] = (self.weight if values is None else values)[mine]
        return row

    def size(self, row: np.ndarray) -> float:
        return max(1, np.count_nonzero(row)) ** -USER_POWER * self.user_scale

    def scaled(self, row: np.ndarray) -> np.ndarray:
        return row * self.item_scale * self.size(row)

    def ease(self, matrix: np.ndarray) -> np.ndarray:
        """The weights B of EASE, [ITEMS, ITEMS]."""
        inverse = np.linalg.inv(matrix.T @ matrix + self.ridge)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        return weights


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def bags(rows: list[np.ndarray]) -> Bags:
    items = [np.flatnonzero(row) for row in rows]
    start = torch.from_numpy(np.cumsum([0, *map(len, items)]))
    weight = torch.from_numpy(np.concatenate([row[item] for row, item in zip(rows, items, strict=True)])).float()
    return Bags(start, torch.from_numpy(np.concatenate(items)), weight)


def assert_scores(found: torch.Tensor, rows: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Compare the scores of the items that are not in the histories `rows`: only those are recommended."""
    assert torch.isfinite(found).all()
    for scores, row, wanted in zip(found.numpy(), rows, expected, strict=True):
        np.testing.assert_allclose(scores[row == 0], wanted[row == 0], rtol=1e-4, atol=1e-5)
    assert np.abs(np.stack(expected)).max() > 0.05


def test_known_users_are_scored_as_ease_scores_them(case):
    rows, odd = ([case.row(u, values) for u in range(USERS)] for values in (None, case.residual))
    past = bags(rows)
    found = case.crosses.scores(past, torch.from_numpy(case.residual), known=True)
    weights = case.ease(case.matrix)
    assert_scores(found.preference, rows, [row * case.item_scale @ weights for row in rows])
    assert_scores(found.residual, rows, [row * case.item_scale @ weights for row in odd])


def test_a_stranger_is_scored_as_if_in_the_data(case):
    random = np.random.default_rng(1)
    rows = [np.where(random.random(ITEMS) < share, random.uniform(0.1, 2.0, ITEMS), 0.0) for share in (0.2, 0.5, 0.0)]
    residuals = [np.where(row > 0, random.normal(size=ITEMS), 0.0) for row in rows]
    residual = torch.from_numpy(np.concatenate([r[row > 0] for r, row in zip(residuals, rows, strict=True)])).float()
    found = case.crosses.scores(bags(rows), residual, known=False)
    weights = [case.ease(np.vstack([case.matrix, case.scaled(row)])) for row in rows]
    for scores, content in ((found.preference, rows), (found.residual, residuals)):
        expected = [row * case.item_scale @ weight for row, weight in zip(content, weights, strict=True)]
        assert_scores(scores, rows, expected)
    assert not found.preference[2].any()  # nobody is known by an empty history


def test_users_are_scored_as_if_they_had_a_part_of_their_ratings(case):
    """One user keeps all ratings, one a half, one a single rating, one none."""
    users, kept = (3, 4, 5, 6), (lambda n: n, lambda n: n // 2, lambda n: 1, lambda n: 0)
    full, parts, odd = [case.row(user) for user in users], [], []
    for row, user, keep in zip(full, users, kept, strict=True):
        there = np.flatnonzero(row)
        gone = there[keep(len(there)) :]
        parts.append(row.copy())
        odd.append(case.row(user, case.residual))
        parts[-1][gone] = odd[-1][gone] = 0.0
    residual = torch.from_numpy(np.concatenate([r[part > 0] for r, part in zip(odd, parts, strict=True)])).float()
    others = [row - part for row, part in zip(full, parts, strict=True)]
    found = case.crosses.scores_without(bags(others), bags(parts), residual)
    refitted = []
    for user, part in zip(users, parts, strict=True):
        matrix = case.matrix.copy()
        matrix[user] = case.scaled(part)
        refitted.append(case.ease(matrix))
    for scores, content in ((found.preference, parts), (found.residual, odd)):
        expected = [row * case.item_scale @ weights for row, weights in zip(content, refitted, strict=True)]
        assert_scores(scores, parts, expected)
    with_all = case.crosses.scores(bags(parts), residual, known=True)  # it matters what was removed
    assert (with_all.preference - found.preference)[1][torch.from_numpy(parts[1] == 0)].abs().max() > 1e-3


def test_scales_shrink_with_popularity_and_leave_the_amount_of_ratings(case):
    squares = np.bincount(case.item, case.weight.astype(float) ** 2, ITEMS)
    np.testing.assert_allclose(case.item_scale / case.item_scale[0], (squares / squares[0]) ** -ITEM_POWER, rtol=1e-5)
    assert (squares * case.item_scale**2).sum() == pytest.approx(squares.sum(), rel=1e-5)
    counts = np.bincount(case.user, minlength=USERS)
    scales = np.maximum(counts, 1.0) ** -USER_POWER * case.user_scale
    assert (counts * scales**2).sum() == pytest.approx(len(case.user), rel=1e-5)


def test_items_without_ratings_are_neither_scored_nor_in_the_way():
    user, item, weight = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.ones(4, np.float32)
    crosses = WideCrosses(3)
    crosses.load_state_dict(fit_crosses(user, item, weight, (2, 3), 1.0, torch.device("cpu")))
    past = Bags(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1))
    scores = crosses.scores(past, torch.ones(1), known=True).preference
    assert scores[0, 2] == 0.0
    assert scores[0, 1] > 0.1
