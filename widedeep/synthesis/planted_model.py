"""The planted model that draws who rates what, and how: the known answer that a recommender is measured against.

    latent y = user bias + anime bias (quality) + taste + noise,   rating = 1 + #(thresholds <= y)

Taste is the dot product of the user's and the anime's vectors (K dimensions, a user's vector
lies near the centre of one of C clusters), scaled to sd 1 over the ratings. Users come in blocks of USERS_PER_BLOCK.
A block is a pure function of (model, block), so the split of the work over machines cannot change the dump.

Legend:
    A  anime     K  taste dimensions    C  clusters of users
    U  users of a block                 R  raters among them     n  ratings of a block
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from widedeep.synthesis.anime import QUALITY_SD, TASTE_DIMENSIONS, Anime, Floats
from widedeep.synthesis.sizes import OFFICIAL, USERS_PER_BLOCK, Sizes

# Numbers of ratings of 1 to 10 in the official dump.
HISTOGRAM = (98_069, 132_092, 233_675, 562_822, 1_379_480, 2_766_482, 5_452_152, 6_060_484, 4_429_914, 3_210_021)
ID_SPAN = round(USERS_PER_BLOCK * 1_291_097 / OFFICIAL["users"])  # ids that a block spans; with gaps

# Standard deviations in the latent rating, where the taste signal has 1.
USER_BIAS_SD = 0.9
CLUSTERS = 16
CLUSTER_SHARE = 0.80  # of the variance of a user's vector
AFFINITY = 1.0  # how strongly users choose what suits their cluster
ACTIVITY_SD = 1.2  # of the logarithm of the number of ratings
COMPANION = 0.6  # chance that another part of the franchise is rated too
CALIBRATION_BLOCKS = 16

# First keys of the random streams (anime.py has 0); the second key is the block's number.
CLUSTER_STREAM, USER_STREAM, RATING_STREAM, DETAIL_STREAM, BAD_STREAM, NAME_STREAM = range(1, 7)
TITLE_STREAM, ANIME_TEXT_STREAM, HELD_OUT_STREAM, UNSCORED_STREAM = 7, 8, 9, 10

# Some users score everything they have seen, others almost nothing: a user's share of entries without a score is drawn
# from a Beta distribution whose two parameters sum to this, so that the user explains half of the variance.
UNSCORED_CONCENTRATION = 1.0


@dataclass(frozen=True)
class PlantedModel:
    """All that a block is drawn from; a few MB, sent to the workers by broadcast."""

    seed: int
    sizes: Sizes
    noise: float  # sd
    anime: Anime
    share: Floats  # (C,) of the users in each cluster
    centre: Floats  # (C, K)
    weight: Floats  # (C, A) chance that a user of the cluster picks an anime; rows sum to 1
    taste_scale: float = 1.0
    taste_mean: float = 0.0  # over the ratings; positive, since users choose what they like
    thresholds: tuple[float, ...] = ()  # 9, ascending
    anime_mean: Floats = field(default_factory=lambda: np.empty(0))  # (A,) expected mean rating
    bias_rmse: float = math.nan  # of the user + item biases, on held-out ratings of a sample

    def parameters(self) -> dict[str, object]:
        """Return the parameters for planted.json."""
        return {
            "dimensions": TASTE_DIMENSIONS,
            "clusters": CLUSTERS,
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
        """(C, A) cumulative sums of `weight`, ending at 1."""
        total = np.cumsum(self.weight, axis=1)
        return total / total[:, -1:]

    @cached_property
    def expectation(self) -> tuple[Floats, Floats]:
        """The `expectation_table` of this model's thresholds and noise."""
        return expectation_table(self.thresholds, self.noise)


def expectation_table(thresholds: tuple[float, ...], sd: float) -> tuple[Floats, Floats]:
    """Tabulate E[rating | latent mean m] = 1 + sum over thresholds t of P(m + sd * N(0, 1) > t).

    Returns:
        (8193,) grid of m and (8193,) expectations; linear interpolation is accurate to 1e-5.

    """
    grid = np.linspace(thresholds[0] - 6 * sd, thresholds[-1] + 6 * sd, 8193)
    erf = np.vectorize(math.erf, otypes=[float])
    above = [0.5 * (1 + erf((grid - t) / (sd * math.sqrt(2)))) for t in thresholds]
    return grid, 1 + np.sum(above, axis=0)


def draw_clusters(seed: int, anime: Anime) -> tuple[Floats, Floats, Floats]:
    """Return shares (C,), centres (C, K) of mean 0 and mean square CLUSTER_SHARE / K, and picking weights (C, A)."""
    rng = np.random.default_rng([seed, CLUSTER_STREAM])
    share = rng.uniform(0.5, 1.5, CLUSTERS)
    share /= share.sum()
    centre = rng.standard_normal((CLUSTERS, TASTE_DIMENSIONS))
    centre -= (share[:, None] * centre).sum(0)
    centre *= np.sqrt(CLUSTER_SHARE / TASTE_DIMENSIONS / (share[:, None] * centre**2).sum(0))
    weight = anime.popularity * np.exp(AFFINITY * _pairwise(centre, anime.taste))
    return share, centre, weight / weight.sum(1, keepdims=True)


def _pairwise(left: Floats, right: Floats) -> Floats:
    """(C, K), (A, K) -> (C, A) dot products, without BLAS, whose sums depend on the number of threads."""
    return sum(left[:, None, k] * right[None, :, k] for k in range(TASTE_DIMENSIONS))  # pyright: ignore[reportReturnType]
