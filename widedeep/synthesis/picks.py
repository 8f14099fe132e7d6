"""Which anime the users of a block rate.

Legend:
    A  anime    C  clusters of users    U  users of a block    n  ratings of a block    m  picks of one round
"""

import numpy as np

from widedeep.synthesis.catalogue import Ints
from widedeep.synthesis.planted_model import COMPANION, C, Planted
from widedeep.synthesis.users import Users


def draw_pairs(model: Planted, users: Users, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Distinct (user, anime) positions, each (n,), sorted; `users.count` of each user."""
    rated = np.flatnonzero(model.catalogue.popularity)
    # Rejection is quick for few picks of many; a random key for every anime is, for many picks.
    heavy = users.count > len(rated) // 20
    light = np.flatnonzero((users.count > 0) & ~heavy)
    pairs = [_pick_many(model, users, user, rated, rng) for user in np.flatnonzero(heavy).tolist()]
    pairs.append(_pick_few(model, users, light, rng))
    packed = np.sort(np.concatenate(pairs))
    return np.divmod(packed, len(model.catalogue))


def _pick_many(model: Planted, users: Users, user: int, rated: Ints, rng: np.random.Generator) -> Ints:
    """Packed pairs of one user: weighted sampling without replacement by exponential keys."""
    key = rng.standard_exponential(len(rated)) / model.weight[users.cluster[user], rated]
    picked = np.argpartition(key, users.count[user] - 1)[: users.count[user]]
    return user * len(model.catalogue) + rated[picked]


def _pick_few(model: Planted, users: Users, light: Ints, rng: np.random.Generator) -> Ints:
    """Packed pairs (user * A + anime) of many users: draw with replacement, drop repeats, draw again."""
    anime = len(model.catalogue)
    still = light[np.argsort(users.cluster[light], kind="stable")]  # one CDF at a time
    held_user = held_item = np.empty(0, np.int64)  # distinct picks of those still short, in order
    done = []
    while len(still):
        short = users.count[still] - np.bincount(held_user, minlength=len(users.count))[still]
        who, item = _draw_picks(model, users, np.repeat(still, short + short // 3 + 2), rng)
        who, item = _first_picks(np.concatenate([held_user, who]), np.concatenate([held_item, item]), anime)
        place = np.arange(len(who)) - np.searchsorted(who, who)  # (picks,) 0, 1, ... for each user
        kept = place < users.count[who]
        who, item = who[kept], item[kept]
        full = np.bincount(who, minlength=len(users.count)) == users.count
        done.append(who[full[who]] * anime + item[full[who]])
        held_user, held_item = who[~full[who]], item[~full[who]]
        still = still[~full[still]]
    return np.concatenate(done) if done else held_user


def _draw_picks(model: Planted, users: Users, who: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """For users `who` (m,), cluster by cluster: an anime each, and sometimes a companion right after it."""
    cluster, point = users.cluster[who], rng.random(len(who))
    edges = np.searchsorted(cluster, np.arange(C + 1))
    item = np.empty(len(who), np.int64)
    for c in range(C):
        item[edges[c] : edges[c + 1]] = np.searchsorted(model.cdf[c], point[edges[c] : edges[c + 1]], "right")
    book = model.catalogue
    begin = book.first[book.franchise[item]]
    size = book.first[book.franchise[item] + 1] - begin
    other = book.members[begin + (rng.random(len(who)) * size).astype(np.int64)]
    follows = (rng.random(len(who)) < COMPANION) & (book.popularity[other] > 0)
    both = np.stack([item, other], axis=1)  # (m, 2)
    taken = np.stack([np.ones_like(follows), follows], axis=1)
    return np.repeat(who, 2).reshape(-1, 2)[taken], both[taken]


def _first_picks(who: Ints, item: Ints, anime: int) -> tuple[Ints, Ints]:
    """Drop repeated pairs; sorted by user, then by the order they were picked in.

    Two sorts of packed integers: several times as fast as numpy's argsort-based unique.
    """
    turns = len(who)
    packed = np.sort((who * anime + item) * turns + np.arange(turns))
    pair, turn = np.divmod(packed, turns)
    fresh = np.ones(turns, bool)
    fresh[1:] = pair[1:] != pair[:-1]
    pair, turn = pair[fresh], turn[fresh]
    user, chosen = np.divmod(pair, anime)
    packed = np.sort((user * turns + turn) * anime + chosen)
    rest, chosen = np.divmod(packed, anime)
    return rest // turns, chosen
