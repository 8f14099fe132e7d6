"""Tests and confidence intervals for the difference of two systems, paired over the same users or taken over seeds.

The ratings of one user are not independent, but users are: one observation is a user with all their ratings.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from widedeep.schema.evaluation import Difference
from widedeep.schema.records import Record

CONFIDENCE = 0.95
RESAMPLES = 999
# Numbers in one batch of resamples: 16 MB for each of three arrays.
BATCH_NUMBERS = 1 << 21


class Spread(Record):
    """A metric over several seeds; sd and the interval of the mean (Student's t) are None for a single seed."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    runs: int


class MeanDifference(Record):
    """Difference of two means over seeds with its 95 % interval, whose bounds are None for a single seed."""

    difference: float
    low: float | None
    high: float | None
    paired: bool  # seed by seed; otherwise from the means and standard deviations alone (Welch)


def compare_means(system: np.ndarray, baseline: np.ndarray) -> Difference:
    """Difference of the means of a metric that each user has, such as NDCG@10, with a paired t-test.

    Args:
        system: [U] the metric of each user for one system.
        baseline: [U] the same for the other system and the same users, in the same order.

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

    The interval is the percentile interval of a bootstrap that draws users, each with all their ratings. The p-value
    is that of a paired t-test on the users' sums of squared errors, whose expected difference is 0 if and only if the
    mean squared errors are equal.

    Args:
        system: [U] sum of squared errors of each user's ratings.
        baseline: [U] the same for the other system and the same users, in the same order.
        ratings: [U] number of ratings of each user.
        seed: seed of the bootstrap.

    """
    low, high, p_value = None, None, None
    if len(ratings) > 1 and np.ptp(system - baseline) > 0:
        interval = stats.bootstrap(
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
        low, high = float(interval.low), float(interval.high)
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


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of several comparisons, so that all of them together err with the chance that each states.

    The step-down method of Holm ("A simple sequentially rejective multiple test procedure", 1979). The corrected values
    are in the order of `p_values`, and at most 1.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))).clip(max=1.0)
    return corrected.tolist()


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean and spread of a metric over runs that differ only in their seed; ValueError if there is none."""
    if not len(values):
        raise ValueError("values is empty: a spread needs at least one run")
    runs = np.asarray(values, np.float64)
    mean = float(runs.mean())
    if len(runs) == 1:
        return Spread(mean=mean, sd=None, low=None, high=None, runs=1)
    sd = float(runs.std(ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(runs) - 1)) * sd / len(runs) ** 0.5
    return Spread(mean=mean, sd=sd, low=mean - half, high=mean + half, runs=len(runs))


def paired_over_seeds(first: Sequence[float], second: Sequence[float]) -> MeanDifference:
    """First minus second, whose runs have the same seeds in the same order; ValueError if there are none."""
    spread = over_seeds([a - b for a, b in zip(first, second, strict=True)])
    return MeanDifference(difference=spread.mean, low=spread.low, high=spread.high, paired=True)


def welch_difference(means: tuple[float, float], sds: tuple[float, float], runs: tuple[int, int]) -> MeanDifference:
    """First minus second, of which only the mean, the standard deviation and the number of runs are known.

    The interval is Welch's: the variances of the two may differ, and the degrees of freedom are those of
    Satterthwaite, (a + b)^2 / (a^2 / (n - 1) + b^2 / (m - 1)) with a and b the squared standard errors.
    """
    difference = means[0] - means[1]
    squares = [sd**2 / n for sd, n in zip(sds, runs, strict=True)]
    half = 0.0
    if any(squares):
        freedom = sum(squares) ** 2 / sum(square**2 / (n - 1) for square, n in zip(squares, runs, strict=True))
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * sum(squares) ** 0.5
    return MeanDifference(difference=difference, low=difference - half, high=difference + half, paired=False)
