"""How well one feature alone predicts held-out ratings, and whether it was computed from them.

A feature of a user or an item is the same for all its ratings, so sums by entity are enough; docs/leak-audit.md has the
derivation of the slope, the sign of a leak.

Legend: E entities (users or items), B bins of a feature, P (entity, bin) pairs, K entities with ratings in both splits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from widedeep.evaluation.rating_metrics import rmse_and_r2

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 50
PRIOR = 10.0  # ratings at the global mean that are added to each bin
MOST_BINS = 2000  # of a multi-valued feature: its most frequent values; the solution costs their cube
PRIORS = np.geomspace(0.1, 1000, 41)  # ratings; how strongly training means are shrunk, to try
MIN_ENTITIES = 30  # with ratings in both splits, to estimate a slope
SIGMAS = 4.0  # standard errors that a slope must be above HONEST_SLOPE
HONEST_SLOPE = 1.1  # 1 in theory; the rest is for popularity, which tells a little about both splits


@dataclass(frozen=True)
class Sums:
    """Ratings of a split by entity: their number and sum, each (E,); and the sum of the squares of all ratings."""

    n: Floats
    total: Floats
    squares: float

    @property
    def mean(self) -> float:
        """Mean of all ratings."""
        return float(self.total.sum() / self.n.sum())


@dataclass(frozen=True)
class Entities:
    """The ratings of the training split and of the held-out one, by entity."""

    train: Sums
    held_out: Sums


class Bins(NamedTuple):
    """The bins that each entity is in: one for a number or a category, any number for a multi-valued feature."""

    entity: Ints  # (P,)
    bin: Ints  # (P,)
    count: int  # B

    def matrix(self, entities: int) -> sparse.csr_matrix:
        """(E, B) indicators."""
        ones = np.ones(len(self.bin))
        return sparse.csr_matrix((ones, (self.entity, self.bin)), (entities, self.count))


class Errors(NamedTuple):
    """RMSE on the scale of the ratings, and R2: the explained share of a split's variance."""

    rmse: float
    r2: float


class Slope(NamedTuple):
    """The slope of held-out deviations, above 1 if a feature leaks, and its robust standard error."""

    value: float
    error: float

    @property
    def leaks(self) -> bool:
        """Whether the slope is too large for an honest feature by more than chance allows."""
        return self.value - SIGMAS * self.error > HONEST_SLOPE


class Measured(NamedTuple):
    """How well a feature alone predicts the ratings of both splits, and the sign of a leak."""

    train: Errors
    held_out: Errors
    slope: Slope | None


# --- features as bins ----------------------------------------------------------------------------


def number_bins(values: Floats, weight: Floats, bins: int = BINS) -> Bins:
    """Bins of about equal weight for a number; missing values (NaN) have bin 0 to themselves.

    Args:
        values: (E,), NaN where missing.
        weight: (E,) at least 0.
        bins: the most bins.

    """
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    reached = np.cumsum(weight[order])
    number = np.zeros(len(values), np.int64)
    edges = np.empty(0)
    if len(order) and reached[-1] > 0:
        marks = np.searchsorted(reached, reached[-1] * np.arange(1, bins) / bins)
        edges = np.unique(values[order[np.minimum(marks, len(order) - 1)]])
    number[known] = 1 + np.searchsorted(edges, values[known], "left")
    return Bins(np.arange(len(values)), number, len(edges) + 2)


def category_bins(values: Ints) -> Bins:
    """A bin for each category id (E,)."""
    return Bins(np.arange(len(values)), values, int(values.max(initial=0)) + 1)


def list_bins(offsets: Ints, values: Ints, most: int = MOST_BINS) -> Bins:
    """A bin for each category id of a multi-valued column. Ids are by frequency, so rare values are left out.

    Args:
        offsets: (E + 1,) where each entity's list begins in `values`.
        values: category ids of all lists, one list after the other.
        most: keep the ids below this.

    """
    entity = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    kept = values < most
    return Bins(entity[kept], values[kept], min(int(values.max(initial=0)) + 1, most))


# --- one feature against the ratings -------------------------------------------------------------


def measure(feature: Floats | Bins, entities: Entities, known: "Deviations") -> Measured:
    """Errors and slope of one feature.

    Args:
        feature: a number (E,), NaN where missing; or the bins of a category or a multi-valued feature.
        entities: the ratings.
        known: `deviations` of the same ratings.

    """
    if isinstance(feature, Bins):
        predicted = predictions(feature, entities.train)
        guess = predicted[known.chosen]
    else:
        predicted = predictions(number_bins(feature, entities.train.n), entities.train)
        guess = number_guess(feature, known)
    of_train, of_held_out = (errors(predicted, sums) for sums in (entities.train, entities.held_out))
    return Measured(of_train, of_held_out, slope(guess, known))


def predictions(bins: Bins, train: Sums) -> Floats:
    """(E,) each entity's rating as its bins alone predict it, fitted on the training split.

    Ridge regression of the ratings on the indicators of the bins. With one bin for each entity this is the mean rating
    of the bin, shrunk towards the global mean by PRIOR further ratings.
    """
    x, mean = bins.matrix(len(train.n)), train.mean
    rest = x.T @ (train.total - train.n * mean)  # (B,)
    weighted = sparse.diags(train.n) @ x
    if len(bins.entity) == len(train.n) and (np.diff(x.indptr) == 1).all():
        return mean + x @ (rest / (np.asarray(weighted.sum(0)).ravel() + PRIOR))
    gram = (x.T @ weighted).toarray() + PRIOR * np.eye(bins.count)
    return mean + x @ np.linalg.solve(gram, rest)


def errors(predicted: Floats, sums: Sums) -> Errors:
    """Errors of one prediction (E,) for all ratings of each entity; NaN for a split without ratings."""
    squared_error = sums.squares + float((sums.n * predicted**2 - 2 * predicted * sums.total).sum())
    return Errors(*rmse_and_r2(sums.n.sum(), squared_error, sums.total.sum(), sums.squares))


@dataclass(frozen=True)
class Deviations:
    """The entities with ratings in both splits, and how their training mean predicts their held-out mean."""

    chosen: Ints  # (K,) of the E entities
    train: Floats  # (K,) mean rating
    held_out: Floats  # (K,) mean rating
    guess: Floats  # (K,) the held-out mean, predicted from the training mean alone
    weight: Floats  # (K,) proportional to one over the variance of held_out - guess

    @property
    def enough(self) -> bool:
        """Whether there are enough entities for a slope."""
        return len(self.chosen) >= MIN_ENTITIES


def deviations(entities: Entities) -> Deviations:
    """Shrink the training means towards a common mean, by the strength that predicts the held-out means best."""
    train, held_out = entities.train, entities.held_out
    chosen = np.flatnonzero((train.n > 0) & (held_out.n > 0))
    n, h = train.n[chosen], held_out.n[chosen]
    train_mean, held_out_mean = train.total[chosen] / n, held_out.total[chosen] / h

    def guessed(prior: float) -> tuple[float, Floats, Floats]:
        weight, trust = 1 / (1 / h + 1 / (n + prior)), n / (n + prior)
        rest = held_out_mean - trust * train_mean
        centre = float((weight * (1 - trust) * rest).sum() / max((weight * (1 - trust) ** 2).sum(), 1e-300))
        guess = trust * train_mean + (1 - trust) * centre
        # All strengths are compared by the same weights, h.
        return float((h * (held_out_mean - guess) ** 2).sum()), guess, weight

    if not len(chosen):
        return Deviations(chosen, train_mean, held_out_mean, train_mean, h)
    _, guess, weight = min((guessed(float(prior)) for prior in PRIORS), key=lambda result: result[0])
    return Deviations(chosen, train_mean, held_out_mean, guess, weight)


def number_guess(values: Floats, known: Deviations, bins: int = BINS) -> Floats:
    """(K,) the mean rating, predicted from a number by a continuous function.

    The function joins the means of the bins by straight lines, or is one straight line if that fits the training means
    better. Bins themselves are too coarse: a mean over all ratings differs only slightly from one over the training
    ratings.

    Args:
        values: (E,), NaN where missing.
        known: the entities with ratings in both splits.
        bins: the most bins.

    """
    value, weight = values[known.chosen], known.weight
    _, number, count = number_bins(value, weight, bins)
    size = np.bincount(number, weight, count)
    level = np.bincount(number, weight * known.train, count) / np.maximum(size, 1e-300)
    filled = np.flatnonzero(size[1:] > 0) + 1
    if not len(filled):
        return level[number]
    there = number > 0
    value = np.where(there, value, 0)
    centre = np.bincount(number, weight * value, count)[filled] / size[filled]
    broken = np.where(there, np.interp(value, centre, level[filled]), level[0])
    straight = np.where(there, _line(value[there], known.train[there], weight[there])(value), level[0])
    return min((broken, straight), key=lambda guess: float((weight * (known.train - guess) ** 2).sum()))


def _line(x: Floats, y: Floats, weight: Floats) -> Callable[[Floats], Floats]:
    """The weighted least squares line of y on x, all (n,)."""
    at, level = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = float((weight * (x - at) ** 2).sum())
    steepness = float((weight * (x - at) * (y - level)).sum()) / spread if spread > 0 else 0.0
    return lambda value: level + steepness * (value - at)


def slope(guess: Floats, known: Deviations) -> Slope | None:
    """The slope of the held-out means' deviations on the feature's deviations; above 1 it is the sign of a leak.

    Args:
        guess: (K,) the mean rating, predicted from the feature alone.
        known: the same entities.

    Returns:
        None with too few entities, or if the feature adds nothing to the training mean.

    """
    if not known.enough:
        return None
    # Calibrated first: a guess on another scale could have any slope.
    w, centred = known.weight, guess - np.average(guess, weights=known.weight)
    spread = float((w * centred**2).sum())
    factor = float((w * centred * known.train).sum()) / spread if spread > 0 else 0.0
    x = np.average(known.train, weights=w) + factor * centred - known.guess
    y = known.held_out - known.guess
    power = float((w * x**2).sum())
    if power < 1e-6 * float(w.sum()):
        return None
    value = float((w * x * y).sum()) / power
    error = math.sqrt(float((w**2 * x**2 * (y - value * x) ** 2).sum())) / power
    return Slope(value, error)
