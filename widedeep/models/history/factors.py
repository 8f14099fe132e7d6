"""Latent factors: ratings as products of a few numbers of the user and of the item, by variational Bayes.

    rating = mean + user bias + item bias + user vector . item vector + noise

This is probabilistic matrix factorisation (Salakhutdinov & Mnih, NIPS 2007) with normal posteriors of users and items
in place of single values (Lim & Teh, KDD Cup 2007). The precision of each factor and the noise are estimated, too, so
factors that the data do not need fade, and nothing has to be tuned. The vector of a user has a closed form given the
items, so it is computed from a history wherever it is needed.

Items are fitted several times, each time without one fold of the users: in training a user is answered by items that
have never seen the user's ratings. Answers come from items fitted to everybody.

Legend: u users, U users of the data, T targets, L ratings of a history, F folds, R rows (the rated items, and the last
one for all unrated items), K factors, d = K + 1 (factors and bias), s = d (d + 1) / 2 (upper triangle), n ratings.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from widedeep.common.machine import available_cores
from widedeep.models.history.fitted import Fitted, fit_of, fold_of

SWEEPS = 15  # over users and items
INITIAL_SPREAD = 0.3  # of the items' factors; their variance is less, so that the first users rely on them
INITIAL_VARIANCE = 0.05
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
        precision = torch.diag_embed(self.prior[fit])
        first, second = torch.triu_indices(*precision.shape[1:], device=row.device)
        precision[:, first, second] += square
        precision[:, second, first] = precision[:, first, second]
        return UserFactors(torch.linalg.solve(precision, known[:, :, None])[:, :, 0], fit)

    def forward(self, users: UserFactors, row: Tensor) -> Tensor:
        """Predict the ratings of targets: [u, T] rows -> [u, T]."""
        place = users.fit[:, None], row
        factors = torch.einsum("uk,utk->ut", users.vector[:, :-1], self.feature[place][:, :, :-1])
        return factors + users.vector[:, -1:] + self.offset[place][:, :, -1] + self.mean[users.fit][:, None]


def _sums(table: Tensor, row: Tensor, weight: Tensor) -> Tensor:
    """Return the sums over histories of weight x row of a table [F + 1, R, w]: [u, L] each -> [u, w]."""
    return embedding_bag(row, table.flatten(0, 1), mode="sum", per_sample_weights=weight)


# --- fitting -----------------------------------------------------------------------------------------


class Posterior(NamedTuple):
    """Normal distributions of all users, or of all items."""

    mean: np.ndarray  # [m, d] factors and bias
    covariance: np.ndarray  # [m, d, d]

    def feature(self) -> np.ndarray:
        """Return E[f] for f = [factors, 1], [m, d]."""
        return np.concatenate([self.mean[:, :-1], np.ones_like(self.mean[:, :1])], axis=1)

    def offset(self) -> np.ndarray:
        """Return E[bias x f], [m, d]."""
        offset = self.mean[:, -1:] * self.feature()
        offset[:, :-1] += self.covariance[:, -1, :-1]
        return offset

    def square(self) -> np.ndarray:
        """Return the upper triangles of E[f f^T], [m, s]."""
        feature = self.feature()
        square = feature[:, :, None] * feature[:, None]
        square[:, :-1, :-1] += self.covariance[:, :-1, :-1]
        return square[:, *np.triu_indices(square.shape[1])]

    def spread(self) -> np.ndarray:
        """Return E[x^2] of factors and bias, [m, d]."""
        return self.mean**2 + np.diagonal(self.covariance, axis1=1, axis2=2)


class Side:
    """The ratings of all users, or of all items, with the precision of their factors."""

    def __init__(self, rating: sp.csr_matrix, factors: int):
        """Take ratings less their mean, [m, the other side], one explicit element each."""
        self.rating = rating
        self.given = sp.csr_matrix((np.ones_like(rating.data), rating.indices, rating.indptr), rating.shape)
        self.rated = np.diff(rating.indptr) > 0
        self.prior = np.ones(factors + 1)

    def update(self, other: Posterior, noise: float) -> tuple[Posterior, float]:
        """Return the posterior given the other side's, and the expected squared error of all ratings.

        Args:
            other: posterior of the other side.
            noise: variance of a rating.

        """
        upper = np.triu_indices(len(self.prior))
        offset = other.offset()
        square, offsets, products = _products(
            (self.given, other.square()), (self.given, offset), (self.rating, other.feature())
        )
        known = products - offsets
        matrix = np.empty((len(known), len(self.prior), len(self.prior)))
        matrix[:, *upper] = square
        matrix[:, upper[1], upper[0]] = square
        covariance = np.linalg.inv(matrix / noise + np.diag(self.prior))
        mean = np.einsum("mij,mj->mi", covariance, known) / noise
        covariance = (covariance + covariance.transpose(0, 2, 1)) / 2
        posterior = Posterior(mean, covariance)
        # E[(t - c - x . f)^2] = t^2 - 2 t c + E[c^2] - 2 x . (t f - E[c f]) + E[x x^T] . E[f f^T]
        bias = other.mean[:, -1]
        others = np.asarray(self.given.sum(0)).ravel() @ other.spread()[:, -1]
        error = (self.rating.data**2).sum() - 2 * (self.rating @ bias).sum() + others - 2 * (mean * known).sum()
        return posterior, error + ((mean[:, :, None] * mean[:, None] + covariance) * matrix).sum()

    def learn_prior(self, posterior: Posterior) -> None:
        """Estimate the precision of each factor and of the bias."""
        self.prior = 1 / posterior.spread()[self.rated].mean(0).clip(LEAST_VARIANCE)


def _products(*pairs: tuple[sp.csr_matrix, np.ndarray]) -> list[np.ndarray]:
    """Return sparse [m, k] @ dense [k, w], [m, w] float64 each; they run beside each other, SciPy releases the GIL."""
    with ThreadPoolExecutor(available_cores()) as pool:
        done = pool.map(lambda pair: pair[0] @ pair[1].astype(np.float32), pairs)
        return [product.astype(np.float64) for product in done]


def fit_factors(
    user: np.ndarray, item: np.ndarray, rating: np.ndarray, shape: tuple[int, int], folds: int, factors: int
) -> dict[str, Tensor]:
    """Return the buffers of `LatentFactors`.

    Args:
        user: [n] user indexes.
        item: [n] rows.
        rating: [n] float32.
        shape: (users, R).
        folds: how many parts the users are dealt to.
        factors: how many there are.

    """
    fits = dict(LatentFactors(shape[1], factors, folds).named_buffers())
    for fit in range(folds + 1):
        seen = fold_of(user, folds) != fit
        for name, values in fit_items(user[seen], item[seen], rating[seen], shape, factors).items():
            fits[name][fit] = torch.as_tensor(values)
    return fits


def fit_items(
    user: np.ndarray, item: np.ndarray, rating: np.ndarray, shape: tuple[int, int], factors: int
) -> dict[str, np.ndarray | float]:
    """Return one fit of the buffers of `LatentFactors`, for the arguments of `fit_factors`."""
    mean = float(rating.mean(dtype=np.float64)) if len(rating) else 0.0
    matrix = sp.csr_matrix((rating - np.float32(mean), (user, item)), shape)
    users, items = Side(matrix, factors), Side(matrix.T.tocsr(), factors)
    start = np.random.default_rng(0).normal(0, INITIAL_SPREAD, (shape[1], factors + 1))
    start[:, -1] = 0
    of_items = Posterior(start, np.tile(INITIAL_VARIANCE * np.eye(factors + 1), (shape[1], 1, 1)))
    noise = max(float(matrix.data.var(dtype=np.float64)), LEAST_VARIANCE) if len(rating) else 1.0
    for sweep in range(SWEEPS if len(rating) else 0):
        of_users, _ = users.update(of_items, noise)
        of_items, error = items.update(of_users, noise)
        noise = max(error / len(rating), LEAST_VARIANCE)
        if sweep:
            users.learn_prior(of_users)
            items.learn_prior(of_items)
    tables = {"feature": of_items.feature(), "offset": of_items.offset(), "square": of_items.square()}
    for table in tables.values():
        table[~items.rated] = 0
    return {"mean": mean, "prior": users.prior * noise, **tables}
