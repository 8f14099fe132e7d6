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
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from widedeep.synthesis.catalogue import QUALITY_SD, Catalogue, Floats, K
from widedeep.synthesis.sizes import BLOCK, OFFICIAL, Sizes

# Ratings of 1 to 10 in the official dump.
HISTOGRAM = (98_069, 132_092, 233_675, 562_822, 1_379_480, 2_766_482, 5_452_152, 6_060_484, 4_429_914, 3_210_021)
ID_SPAN = round(BLOCK * 1_291_097 / OFFICIAL["users"])  # ids of a block, with the dump's gaps

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
