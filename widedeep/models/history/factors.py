"""Latent factors: ratings as products of a few numbers of the user and of the item, by variational Bayes.

    rating = mean + user bias + item bias + user vector . item vector + noise

This is probabilistic matrix factorisation (Salakhutdinov & Mnih, NIPS 2007) with normal posteriors of users and items
in place of single values (Lim & Teh, KDD Cup 2007). The precision of each factor and the noise are estimated, too, so
factors that the data do not need fade, and nothing has to be tuned. The vector of a user has a closed form given the
items, so it is computed from a history wherever it is needed.

Items are fitted several times, each time without one fold of the users: in training a user is answered by items that
have never seen the user's ratings. Answers come from items fitted to everybody.

Legend: u users, T targets, L ratings of a history, F folds, R rows (the rated items, and the last one for all unrated
items), K factors, d = K + 1 (factors and bias), s = d (d + 1) / 2 (upper triangle), n ratings.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from widedeep.data.histories import starts_of
from widedeep.models.history.fitted import Fitted, fit_of, fold_of
from widedeep.models.history.lookups import elements_of, rows_of

SWEEPS = 30  # over users and items; factors that are not needed fade slowly
INITIAL_SPREAD = 0.3  # of the items' factors; their variance is less, so that the first users rely on them
INITIAL_VARIANCE = 0.05
ROWS_AT_ONCE = 1 << 14  # users or items whose matrices are computed at once; they then stay in the cache
LEAST_VARIANCE = 1e-6  # of ratings, factors and biases, which would be 0 where all ratings are the same


class UserFactors(NamedTuple):
    """What latent factors say of users."""

    vector: Tensor  # [u, d] float32, factors and bias
    fit: Tensor  # [u] int64, number of the fit that they belong to

    def part(self, users: Tensor | slice) -> "UserFactors":
        """Return some of the users."""
        return UserFactors(*(column[users] for column in self))


class LatentFactors(Fitted):
    """Finds the vectors of users, and predicts ratings."""

    mean: Tensor  # [F + 1] float32, of the ratings; the last fit is that of all users
    prior: Tensor  # [F + 1, d] float32, precisions of users over that of a rating
    # Posterior moments of an item with factors v and bias c, where f = [v, 1]; 0 in the row of unrated items.
    feature: Tensor  # [F + 1, R, d] float32, E[f]
    offset: Tensor  # [F + 1, R, d] float32, E[c f], whose last element is the bias
    square: Tensor  # [F + 1, R, s] float32, E[f f^T]

    def __init__(self, rows: int, factors: int, folds: int):
        """Build with empty buffers."""
        super().__init__()
        width = factors + 1
        for name, shape in {
            "mean": (),
            "prior": (width,),
            "feature": (rows, width),
            "offset": (rows, width),
            "square": (rows, width * (width + 1) // 2),
        }.items():
            self.register_buffer(name, torch.ones(folds + 1, *shape))

    def find(self, row: Tensor, rating: Tensor, present: Tensor, without: Tensor | None = None) -> UserFactors:
        """Return the factors of users by their histories: the mean of the posterior.

        Args:
            row: [u, L] int64 rows of the ratings.
            rating: [u, L] float32.
            present: [u, L] float32, 1.0 where there is a rating.
            without: [u] user indexes, where the items shall not have seen the users; None: items fitted to everybody.

        """
        fit = fit_of(row[:, 0], without, len(self.mean) - 1)
        place = row + (fit * self.feature.shape[1])[:, None]
        deviation = (rating - self.mean[fit][:, None]) * present
        known = _sums(self.feature, place, deviation) - _sums(self.offset, place, present)
        square = _sums(self.square, place, present)
        precision = _symmetric(square) + torch.diag_embed(self.prior[fit])
        return UserFactors(torch.linalg.solve(precision, known[:, :, None])[:, :, 0], fit)

    def forward(self, users: UserFactors, row: Tensor) -> Tensor:
        """Predict the ratings of targets: [u, T] rows -> [u, T]."""
        place = row + (users.fit * self.feature.shape[1])[:, None]
        feature, offset = rows_of(self.feature.flatten(0, 1), place), self.offset.flatten(0, 1)
        factors = torch.einsum("uk,utk->ut", users.vector[:, :-1], feature[:, :, :-1])
        bias = elements_of(offset, place, offset.shape[1] - 1)
        return factors + users.vector[:, -1:] + bias + self.mean[users.fit][:, None]


def _sums(table: Tensor, row: Tensor, weight: Tensor) -> Tensor:
    """Return the sums over histories of weight x row of a table [F + 1, R, w]: [u, L] each -> [u, w]."""
    return embedding_bag(row, table.flatten(0, 1), mode="sum", per_sample_weights=weight)


def _symmetric(upper: Tensor) -> Tensor:
    """Return the symmetric matrices of upper triangles: [m, s] -> [m, d, d]."""
    width = int((2 * upper.shape[1]) ** 0.5)
    place = torch.empty(width, width, dtype=torch.int64, device=upper.device)
    first, second = torch.triu_indices(width, width, device=upper.device)
    place[first, second] = place[second, first] = torch.arange(upper.shape[1], device=upper.device)
    return upper[:, place]


# --- fitting -----------------------------------------------------------------------------------------


class Posterior(NamedTuple):
    """Normal distributions of all users, or of all items."""

    mean: Tensor  # [m, d] float32, factors and bias
    covariance: Tensor  # [m, d, d] float32

    def feature(self) -> Tensor:
        """Return E[f] for f = [factors, 1], [m, d]."""
        return torch.cat([self.mean[:, :-1], torch.ones_like(self.mean[:, :1])], dim=1)

    def offset(self) -> Tensor:
        """Return E[bias x f], [m, d]."""
        shared = torch.nn.functional.pad(self.covariance[:, -1, :-1], (0, 1))
        return self.mean[:, -1:] * self.feature() + shared

    def square(self) -> Tensor:
        """Return the upper triangles of E[f f^T], [m, s]."""
        feature = self.feature()
        first, second = torch.triu_indices(*self.covariance.shape[1:], device=feature.device)
        of_factors = (second < len(feature[0]) - 1).float()
        return feature[:, first] * feature[:, second] + self.covariance[:, first, second] * of_factors

    def spread(self) -> Tensor:
        """Return E[x^2] of factors and bias, [m, d]."""
        return self.mean.square() + self.covariance.diagonal(dim1=1, dim2=2)


class Side:
    """The ratings of all users, or of all items, with the precision of their factors."""

    def __init__(self, own: Tensor, other: Tensor, rating: Tensor, count: int, factors: int):
        """Sort ratings by whose they are.

        Args:
            own: [n] int64 numbers on this side.
            other: [n] int64 numbers on the other side.
            rating: [n] float32, less the mean of all.
            count: of this side.
            factors: K.

        """
        order = torch.argsort(own, stable=True)
        self.start = starts_of(torch.bincount(own, minlength=count))
        self.other, self.rating = other[order], rating[order]
        self.rated = self.start.diff() > 0
        self.prior = torch.ones(factors + 1, device=rating.device)

    def update(self, other: Posterior, noise: float) -> tuple[Posterior, float]:
        """Return the posterior given the other side's, and the expected squared error of all ratings.

        Args:
            other: posterior of the other side.
            noise: variance of a rating.

        """
        # The last columns are E[c^2] and c, for the error.
        plain = torch.cat([other.square(), other.offset(), other.spread()[:, -1:]], dim=1)
        rated = torch.cat([other.feature(), other.mean[:, -1:]], dim=1)
        width, means, covariances = len(self.prior), [], []
        damping = self.prior * noise
        error = self.rating.double().square().sum() + noise * width * len(self.rated)
        for low in range(0, len(self.rated), ROWS_AT_ONCE):
            start = self.start[low : low + ROWS_AT_ONCE + 1]
            part = slice(int(start[0]), int(start[-1]))
            where = self.other[part], start - start[0]
            sums = _bags(plain, *where)
            products = _bags(rated, *where, self.rating[part])
            known = products[:, :-1] - sums[:, -width - 1 : -1]
            inverse = _inverse(_symmetric(sums[:, : -width - 1]) + torch.diag(damping))
            mean = (inverse @ known[:, :, None])[:, :, 0]
            means.append(mean)
            covariances.append(inverse * noise)
            # E[(t - c - x . f)^2] = t^2 - 2 t c + E[c^2] - 2 x . (t f - E[c f]) + E[x x^T] . E[f f^T], of which the
            # last is x . (t f - E[c f]) + d noise - damping . E[x^2] at the mean, since that solves the equations.
            found = (mean * known).double().sum() + (damping * Posterior(mean, covariances[-1]).spread()).double().sum()
            error += sums[:, -1].double().sum() - 2 * products[:, -1].double().sum() - found
        return Posterior(torch.cat(means), torch.cat(covariances)), float(error)

    def learn_prior(self, posterior: Posterior) -> None:
        """Estimate the precision of each factor and of the bias."""
        self.prior = 1 / posterior.spread()[self.rated].mean(0).clamp(min=LEAST_VARIANCE)


def _inverse(matrices: Tensor) -> Tensor:
    """Return the inverses of positive definite matrices, [m, d, d]."""
    factor, failed = torch.linalg.cholesky_ex(matrices)
    if failed.any():  # by rounding, where almost nothing but the prior holds a matrix up
        return torch.linalg.inv(matrices)
    return torch.cholesky_inverse(factor)  # in half the time


def _bags(table: Tensor, row: Tensor, start: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the sums of rows of a table [k, w], split at `start` [m + 1]: [n] rows and weights -> [m, w]."""
    return embedding_bag(row, table, start, mode="sum", per_sample_weights=weight, include_last_offset=True)


def random_start(ids: np.ndarray, factors: int) -> Tensor:
    """Return factors and bias of rows to begin with, [R, d]: drawn by the items' ids [A], whatever their order."""
    draws = torch.randn(len(ids), factors, generator=torch.Generator().manual_seed(0))
    start = torch.zeros(len(ids) + 1, factors + 1)
    start[:-1, :-1] = INITIAL_SPREAD * draws[np.argsort(np.argsort(ids))]
    return start


def fit_factors(user: np.ndarray, item: np.ndarray, rating: np.ndarray, start: Tensor, folds: int) -> dict[str, Tensor]:
    """Return the buffers of `LatentFactors`.

    Args:
        user: [n] user indexes.
        item: [n] rows.
        rating: [n] float32.
        start: [R, d] of `random_start`, on the device that computes.
        folds: how many parts the users are dealt to.

    """
    fits = dict(LatentFactors(len(start), start.shape[1] - 1, folds).named_buffers())
    columns = [torch.from_numpy(column).to(start.device) for column in (user.astype(np.int64), item, rating)]
    fold = torch.from_numpy(fold_of(user, folds)).to(start.device)
    for fit in range(folds + 1):
        who, what, how = (column[fold != fit] for column in columns)
        for name, values in fit_items(who, what, how, start).items():
            fits[name][fit] = values
    return fits


@torch.no_grad()
def fit_items(user: Tensor, item: Tensor, rating: Tensor, start: Tensor) -> dict[str, Tensor]:
    """Return one fit of the buffers of `LatentFactors`.

    Args:
        user: [n] int64 user indexes.
        item: [n] int64 rows.
        rating: [n] float32.
        start: [R, d] of `random_start`.

    """
    rows, width = start.shape
    # Most users of a dump have no ratings: they would take most of the time, and tell nothing.
    rated, user = torch.unique(user, return_inverse=True)
    none = not len(rating)
    mean = rating.new_zeros(()) if none else rating.double().mean().float()
    deviation = rating - mean
    by_user = Side(user, item, deviation, len(rated), width - 1)
    by_item = Side(item, user, deviation, rows, width - 1)
    of_items = Posterior(start, (INITIAL_VARIANCE * torch.eye(width, device=rating.device)).expand(rows, -1, -1))
    noise = 1.0 if none else max(float(deviation.double().square().mean()), LEAST_VARIANCE)
    for sweep in range(0 if none else SWEEPS):
        of_users, _ = by_user.update(of_items, noise)
        of_items, error = by_item.update(of_users, noise)
        noise = max(error / len(rating), LEAST_VARIANCE)
        if sweep:
            by_user.learn_prior(of_users)
            by_item.learn_prior(of_items)
    known = by_item.rated[:, None]
    tables = {"feature": of_items.feature(), "offset": of_items.offset(), "square": of_items.square()}
    return {"mean": mean, "prior": by_user.prior * noise, **{name: table * known for name, table in tables.items()}}
