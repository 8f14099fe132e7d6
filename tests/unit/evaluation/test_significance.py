import math

import numpy as np
import pytest

from widedeep.evaluation.significance import (
    compare_means,
    compare_rmse,
    holm,
    over_seeds,
    paired_over_seeds,
    welch_difference,
)


def test_paired_t_by_hand():
    # Differences 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3) with 2 degrees of freedom, whose 97.5 % point is 4.302653.
    found = compare_means(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert (found.system, found.baseline, found.difference, found.users) == (4.0, 2.0, 2.0, 3)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)
    # With 2 degrees of freedom the two-sided p-value is 1 - t / sqrt(2 + t^2).
    t = 2 * math.sqrt(3)
    assert found.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_no_difference_has_no_p_value():
    same = np.array([0.1, 0.5, 0.2])
    for found in (compare_means(same, same), compare_rmse(same, same, np.ones(3)), compare_means(same[:1], same[:1])):
        assert found.difference == 0.0
        assert (found.low, found.high, found.p_value) == (None, None, None)


def test_rmse_difference_by_hand():
    # Squared errors 4 + 8 of 3 ratings against 1 + 2: RMSE 2 and 1.
    found = compare_rmse(np.array([4.0, 8.0]), np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    assert (found.system, found.baseline, found.difference, found.users) == (2.0, 1.0, 1.0, 2)


def test_the_interval_counts_users_not_ratings():
    """All errors of a user are equal: the interval depends on the number of users only, by the delta method."""
    random = np.random.default_rng(0)
    users, each = 2000, 50
    first, second = (
        random.gamma(4, 0.4, users),
        random.gamma(4, 0.36, users),
    )  # squared error of all of a user's ratings
    ratings = np.full(users, float(each))
    found = compare_rmse(first * each, second * each, ratings)
    assert found.difference == pytest.approx(math.sqrt(first.mean()) - math.sqrt(second.mean()))
    slopes = first / (2 * math.sqrt(first.mean())) - second / (2 * math.sqrt(second.mean()))
    half = 1.96 * slopes.std(ddof=1) / math.sqrt(users)
    assert found.low == pytest.approx(found.difference - half, abs=0.12 * half)
    assert found.high == pytest.approx(found.difference + half, abs=0.12 * half)
    assert found.p_value < 1e-4


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        ratings = random.integers(1, 20, 300)
        base = random.gamma(2, 0.5, 300)
        system, baseline = (
            np.array([random.gamma(2 * n, b / 2) for n, b in zip(ratings, base, strict=True)]) for _ in "ab"
        )
        found = compare_rmse(system, baseline, ratings.astype(float))
        covered += found.low <= 0 <= found.high
    assert 88 <= covered <= 100  # 95 expected, sd 2.2


def test_the_same_seed_gives_the_same_interval():
    random = np.random.default_rng(2)
    data = random.random(50), random.random(50), np.ones(50)
    assert compare_rmse(*data, seed=3) == compare_rmse(*data, seed=3)
    assert compare_rmse(*data, seed=3).low != compare_rmse(*data, seed=4).low


def test_spread_by_hand():
    # 1, 2, 3: sd 1, and 4.302653 / sqrt(3) to either side.
    found = over_seeds([1.0, 2.0, 3.0])
    assert (found.mean, found.sd, found.runs) == (2.0, 1.0, 3)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)
    assert over_seeds([1.5]).model_dump() == {"mean": 1.5, "sd": None, "low": None, "high": None, "runs": 1}
    with pytest.raises(ValueError, match="values is empty"):
        over_seeds([])


def test_holm_by_hand():
    """The smallest counts four times, the next three times and so on; none gets below the one before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_differences_over_seeds_by_hand():
    # Differences 1, 2, 3, as in test_paired_t_by_hand.
    paired = paired_over_seeds([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (paired.difference, paired.paired) == (2.0, True)
    assert paired.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)
    # Equal deviations and runs: 4 degrees of freedom, whose 97.5 % point is 2.776445; squared standard error 2 / 3.
    welch = welch_difference((5.0, 3.0), (1.0, 1.0), (3, 3))
    assert (welch.difference, welch.paired) == (2.0, False)
    assert welch.low == pytest.approx(2 - 2.776445 * math.sqrt(2 / 3), abs=1e-5)
    exact = welch_difference((5.0, 3.0), (0.0, 0.0), (3, 3))
    assert (exact.low, exact.high) == (2.0, 2.0)
    with pytest.raises(ValueError, match="zip"):
        paired_over_seeds([1.0], [1.0, 2.0])
