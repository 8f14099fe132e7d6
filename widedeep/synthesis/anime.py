"""Draw the made-up anime as numbers: franchises, genres, studios, popularity, quality, taste.

The result is a pure function of the seed and the number of anime; `anime_text.py` turns it into text.

Legend:
    A  anime, in order of their id        F  franchises       G  genres
    S  studios                            K  taste dimensions
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TASTE_DIMENSIONS = 4  # K in shapes; few enough to learn from about 90 ratings a user
ANIME_STREAM = 0  # first key of the random stream; planted_model.py has the other keys

# Genre -> share of the official dump's anime that have it.
GENRES = {
    "Action": 0.20,
    "Adventure": 0.16,
    "Avant Garde": 0.034,
    "Award Winning": 0.010,
    "Boys Love": 0.007,
    "Comedy": 0.30,
    "Drama": 0.12,
    "Ecchi": 0.033,
    "Erotica": 0.002,
    "Fantasy": 0.22,
    "Girls Love": 0.005,
    "Gourmet": 0.006,
    "Hentai": 0.06,
    "Horror": 0.022,
    "Mystery": 0.035,
    "Romance": 0.09,
    "Sci-Fi": 0.13,
    "Slice of Life": 0.075,
    "Sports": 0.032,
    "Supernatural": 0.065,
    "Suspense": 0.010,
}
# Type -> (share among first parts, share among sequels, effect on popularity in standard deviations).
TYPES = {
    "TV": (0.33, 0.36, 0.8),
    "Movie": (0.19, 0.15, 0.2),
    "OVA": (0.15, 0.19, -0.3),
    "ONA": (0.17, 0.07, -0.3),
    "Special": (0.01, 0.23, -0.2),
    "Music": (0.15, 0.0, -1.2),
}
RATED_SHARE = 16_600 / 24_905  # share of the anime that anybody has rated
POPULARITY_SD = 1.8  # of the logarithm of popularity, over the rated anime
QUALITY_SD = 0.6  # of an anime's bias in the latent rating, weighted by ratings; the taste signal has 1
# Source -> share of the variance of an anime's taste vector.
TASTE_SHARES = {"genres": 0.55, "studio": 0.10, "franchise": 0.20, "own": 0.15}
LAST_YEAR = 2023.75  # year in which the dump was made


@dataclass(frozen=True)
class Anime:
    """All anime, in order of their id."""

    anime_id: Ints  # (A,) ascending, with gaps
    franchise: Ints  # (A,) 0..F-1
    part: Ints  # (A,) number within its franchise, from 0
    members: Ints  # (A,) indices of anime, franchise by franchise, first part first
    first: Ints  # (F+1,) index in `members` where each franchise begins
    genres: Bools  # (A, G)
    studio: Ints  # (A,) 0..S-1
    type: Ints  # (A,) index in TYPES
    day: Ints  # (A,) first day aired, in days since 1970-01-01
    appeal: Floats  # (A,) standard normal scores of popularity over all anime, rated or not
    popularity: Floats  # (A,) share of the ratings, taste left aside; 0: nobody rates it
    quality: Floats  # (A,) bias in the latent rating; weighted by popularity: mean 0, sd QUALITY_SD
    taste: Floats  # (A, K) weighted by popularity: mean 0, sd 1 in each dimension

    def __len__(self) -> int:
        return len(self.anime_id)


def draw_anime(seed: int, count: int) -> Anime:
    """Return `count` made-up anime."""
    rng = np.random.default_rng([seed, ANIME_STREAM])
    size = franchise_sizes(rng, count)
    franchise = np.repeat(np.arange(len(size)), size)  # (A,) sorted, until `order` shuffles all arrays
    part = np.arange(count) - np.repeat(np.cumsum(size) - size, size)
    kind = _draw_types(rng, part)
    day = _draw_days(rng, franchise, part, len(size))
    genres = _draw_genres(rng, franchise, len(size))
    studio = _draw_studios(rng, franchise, len(size))

    effect = np.array([effect for _, _, effect in TYPES.values()])[kind]
    recent = (day / 365.25 + 1970 - 2005) / 15
    raw = 0.9 * rng.standard_normal(len(size))[franchise] + 0.5 * rng.standard_normal(count)
    appeal = normal_scores(raw + effect + 0.3 * recent - 0.15 * np.minimum(part, 5))
    popularity = _popularity(appeal)
    own = 0.6 * rng.standard_normal(len(size))[franchise] + 0.4 * rng.standard_normal(count)
    quality = QUALITY_SD * standardize(0.35 * appeal + own - 0.05 * part, popularity)
    taste = _draw_taste(rng, genres, studio, franchise, popularity)

    order = np.argsort(day + rng.normal(0, 200, count), kind="stable")  # ids roughly follow the dates
    members = np.empty(count, np.int64)  # the inverse of `order`
    members[order] = np.arange(count)
    gaps = rng.geometric(24_905 / 55_735, count)  # the dump's ids go up to 55,735
    return Anime(
        anime_id=np.cumsum(gaps),
        franchise=franchise[order],
        part=part[order],
        members=members,
        first=np.concatenate([[0], np.cumsum(size)]),
        genres=genres[order],
        studio=studio[order],
        type=kind[order],
        day=day[order],
        appeal=appeal[order],
        popularity=popularity[order],
        quality=quality[order],
        taste=taste[order],
    )


def franchise_sizes(rng: np.random.Generator, total: int) -> Ints:
    """Return (F,) geometric sizes of mean 2.2 that sum to `total`."""
    size = np.minimum(rng.geometric(0.45, total), 25)
    count = int(np.searchsorted(np.cumsum(size), total)) + 1
    size = size[:count]
    size[-1] -= size.sum() - total
    return size


def normal_scores(values: Floats) -> Floats:
    """(n,) -> (n,) quantiles of a standard normal distribution, in the order of the values."""
    normal = NormalDist()
    quantiles = np.array([normal.inv_cdf((rank + 0.5) / len(values)) for rank in range(len(values))])
    scores = np.empty(len(values))
    scores[np.argsort(values, kind="stable")] = quantiles
    return scores


def standardize(values: Floats, weight: Floats) -> Floats:
    """Scale (A, ...) values to weighted mean 0 and weighted sd 1 along the first axis; weight: (A,), sum 1."""
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    centred = values - (weight * values).sum(0)
    return centred / np.sqrt((weight * centred**2).sum(0))


def _popularity(appeal: Floats) -> Floats:
    """Return (A,) log-normal shares for the most appealing anime, 0 for the others."""
    rated = max(2, round(RATED_SHARE * len(appeal)))
    chosen = np.argsort(-appeal, kind="stable")[:rated]
    weight = np.zeros(len(appeal))
    weight[chosen] = np.exp(POPULARITY_SD * normal_scores(appeal[chosen]))
    return weight / weight.sum()


def _draw_types(rng: np.random.Generator, part: Ints) -> Ints:
    """Return (A,) indices in TYPES: sequels are more often specials and never music videos."""
    shares = np.array([[first, sequel] for first, sequel, _ in TYPES.values()])
    edges = np.cumsum(shares, axis=0) / shares.sum(0)  # (types, 2)
    drawn = rng.random(len(part))
    return np.where(
        part == 0, np.searchsorted(edges[:, 0], drawn, "right"), np.searchsorted(edges[:, 1], drawn, "right")
    )


def _draw_days(rng: np.random.Generator, franchise: Ints, part: Ints, franchises: int) -> Ints:
    """Return (A,) days since 1970: most franchises are young, sequels follow every year or two."""
    age = rng.gamma(1.6, 9.0, franchises)
    start = LAST_YEAR - np.where(age < 62, age, rng.uniform(0, 62, franchises))
    year = start[franchise] + part * rng.uniform(0.5, 2.5, len(part))
    year = np.where(year < LAST_YEAR, year, LAST_YEAR - rng.uniform(0, 3, len(part)))
    return ((year - 1970) * 365.25).astype(np.int64)


def _draw_genres(rng: np.random.Generator, franchise: Ints, franchises: int) -> Bools:
    """Return (A, G) genres, at least one for each anime; a franchise shares most of its genres."""
    share = np.array(list(GENRES.values()))
    base = rng.random((franchises, len(share))) < share
    fallback = rng.choice(len(share), franchises, p=share / share.sum())
    empty = ~base.any(1)
    base[empty, fallback[empty]] = True
    drawn = base[franchise]
    drawn = (drawn & (rng.random(drawn.shape) < 0.92)) | (rng.random(drawn.shape) < 0.05 * share)
    bare = ~drawn.any(1)
    drawn[bare] = base[franchise[bare]]
    return drawn


def _draw_studios(rng: np.random.Generator, franchise: Ints, franchises: int) -> Ints:
    """Return (A,) studios: a few make most anime, and a franchise mostly stays with one."""
    studios = max(12, len(franchise) // 30)
    weight = 1 / (np.arange(studios) + 5.0)
    weight /= weight.sum()
    home = rng.choice(studios, franchises, p=weight)[franchise]
    other = rng.choice(studios, len(franchise), p=weight)
    return np.where(rng.random(len(franchise)) < 0.85, home, other)


def _draw_taste(rng: np.random.Generator, genres: Bools, studio: Ints, franchise: Ints, popularity: Floats) -> Floats:
    """Return (A, K) taste vectors: sums of a part for the genres, the studio, the franchise and the anime itself."""
    of_genre = rng.standard_normal((genres.shape[1], TASTE_DIMENSIONS))
    summed = np.stack([(genres * column).sum(1) for column in of_genre.T], axis=1)
    parts = {
        "genres": summed / np.sqrt(genres.sum(1, keepdims=True)),
        "studio": rng.standard_normal((studio.max() + 1, TASTE_DIMENSIONS))[studio],
        "franchise": rng.standard_normal((franchise.max() + 1, TASTE_DIMENSIONS))[franchise],
        "own": rng.standard_normal((len(studio), TASTE_DIMENSIONS)),
    }
    mixed = sum(np.sqrt(TASTE_SHARES[name]) * standardize(part, popularity) for name, part in parts.items())
    return standardize(np.asarray(mixed), popularity)
