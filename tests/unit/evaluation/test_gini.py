import numpy as np
import pytest

from widedeep.evaluation.gini import gini


def test_gini_is_half_the_relative_mean_difference():
    random = np.random.default_rng(1)
    times = random.geometric(0.2, 300) - 1
    values, counts = np.unique(times, return_counts=True)
    differences = np.abs(times[:, None] - times[None]).mean()
    found = gini(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    assert found == pytest.approx(differences / (2 * times.mean()))


def test_gini_by_hand():
    assert gini({3: 5}) == 0.0
    assert gini({0: 9, 7: 1}) == pytest.approx(0.9)  # all of it to one of ten
    assert gini({1: 1, 3: 1}) == pytest.approx(0.25)
    assert gini({0: 4}) is None
