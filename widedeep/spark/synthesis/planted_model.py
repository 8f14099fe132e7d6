"""The planted model: who rates what, and how; the answer a recommender can be measured against.

    latent y = user bias + anime bias (quality) + taste + noise,   rating = 1 + #(thresholds <= y)

Taste is the dot product of the user's and the anime's vectors (K dimensions, the user's mostly those
of one of C clusters), scaled to sd 1 over the ratings. Users come in blocks of BLOCK; a block is a pure
function of (model, block), so the split of the work over machines cannot change the dump.

Legend:
    A  anime     K  taste dimensions    C  clusters of users
    U  users of a block                 R  raters among them     n  ratings of a block
"""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from widedeep.common.errors import InputError
from widedeep.spark.synthesis.catalogue import QUALITY_SD, RATED_SHARE, Catalogue, Floats, Ints, K, build_catalogue

BLOCK = 2048  # users; some 68,000 ratings

# The official dump, and the shape that other sizes follow.
OFFICIAL = {"ratings": 24_325_191, "raters": 270_033, "users": 731_290, "anime": 24_905}
HISTOGRAM = (98_069, 132_092, 233_675, 562_822, 1_379_480, 2_766_482, 5_452_152, 6_060_484, 4_429_914, 3_210_021)
ID_SPAN = round(BLOCK * 1_291_097 / OFFICIAL["users"])  # ids of a block, with the dump's gaps
MIN_ANIME = 600
MAX_SHARE = 0.6  # of the rated anime: the most that one user rates

# Standard deviations in the latent rating, where the taste signal has 1.
USER_BIAS_SD = 0.9
C = 16
CLUSTER_SHARE = 0.80  # of the variance of a user's vector
AFFINITY = 1.0  # how strongly users choose what suits their cluster
ACTIVITY_SD = 1.2  # of the logarithm of the number of ratings
COMPANION = 0.6  # chance that another part of the franchise is rated too
CALIBRATION_BLOCKS = 16

# First keys of the random streams (catalogue.py has 0); the block comes second.
CLUSTER_STREAM, USER_STREAM, RATING_STREAM, DETAIL_STREAM, BAD_STREAM, NAME_STREAM = range(1, 7)
TITLE_STREAM, ANIME_TEXT_STREAM, HELD_OUT_STREAM, UNSCORED_STREAM = 7, 8, 9, 10


# Some people score all they have seen, some next to nothing: a user's share of entries without a score is drawn from
# a Beta distribution whose two parameters sum to this, so that who it is explains half of which entries have none.
UNSCORED_CONCENTRATION = 1.0


# --- sizes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """How much of everything there is, and of it in every block: exact, by cumulative rounding."""

    ratings: int
    users: int
    raters: int
    anime: int

    @property
    def blocks(self) -> int:
        """Number of blocks of users."""
        return -(-self.users // BLOCK)

    def users_before(self, block: int) -> int:
        """Users in the blocks before this one."""
        return min(block * BLOCK, self.users)

    def raters_before(self, block: int) -> int:
        """Raters in the blocks before this one."""
        return self.raters * self.users_before(block) // self.users

    def ratings_before(self, block: int) -> int:
        """Ratings in the blocks before this one."""
        return self.ratings * self.raters_before(block) // self.raters


def plan_sizes(ratings: int, users: int | None = None, anime: int | None = None) -> Sizes:
    """Complete the sizes in the proportions of the official dump.

    Raises:
        InputError: there are too few users or anime for that many ratings.

    """
    per_rater = OFFICIAL["users"] / OFFICIAL["raters"]
    if users is None:
        raters = max(1, round(ratings * OFFICIAL["raters"] / OFFICIAL["ratings"]))
        users = max(round(raters * per_rater), raters)
    else:
        raters = min(max(1, round(users / per_rater)), ratings)
    if anime is None:
        grown = round(OFFICIAL["anime"] * math.sqrt(ratings / OFFICIAL["ratings"]))
        anime = min(max(grown, MIN_ANIME), OFFICIAL["anime"])
    sizes = Sizes(ratings, users, raters, anime)
    most = raters * most_ratings(anime)
    if ratings > most:
        raise InputError(
            f"{ratings} ratings do not fit {raters} raters (of {users} users) and {anime} anime, "
            f"which allow {most}: raise --users or --anime, or lower --ratings"
        )
    return sizes


def most_ratings(anime: int) -> int:
    """The most ratings one user can have (RATED_SHARE of the anime are ever rated)."""
    return max(1, int(MAX_SHARE * max(2, round(RATED_SHARE * anime))))


# --- the model -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """Everything a block is drawn from. A few MB: it travels to the workers by broadcast."""

    seed: int
    sizes: Sizes
    noise: float  # sd
    catalogue: Catalogue
    share: Floats  # (C,) of the users
    centre: Floats  # (C, K)
    weight: Floats  # (C, A) chance that a user of the cluster picks an anime; rows sum to 1
    taste_scale: float = 1.0
    taste_mean: float = 0.0  # over the ratings: people choose what they like
    thresholds: tuple[float, ...] = ()  # 9, ascending
    anime_mean: Floats = field(default_factory=lambda: np.empty(0))  # (A,) expected mean rating of its raters
    bias_rmse: float = math.nan  # what damped means by user and anime reach, on held-out ratings of a sample

    def parameters(self) -> dict[str, object]:
        """What was planted, for the record."""
        return {
            "dimensions": K,
            "clusters": C,
            "cluster_share": CLUSTER_SHARE,
            "user_bias_sd": USER_BIAS_SD,
            "anime_bias_sd": QUALITY_SD,
            "taste_sd": 1.0,
            "taste_scale": self.taste_scale,
            "taste_mean": self.taste_mean,
            "thresholds": list(self.thresholds),
        }

    @cached_property
    def cdf(self) -> Floats:
        """(C, A) cumulative `weight`."""
        total = np.cumsum(self.weight, axis=1)
        return total / total[:, -1:]

    @cached_property
    def expectation(self) -> tuple[Floats, Floats]:
        """Grid of latent means, and the expected rating there."""
        return expectation_table(self.thresholds, self.noise)


def expectation_table(thresholds: tuple[float, ...], sd: float) -> tuple[Floats, Floats]:
    """E[rating | latent mean m] = 1 + sum over thresholds t of P(m + sd * N(0, 1) > t).

    Returns:
        (8193,) grid of m and (8193,) expectations; between them a straight line is right to 1e-5.

    """
    grid = np.linspace(thresholds[0] - 6 * sd, thresholds[-1] + 6 * sd, 8193)
    erf = np.vectorize(math.erf, otypes=[float])
    above = [0.5 * (1 + erf((grid - t) / (sd * math.sqrt(2)))) for t in thresholds]
    return grid, 1 + np.sum(above, axis=0)


def plant(seed: int, sizes: Sizes, noise: float) -> Planted:
    """Draw the catalogue and the clusters, then fit the scale of taste and the thresholds.

    Both come from a bounded sample of the very blocks that will be written, so that even a small
    dump has the official histogram.
    """
    catalogue = build_catalogue(seed, sizes.anime)
    model = Planted(seed, sizes, noise, catalogue, *draw_clusters(seed, catalogue))
    sample = np.unique(np.linspace(0, sizes.blocks - 1, CALIBRATION_BLOCKS).round().astype(int))
    latents = [draw_latent(model, int(block)) for block in sample]
    taste = np.concatenate([latent.taste for latent in latents]).astype(np.float64)
    scale = float(1 / taste.std()) if taste.std() > 0 else 1.0
    y = np.concatenate([latent.bias + np.float32(scale) * latent.taste + latent.noise for latent in latents])
    levels = np.cumsum(HISTOGRAM)[:-1] / sum(HISTOGRAM)
    cuts = np.quantile(y.astype(np.float64), levels).astype(np.float32)
    thresholds = tuple(float(cut) for cut in cuts)
    model = replace(model, taste_scale=scale, taste_mean=float(taste.mean()) * scale, thresholds=thresholds)
    drawn = [rate(model, latent) for latent in latents]
    return replace(model, anime_mean=anime_means(model, drawn), bias_rmse=bias_rmse(seed, drawn))


def anime_means(model: Planted, sample: list["Ratings"]) -> Floats:
    """(A,) expected mean rating of each anime: of the sample, and by its quality where that is small."""
    item = np.concatenate([ratings.item for ratings in sample])
    expected = np.concatenate([ratings.expected for ratings in sample])
    spread = math.sqrt(model.noise**2 + USER_BIAS_SD**2 + 1)
    prior = np.interp(model.catalogue.quality + model.taste_mean, *expectation_table(model.thresholds, spread))
    prior += (expected - prior[item]).mean()
    count = np.bincount(item, minlength=len(prior))
    return (np.bincount(item, expected, len(prior)) + 5 * prior) / (count + 5)


def bias_rmse(seed: int, sample: list["Ratings"], damping: float = 5.0, rounds: int = 5) -> float:
    """RMSE of mean + damped user bias + damped anime bias on every tenth rating of the sample, not fitted on."""
    user = np.concatenate([ratings.user + BLOCK * place for place, ratings in enumerate(sample)])
    item = np.concatenate([ratings.item for ratings in sample])
    rating = np.concatenate([ratings.rating for ratings in sample]).astype(np.float64)
    held = np.random.default_rng([seed, HELD_OUT_STREAM]).random(len(rating)) < 0.1
    if held.all() or not held.any():
        return math.nan
    fitted = ~held
    of_user, of_item, mean = np.zeros(user.max() + 1), np.zeros(item.max() + 1), rating[fitted].mean()
    for _ in range(rounds):
        for effect, key in ((of_item, item[fitted]), (of_user, user[fitted])):
            effect[:] = 0
            rest = rating[fitted] - mean - of_user[user[fitted]] - of_item[item[fitted]]
            effect[:] = np.bincount(key, rest, len(effect)) / (np.bincount(key, minlength=len(effect)) + damping)
    error = rating[held] - np.clip(mean + of_user[user[held]] + of_item[item[held]], 1, 10)
    return float(np.sqrt((error**2).mean()))


def draw_clusters(seed: int, catalogue: Catalogue) -> tuple[Floats, Floats, Floats]:
    """Shares (C,), centres (C, K) of mean 0 and mean square CLUSTER_SHARE / K, and picks (C, A)."""
    rng = np.random.default_rng([seed, CLUSTER_STREAM])
    share = rng.uniform(0.5, 1.5, C)
    share /= share.sum()
    centre = rng.standard_normal((C, K))
    centre -= (share[:, None] * centre).sum(0)
    centre *= np.sqrt(CLUSTER_SHARE / K / (share[:, None] * centre**2).sum(0))
    weight = catalogue.popularity * np.exp(AFFINITY * _pairwise(centre, catalogue.taste))
    return share, centre, weight / weight.sum(1, keepdims=True)


def _pairwise(left: Floats, right: Floats) -> Floats:
    """(C, K), (A, K) -> (C, A) dot products; not by BLAS, whose sums depend on its threads."""
    return sum(left[:, None, k] * right[None, :, k] for k in range(K))  # pyright: ignore[reportReturnType]


# --- a block of users ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Users:
    """The users of a block, raters or not, in order of their id."""

    user_id: Ints  # (U,)
    count: Ints  # (U,) ratings; 0: none
    cluster: Ints  # (U,)
    bias: NDArray[np.float32]  # (U,)
    taste: NDArray[np.float32]  # (U, K)


def draw_users(model: Planted, block: int) -> Users:
    """The users of a block, with exactly its quota of raters and of ratings."""
    sizes, rng = model.sizes, np.random.default_rng([model.seed, USER_STREAM, block])
    users = sizes.users_before(block + 1) - sizes.users_before(block)
    raters = sizes.raters_before(block + 1) - sizes.raters_before(block)
    ratings = sizes.ratings_before(block + 1) - sizes.ratings_before(block)
    activity = rng.standard_normal(users)
    cluster = np.searchsorted(np.cumsum(model.share)[:-1], rng.random(users), "right")
    own = rng.standard_normal((users, K)) * math.sqrt((1 - CLUSTER_SHARE) / K)
    # Who rates a lot is a little harder to please.
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
    """(U,) ascending ids with gaps, in a range of the block's own."""
    ids = np.sort(rng.permutation(ID_SPAN)[:users]) + 1 + ID_SPAN * block
    if block == 0:
        ids[0] = 1
    return ids


def share_out(total: int, weight: Floats, most: int) -> Ints:
    """Divide `total` in proportion to `weight`, at least 1 and at most `most` each; exact.

    Args:
        total: between len(weight) and most * len(weight).
        weight: (R,) positive.
        most: cap of one share; what is above it goes to the others.

    """
    free = np.ones(len(weight), bool)
    share = np.ones(len(weight))
    while True:  # each round caps at least one more, or ends
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


# --- who rates what ------------------------------------------------------------------------------


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


# --- and how -------------------------------------------------------------------------------------


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
