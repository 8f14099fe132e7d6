"""Draw the users of a block: their ids, their taste and how many anime they rate.

Legend:
    U  users of a block    R  raters among them    K  taste dimensions
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from widedeep.synthesis.anime import TASTE_DIMENSIONS, Floats, Ints
from widedeep.synthesis.planted_model import (
    ACTIVITY_SD,
    CLUSTER_SHARE,
    ID_SPAN,
    USER_BIAS_SD,
    USER_STREAM,
    PlantedModel,
)
from widedeep.synthesis.sizes import most_ratings


@dataclass(frozen=True)
class Users:
    """The users of a block, raters or not, in order of their id."""

    user_id: Ints  # (U,)
    count: Ints  # (U,) ratings; 0: none
    cluster: Ints  # (U,)
    bias: NDArray[np.float32]  # (U,)
    taste: NDArray[np.float32]  # (U, K)


def draw_users(model: PlantedModel, block: int) -> Users:
    """Return the users of a block, with exactly its quota of raters and of ratings."""
    sizes, rng = model.sizes, np.random.default_rng([model.seed, USER_STREAM, block])
    users = sizes.users_before(block + 1) - sizes.users_before(block)
    raters = sizes.raters_before(block + 1) - sizes.raters_before(block)
    ratings = sizes.ratings_before(block + 1) - sizes.ratings_before(block)
    activity = rng.standard_normal(users)
    cluster = np.searchsorted(np.cumsum(model.share)[:-1], rng.random(users), "right")
    own = rng.standard_normal((users, TASTE_DIMENSIONS)) * math.sqrt((1 - CLUSTER_SHARE) / TASTE_DIMENSIONS)
    # Users who rate a lot give slightly lower ratings.
    bias = USER_BIAS_SD * (math.sqrt(1 - 0.1**2) * rng.standard_normal(users) - 0.1 * activity)
    chosen = np.sort(rng.permutation(users)[:raters])
    count = np.zeros(users, np.int64)
    if raters:
        weight = np.exp(ACTIVITY_SD * activity[chosen])
        count[chosen] = share_out(ratings, weight, most_ratings(sizes.anime))
    return Users(
        user_id=_draw_ids(rng, block, users),
        count=count,
        cluster=cluster,
        bias=bias.astype(np.float32),
        taste=(model.centre[cluster] + own).astype(np.float32),
    )


def _draw_ids(rng: np.random.Generator, block: int, users: int) -> Ints:
    """Return (U,) ascending ids with gaps, from a range that belongs to this block."""
    ids = np.sort(rng.permutation(ID_SPAN)[:users]) + 1 + ID_SPAN * block
    if block == 0:
        ids[0] = 1
    return ids


def share_out(total: int, weight: Floats, most: int) -> Ints:
    """Divide `total` into whole numbers in proportion to `weight`, each from 1 to `most`.

    Args:
        total: between len(weight) and most * len(weight).
        weight: (R,) positive.
        most: cap of one share; the excess goes to the others.

    """
    free = np.ones(len(weight), bool)
    share = np.ones(len(weight))
    while True:  # each round caps at least one more share, or is the last
        rest = total - (~free).sum() * most - free.sum()
        share = np.where(free, 1 + rest * weight / max(weight[free].sum(), 1e-300), most)
        over = free & (share > most)
        if not over.any():
            break
        free &= ~over
    whole = np.minimum(np.floor(share).astype(np.int64), most)
    while (left := int(total - whole.sum())) > 0:  # the largest remainders get one more each
        open_ = np.flatnonzero(whole < most)
        order = np.argsort(whole[open_] - share[open_], kind="stable")
        whole[open_[order[:left]]] += 1
    return whole
