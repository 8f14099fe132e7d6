"""Draw which anime the users of a block rate.

Legend:
    A  anime    C  clusters of users    U  users of a block    n  ratings of a block    m  picks of one round
"""

import numpy as np

from widedeep.synthesis.anime import Ints
from widedeep.synthesis.planted_model import CLUSTERS, COMPANION, PlantedModel
from widedeep.synthesis.users import Users


def draw_pairs(model: PlantedModel, users: Users, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return distinct pairs as users of the block (n,) and item indices (n,), sorted; `users.count` of each user."""
    rated = np.flatnonzero(model.anime.popularity)
    # Rejection sampling is fast for users with few picks, a random key for every anime for users with many.
    heavy = users.count > len(rated) // 20
    light = np.flatnonzero((users.count > 0) & ~heavy)
    pairs = [_pick_many(model, users, user, rated, rng) for user in np.flatnonzero(heavy).tolist()]
    pairs.append(_pick_few(model, users, light, rng))
    packed = np.sort(np.concatenate(pairs))
    return np.divmod(packed, len(model.anime))


def _pick_many(model: PlantedModel, users: Users, user: int, rated: Ints, rng: np.random.Generator) -> Ints:
    """Return one user's pairs as user * A + item: weighted sampling without replacement by exponential keys."""
    key = rng.standard_exponential(len(rated)) / model.weight[users.cluster[user], rated]
    picked = np.argpartition(key, users.count[user] - 1)[: users.count[user]]
    return user * len(model.anime) + rated[picked]


def _pick_few(model: PlantedModel, users: Users, light: Ints, rng: np.random.Generator) -> Ints:
    """Return many users' pairs as user * A + item: draw with replacement, drop repeats, draw again."""
    anime_count = len(model.anime)
    open_users = light[np.argsort(users.cluster[light], kind="stable")]  # one cluster's CDF at a time
    kept_user = kept_item = np.empty(0, np.int64)  # distinct picks of users who need more, in order
    done = []
    while len(open_users):
        short = users.count[open_users] - np.bincount(kept_user, minlength=len(users.count))[open_users]
        user, item = _draw_picks(model, users, np.repeat(open_users, short + short // 3 + 2), rng)
        user, item = _first_picks(np.concatenate([kept_user, user]), np.concatenate([kept_item, item]), anime_count)
        turn = np.arange(len(user)) - np.searchsorted(user, user)  # (picks,) 0, 1, ... for each user
        needed = turn < users.count[user]
        user, item = user[needed], item[needed]
        full = np.bincount(user, minlength=len(users.count)) == users.count
        done.append(user[full[user]] * anime_count + item[full[user]])
        kept_user, kept_item = user[~full[user]], item[~full[user]]
        open_users = open_users[~full[open_users]]
    return np.concatenate(done) if done else kept_user


def _draw_picks(model: PlantedModel, users: Users, user: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """For each `user` (m,), sorted by cluster, draw an item, and sometimes another part of its franchise."""
    cluster, point = users.cluster[user], rng.random(len(user))
    edges = np.searchsorted(cluster, np.arange(CLUSTERS + 1))
    item = np.empty(len(user), np.int64)
    for c in range(CLUSTERS):
        item[edges[c] : edges[c + 1]] = np.searchsorted(model.cdf[c], point[edges[c] : edges[c + 1]], "right")
    anime = model.anime
    begin = anime.first[anime.franchise[item]]
    size = anime.first[anime.franchise[item] + 1] - begin
    other = anime.members[begin + (rng.random(len(user)) * size).astype(np.int64)]
    follows = (rng.random(len(user)) < COMPANION) & (anime.popularity[other] > 0)
    both = np.stack([item, other], axis=1)  # (m, 2)
    taken = np.stack([np.ones_like(follows), follows], axis=1)
    return np.repeat(user, 2).reshape(-1, 2)[taken], both[taken]


def _first_picks(user: Ints, item: Ints, anime_count: int) -> tuple[Ints, Ints]:
    """Drop repeated pairs and sort the others by user, then in the order in which they were picked.

    Two sorts of packed integers are several times as fast as numpy's unique, which uses argsort.
    """
    turns = len(user)
    packed = np.sort((user * anime_count + item) * turns + np.arange(turns))
    pair, turn = np.divmod(packed, turns)
    is_first = np.ones(turns, bool)
    is_first[1:] = pair[1:] != pair[:-1]
    pair, turn = pair[is_first], turn[is_first]
    user, item = np.divmod(pair, anime_count)
    packed = np.sort((user * turns + turn) * anime_count + item)
    user_and_turn, item = np.divmod(packed, anime_count)
    return user_and_turn // turns, item
