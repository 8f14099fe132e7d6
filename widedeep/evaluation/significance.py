"""Whether one system is better than another, and by how much: paired over the same users.

Ratings of a user are not independent, users are: so a user, with all his ratings, is what tests and intervals take as
one observation.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from widedeep.schema.records import Record

CONFIDENCE = 0.95
RESAMPLES = 999
# Numbers that one batch of resamples holds: 16 MB for each of three arrays.
BATCH_NUMBERS = 1 << 21


class Difference(Record):
    """System minus baseline, with its 95 % confidence interval and two-sided p-value.

    p_value is None where it is undefined: fewer than two users, or all differences equal.
    """

    system: float
    baseline: float
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    users: int


class Spread(Record):
    """A figure over several seeds; sd and the interval of the mean (Student's t) are None of a single one."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    runs: int


def compare_means(system: np.ndarray, baseline: np.ndarray) -> Difference:
    """Difference of the mean of a figure that each user has, such as NDCG@10: paired t-test.

    Args:
        system: [U] of one system.
        baseline: [U] of the other, of the same users in the same order.

    """
    difference = system - baseline
    low, high, p_value = None, None, None
    if len(difference) > 1 and np.ptp(difference) > 0:
        test = stats.ttest_rel(system, baseline)
        interval = test.confidence_interval(CONFIDENCE)
        low, high, p_value = float(interval.low), float(interval.high), float(test.pvalue)
    return Difference(
        system=float(system.mean()),
        baseline=float(baseline.mean()),
        difference=float(difference.mean()),
        low=low,
        high=high,
        p_value=p_value,
        users=len(difference),
    )


def compare_rmse(system: np.ndarray, baseline: np.ndarray, ratings: np.ndarray, seed: int = 0) -> Difference:
    """Difference of the RMSE over the same ratings.

    The interval is the percentile one of a bootstrap that draws users, each with all his ratings. The p-value is
    that of a paired t-test on the users' sums of squared errors: their expected difference is 0 just where the
    mean squared errors are equal.

    Args:
        system: [U] sum of squared errors of each user's ratings.
        baseline: [U] the same of the other system, of the same users in the same order.
        ratings: [U] number of ratings of each user.
        seed: of the bootstrap.

    """
    low, high, p_value = None, None, None
    if len(ratings) > 1 and np.ptp(system - baseline) > 0:
        drawn = stats.bootstrap(
            (system, baseline, ratings),
            _rmse_difference,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, BATCH_NUMBERS // len(ratings)),
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = float(drawn.low), float(drawn.high)
        p_value = float(stats.ttest_rel(system, baseline).pvalue)
    return Difference(
        system=float(_rmse(system, ratings)),
        baseline=float(_rmse(baseline, ratings)),
        difference=float(_rmse_difference(system, baseline, ratings)),
        low=low,
        high=high,
        p_value=p_value,
        users=len(ratings),
    )


def _rmse(squared: np.ndarray, ratings: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.sqrt(squared.sum(axis) / ratings.sum(axis))


def _rmse_difference(system: np.ndarray, baseline: np.ndarray, ratings: np.ndarray, axis: int = -1) -> np.ndarray:
    return _rmse(system, ratings, axis) - _rmse(baseline, ratings, axis)


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean and spread of a figure over runs that differ in their seed only; ValueError if there is none."""
    if not len(values):
        raise ValueError("values is empty: a spread needs a run at least")
    found = np.asarray(values, np.float64)
    mean = float(found.mean())
    if len(found) == 1:
        return Spread(mean=mean, sd=None, low=None, high=None, runs=1)
    sd = float(found.std(ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(found) - 1)) * sd / len(found) ** 0.5
    return Spread(mean=mean, sd=sd, low=mean - half, high=mean + half, runs=len(found))
