import numpy as np
import pytest

from widedeep.evaluation.damped_biases import fit_damped_biases


def test_biases_are_those_of_ridge_regression():
    random = np.random.default_rng(0)
    user, item, rating = random.integers(0, 8, 60), random.integers(0, 6, 60), random.integers(1, 11, 60).astype(float)
    fit = fit_damped_biases(user, item, rating, (8, 6), damping=(5.0, 3.0), sweeps=200)
    x = np.concatenate([np.eye(8)[user], np.eye(6)[item]], axis=1)
    prior = np.diag(np.sqrt([5.0] * 8 + [3.0] * 6))
    target = np.concatenate([rating - rating.mean(), np.zeros(14)])
    expected = np.linalg.lstsq(np.vstack([x, prior]), target, rcond=None)[0]
    assert np.concatenate([fit.user, fit.item]) == pytest.approx(expected, abs=1e-9)
    assert fit.predict(user, item) == pytest.approx(rating.mean() + x @ expected)
