"""The ratings of a block, and what the planted model expects of each.

Legend:
    n  ratings of a block    K  taste dimensions
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from widedeep.synthesis.catalogue import Floats, Ints, K
from widedeep.synthesis.picks import draw_pairs
from widedeep.synthesis.planted_model import RATING_STREAM, UNSCORED_CONCENTRATION, UNSCORED_STREAM, Planted
from widedeep.synthesis.users import Users, draw_users


@dataclass(frozen=True)
class Latent:
    """The latent ratings of a block, sorted by user and anime; their sum is y."""

    user: Ints  # (n,) position in the block
    item: Ints  # (n,) position in the catalogue
    bias: NDArray[np.float32]  # (n,) of the user and of the anime
    taste: NDArray[np.float32]  # (n,) unscaled
    noise: NDArray[np.float32]  # (n,)


@dataclass(frozen=True)
class Ratings:
    """The ratings of a block, sorted by user and anime."""

    user: Ints  # (n,) position in the block
    item: Ints  # (n,) position in the catalogue
    rating: Ints  # (n,) 1..10
    expected: Floats  # (n,) E[rating | user, anime]


def draw_latent(model: Planted, block: int, users: Users | None = None) -> Latent:
    """Who of a block rates what, and the parts of the latent ratings."""
    users = users or draw_users(model, block)
    rng = np.random.default_rng([model.seed, RATING_STREAM, block])
    user, item = draw_pairs(model, users, rng)
    of_item = model.catalogue.taste.astype(np.float32)
    taste = np.zeros(len(user), np.float32)
    for k in range(K):
        taste += users.taste[user, k] * of_item[item, k]
    bias = users.bias[user] + model.catalogue.quality.astype(np.float32)[item]
    noise = np.float32(model.noise) * rng.standard_normal(len(user), dtype=np.float32)
    return Latent(user, item, bias, taste, noise)


def draw_ratings(model: Planted, block: int, users: Users | None = None) -> Ratings:
    """The ratings of a block, with what the planted model expects of each."""
    return rate(model, draw_latent(model, block, users))


def draw_scored(model: Planted, block: int, users: Users, ratings: Ratings, unscored: float) -> NDArray[np.bool_]:
    """(n,) which entries of a block have a score.

    Args:
        model: what the block is drawn from.
        block: its number.
        users: of the block.
        ratings: of the block.
        unscored: share of entries without a score, over all users; each has a share of its own.

    """
    if unscored == 0:
        return np.ones(len(ratings.user), bool)
    rng = np.random.default_rng([model.seed, UNSCORED_STREAM, block])
    habit = rng.beta(UNSCORED_CONCENTRATION * unscored, UNSCORED_CONCENTRATION * (1 - unscored), len(users.count))
    return rng.random(len(ratings.user)) >= habit[ratings.user]


def rate(model: Planted, latent: Latent) -> Ratings:
    """Turn latent ratings into ratings."""
    mean = latent.bias + np.float32(model.taste_scale) * latent.taste
    thresholds = np.array(model.thresholds, np.float32)
    rating = 1 + np.searchsorted(thresholds, mean + latent.noise, "right")
    return Ratings(latent.user, latent.item, rating, np.interp(mean, *model.expectation))
