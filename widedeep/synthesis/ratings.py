"""Draw the ratings of a block, with the rating that the planted model expects for each.

Legend:
    n  ratings of a block    K  taste dimensions
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from widedeep.synthesis.anime import TASTE_DIMENSIONS, Floats, Ints
from widedeep.synthesis.picks import draw_pairs
from widedeep.synthesis.planted_model import RATING_STREAM, UNSCORED_CONCENTRATION, UNSCORED_STREAM, PlantedModel
from widedeep.synthesis.users import Users, draw_users


@dataclass(frozen=True)
class Latent:
    """The latent ratings of a block, sorted by user and anime; their sum is y."""

    user: Ints  # (n,) number in the block
    item: Ints  # (n,) item index
    bias: NDArray[np.float32]  # (n,) user bias + anime bias
    taste: NDArray[np.float32]  # (n,) unscaled
    noise: NDArray[np.float32]  # (n,)


@dataclass(frozen=True)
class Ratings:
    """The ratings of a block, sorted by user and anime."""

    user: Ints  # (n,) number in the block
    item: Ints  # (n,) item index
    rating: Ints  # (n,) 1..10
    expected: Floats  # (n,) E[rating | user, anime]


def draw_latent(model: PlantedModel, block: int, users: Users | None = None) -> Latent:
    """Return which pairs of a block are rated, and the parts of their latent ratings."""
    users = users or draw_users(model, block)
    rng = np.random.default_rng([model.seed, RATING_STREAM, block])
    user, item = draw_pairs(model, users, rng)
    item_taste = model.anime.taste.astype(np.float32)
    taste = np.zeros(len(user), np.float32)
    for k in range(TASTE_DIMENSIONS):
        taste += users.taste[user, k] * item_taste[item, k]
    bias = users.bias[user] + model.anime.quality.astype(np.float32)[item]
    noise = np.float32(model.noise) * rng.standard_normal(len(user), dtype=np.float32)
    return Latent(user, item, bias, taste, noise)


def draw_ratings(model: PlantedModel, block: int, users: Users | None = None) -> Ratings:
    """Return the ratings of a block, with the rating that the planted model expects for each."""
    return rate(model, draw_latent(model, block, users))


def draw_scored(model: PlantedModel, block: int, users: Users, ratings: Ratings, unscored: float) -> NDArray[np.bool_]:
    """Return (n,) which entries of a block have a score.

    Args:
        model: the planted model.
        block: its number.
        users: of the block.
        ratings: of the block.
        unscored: mean share of entries without a score; each user's own share is drawn around it.

    """
    if unscored == 0:
        return np.ones(len(ratings.user), bool)
    rng = np.random.default_rng([model.seed, UNSCORED_STREAM, block])
    unscored_share = rng.beta(
        UNSCORED_CONCENTRATION * unscored, UNSCORED_CONCENTRATION * (1 - unscored), len(users.count)
    )
    return rng.random(len(ratings.user)) >= unscored_share[ratings.user]


def rate(model: PlantedModel, latent: Latent) -> Ratings:
    """Turn latent ratings into ratings."""
    mean = latent.bias + np.float32(model.taste_scale) * latent.taste
    thresholds = np.array(model.thresholds, np.float32)
    rating = 1 + np.searchsorted(thresholds, mean + latent.noise, "right")
    return Ratings(latent.user, latent.item, rating, np.interp(mean, *model.expectation))
