"""Implicit ALS against ridge regression, and against its loss written out.

Legend: U users, J rated items, F factors.
"""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from tests.builders import TEN_POINTS
from tests.rating_splits import assert_valid_chooses, context_of, dense, everyone, random_splits
from widedeep.baselines.implicit_als import ImplicitAls, Loss, factorise, solve_rows
from widedeep.data.rating_matrices import Splits, preference

LOSS = Loss(unobserved=0.3, regularisation=0.2)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return random_splits()


def test_each_row_is_a_ridge_regression_on_all_columns(splits):
    other = np.random.default_rng(0).normal(size=(len(splits.rated), 4)).astype(np.float32)
    found = solve_rows(splits.past(True)[:, splits.rated], other, LOSS)
    weights = dense(splits, preference(splits.pairs("train")[2], TEN_POINTS))[:, splits.rated]
    assert found.dtype == np.float32
    for row, weight in zip(found, weights, strict=True):
        # w (1 - s)^2 + a s^2 = (w + a) (s - w / (w + a))^2 + what does not depend on s
        every = weight + LOSS.unobserved
        penalty = LOSS.regularisation * (weight > 0).sum()
        if not penalty:
            assert (row == 0).all()
            continue
        ridge = Ridge(alpha=penalty, fit_intercept=False).fit(other, weight / every, sample_weight=every)
        assert row == pytest.approx(ridge.coef_, abs=1e-4)
    assert (found[-2:] == 0).all()


def loss_of(user: np.ndarray, item: np.ndarray, weights: np.ndarray) -> float:
    """The loss of users [U, F] and items [J, F], from weights [U, J]."""
    scores, there = user @ item.T, weights > 0
    penalty = (there.sum(1) * (user**2).sum(1)).sum() + (there.sum(0) * (item**2).sum(1)).sum()
    errors = (weights * (1 - scores) ** 2).sum() + LOSS.unobserved * (scores**2).sum()
    return float(errors + LOSS.regularisation * penalty)


def test_many_sweeps_end_where_the_loss_is_lowest(splits):
    weights, rank = dense(splits, np.float32(1))[:-2, splits.rated], 3
    history = splits.past(False)[:, splits.rated]
    losses = [
        loss_of(*(f.astype(float) for f in factorise(history[:-2], rank, LOSS, n, 1)), weights) for n in (1, 5, 60)
    ]
    assert losses[0] > losses[1] > losses[2]
    users = len(weights)

    def flat_loss(flat: np.ndarray) -> float:
        return loss_of(flat[: users * rank].reshape(-1, rank), flat[users * rank :].reshape(-1, rank), weights)

    user, item = factorise(history[:-2], rank, LOSS, 60, 1)
    best = minimize(flat_loss, np.concatenate([user.ravel(), item.ravel()]).astype(float), options={"maxiter": 5})
    assert losses[2] == pytest.approx(best.fun, rel=1e-4)


def test_users_are_ranked_by_their_dot_products_with_the_rated_items(splits):
    baseline = ImplicitAls(ranks=(3,), regularisations=(0.2,), unobserved=(0.3,), iterations=4)
    plain, weighted = baseline.candidates(context_of(splits))
    for candidate in (plain, weighted):
        history = splits.past(candidate.settings["weighted_history"])[:, splits.rated]
        user, item = factorise(history, 3, LOSS, 4, seed=0)
        found = candidate.ranker(everyone(splits))
        assert found[:, splits.rated] == pytest.approx(user @ item.T, abs=1e-6)
        assert (found[:, -2:] == -np.inf).all()
    assert plain.settings == {"rank": 3, "regularisation": 0.2, "unobserved": 0.3, "weighted_history": False}
    assert not np.allclose(plain.ranker(everyone(splits)), weighted.ranker(everyone(splits)))


def test_the_valid_split_chooses_the_settings_of_implicit_als(splits):
    baseline = ImplicitAls(ranks=(2, 8), regularisations=(0.01, 0.1), unobserved=(0.1, 1.0), iterations=3)
    assert_valid_chooses(baseline, splits)
