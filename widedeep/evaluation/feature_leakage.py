"""How well one feature alone predicts held-out ratings, and whether it was computed from them.

A feature of an anime (or of a user) is the same for all its ratings, so sums by entity are all that is needed.

The sign of a leak. Let q be what an entity's ratings tend to, t the mean of its training ratings, h that of its
held-out ones: h = q + noise, and the noise is of these very ratings. m is the best guess of h from t alone (t drawn
towards the mean of all), g the best guess from the feature alone. Regress h - m on g - m. For an honest feature the
noise of h is news, so the slope is at most 1: it is 1 if the feature is q itself, less the more it errs, and 0 if the
feature only repeats the training ratings. A mean over all ratings, held-out ones included, lies between t and h, and h
deviates from t by more than it does: with a share s of its ratings in the training split, and n such ratings beside
others it was computed from, the slope is 1 / (1 - s), 5 for a random 80/10/10 split. A slope above 1 by more than
chance allows is therefore a sign of held-out ratings. A feature computed from many times as many ratings as the data
holds (a site's score of a subsample of the site) has a slope near 1 and is not found so: provenance must tell.

Legend: E entities, C codes of a feature (bins, values of a category, indicators), P (entity, code) pairs.
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
PRIOR = 10.0  # ratings at the mean that each value of a feature begins with
MOST_CODES = 2000  # of a multi-valued feature: the most frequent ones; the solution costs their cube
PRIORS = np.geomspace(0.1, 1000, 41)  # ratings; strengths of the training mean that are tried
MIN_ENTITIES = 30  # with ratings in both splits, for a slope
SIGMAS = 4.0  # by how many standard errors a slope must be above HONEST_SLOPE
HONEST_SLOPE = 1.1  # 1 in theory; the rest is for popularity, which both sides know a little of


@dataclass(frozen=True)
class Sums:
    """Ratings of a split by entity: their number and sum, each (E,); the sum of the squares of all."""

    n: Floats
    total: Floats
    squares: float

    @property
    def mean(self) -> float:
        """Mean of all ratings."""
        return float(self.total.sum() / self.n.sum())


@dataclass(frozen=True)
class Entities:
    """What was rated (or who did) in the training split and in the held-out one."""

    train: Sums
    held: Sums


class Codes(NamedTuple):
    """A feature as the codes that each entity has: one for a bin or a category, any number for a multi-hot."""

    entity: Ints  # (P,)
    code: Ints  # (P,)
    count: int  # C

    def matrix(self, entities: int) -> sparse.csr_matrix:
        """(E, C) indicators."""
        ones = np.ones(len(self.code))
        return sparse.csr_matrix((ones, (self.entity, self.code)), (entities, self.count))


class Errors(NamedTuple):
    """RMSE on the scale of the ratings, and R2: the share of a split's variance that is explained."""

    rmse: float
    r2: float


class Slope(NamedTuple):
    """The sign of a leak: its value and its (heteroscedasticity-robust) standard error."""

    value: float
    error: float

    @property
    def leaks(self) -> bool:
        """Whether no honest feature is likely to have such a slope."""
        return self.value - SIGMAS * self.error > HONEST_SLOPE


# --- features as codes ---------------------------------------------------------------------------


def bin_codes(values: Floats, weight: Floats, bins: int = BINS) -> Codes:
    """A number as its bin; all bins weigh about the same, and those without a value (NaN) have one of their own.

    Args:
        values: (E,), NaN where missing.
        weight: (E,) at least 0.
        bins: the most bins.

    """
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    reached = np.cumsum(weight[order])
    code = np.zeros(len(values), np.int64)
    edges = np.empty(0)
    if len(order) and reached[-1] > 0:
        marks = np.searchsorted(reached, reached[-1] * np.arange(1, bins) / bins)
        edges = np.unique(values[order[np.minimum(marks, len(order) - 1)]])
    code[known] = 1 + np.searchsorted(edges, values[known], "left")
    return Codes(np.arange(len(values)), code, len(edges) + 2)


def category_codes(values: Ints) -> Codes:
    """A category's codes (E,) as they are."""
    return Codes(np.arange(len(values)), values, int(values.max(initial=0)) + 1)


def list_codes(offsets: Ints, values: Ints, most: int = MOST_CODES) -> Codes:
    """A multi-valued column: lists laid end to end. Codes are by frequency, so the rare ones are left out.

    Args:
        offsets: (E + 1,) where each entity's list begins in `values`.
        values: codes.
        most: keep the codes below this.

    """
    entity = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    kept = values < most
    return Codes(entity[kept], values[kept], min(int(values.max(initial=0)) + 1, most))


# --- one feature against the ratings -------------------------------------------------------------


def predictions(codes: Codes, train: Sums) -> Floats:
    """(E,) what the feature alone says of each entity's ratings, fitted on the training split.

    Ridge regression of the ratings on the indicators of the codes. Where each entity has one code this is the mean of
    the code's ratings, shrunk towards the mean of all by PRIOR further ratings.
    """
    x, mean = codes.matrix(len(train.n)), train.mean
    rest = x.T @ (train.total - train.n * mean)  # (C,)
    weighted = sparse.diags(train.n) @ x
    if len(codes.entity) == len(train.n) and (np.diff(x.indptr) == 1).all():
        return mean + x @ (rest / (np.asarray(weighted.sum(0)).ravel() + PRIOR))
    gram = (x.T @ weighted).toarray() + PRIOR * np.eye(codes.count)
    return mean + x @ np.linalg.solve(gram, rest)


def errors(predicted: Floats, sums: Sums) -> Errors:
    """Errors of one prediction for all ratings of each entity (E,); NaN for a split without ratings."""
    squared_error = sums.squares + float((sums.n * predicted**2 - 2 * predicted * sums.total).sum())
    return Errors(*rmse_and_r2(sums.n.sum(), squared_error, sums.total.sum(), sums.squares))


@dataclass(frozen=True)
class Deviations:
    """The entities with ratings in both splits, and what their training mean says of the held-out one."""

    chosen: Ints  # (K,) of the E entities
    train: Floats  # (K,) mean rating
    held: Floats  # (K,)
    guess: Floats  # (K,) of the held-out mean, from the training mean alone
    weight: Floats  # (K,) one over the variance of held - guess, but for a factor

    @property
    def enough(self) -> bool:
        """Whether there are enough entities for a slope."""
        return len(self.chosen) >= MIN_ENTITIES


def deviations(entities: Entities) -> Deviations:
    """Draw the training means towards a common mean, as strongly as guesses the held-out means best."""
    train, held = entities.train, entities.held
    chosen = np.flatnonzero((train.n > 0) & (held.n > 0))
    n, h = train.n[chosen], held.n[chosen]
    train_mean, held_mean = train.total[chosen] / n, held.total[chosen] / h

    def guessed(prior: float) -> tuple[float, Floats, Floats]:
        weight, trust = 1 / (1 / h + 1 / (n + prior)), n / (n + prior)
        rest = held_mean - trust * train_mean
        centre = float((weight * (1 - trust) * rest).sum() / max((weight * (1 - trust) ** 2).sum(), 1e-300))
        guess = trust * train_mean + (1 - trust) * centre
        # Weights of its own, so that the strengths are compared on the same terms.
        return float((h * (held_mean - guess) ** 2).sum()), guess, weight

    if not len(chosen):
        return Deviations(chosen, train_mean, held_mean, train_mean, h)
    _, guess, weight = min((guessed(float(prior)) for prior in PRIORS), key=lambda found: found[0])
    return Deviations(chosen, train_mean, held_mean, guess, weight)


def number_guess(values: Floats, known: Deviations, bins: int = BINS) -> Floats:
    """(K,) a smooth guess of the mean rating from a number.

    Straight lines between the means of its bins, or one straight line if that fits the training means better: bins are
    too coarse for what makes a mean over all ratings differ from one over the training ratings.

    Args:
        values: (E,), NaN where missing.
        known: whose weights the bins share out.
        bins: the most bins.

    """
    value, weight = values[known.chosen], known.weight
    codes = bin_codes(value, weight, bins)
    size = np.bincount(codes.code, weight, codes.count)
    level = np.bincount(codes.code, weight * known.train, codes.count) / np.maximum(size, 1e-300)
    filled = np.flatnonzero(size[1:] > 0) + 1
    if not len(filled):
        return level[codes.code]
    there = codes.code > 0
    value = np.where(there, value, 0)
    centre = np.bincount(codes.code, weight * value, codes.count)[filled] / size[filled]
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
    """The slope of held-out deviations on the feature's (the module says what it tells).

    Args:
        guess: (K,) of the mean rating, from the feature alone.
        known: of the same entities.

    Returns:
        None where there are too few entities, or the feature says no more than the training mean does.

    """
    if not known.enough:
        return None
    # Calibrated first: a guess on a scale of its own could have any slope.
    w, centred = known.weight, guess - np.average(guess, weights=known.weight)
    spread = float((w * centred**2).sum())
    factor = float((w * centred * known.train).sum()) / spread if spread > 0 else 0.0
    x = np.average(known.train, weights=w) + factor * centred - known.guess
    y = known.held - known.guess
    power = float((w * x**2).sum())
    if power < 1e-6 * float(w.sum()):
        return None
    value = float((w * x * y).sum()) / power
    error = math.sqrt(float((w**2 * x**2 * (y - value * x) ** 2).sum())) / power
    return Slope(value, error)
