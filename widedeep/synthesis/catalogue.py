"""The made-up anime catalogue, as numbers: franchises, genres, studios, popularity, quality, taste.

A pure function of the seed and the number of anime; `dump_text.py` puts it into words.

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

K = 4  # few enough for some ninety ratings a user to pin down
CATALOGUE_STREAM = 0  # first key of the random streams; planted_model.py has the others

# Genres and the share of the dump's anime that have them.
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
# name -> (share among first parts, share among sequels, effect on popularity in sd)
TYPES = {
    "TV": (0.33, 0.36, 0.8),
    "Movie": (0.19, 0.15, 0.2),
    "OVA": (0.15, 0.19, -0.3),
    "ONA": (0.17, 0.07, -0.3),
    "Special": (0.01, 0.23, -0.2),
    "Music": (0.15, 0.0, -1.2),
}
RATED_SHARE = 16_600 / 24_905  # of the anime; nobody has rated the rest
POPULARITY_SD = 1.8  # of the logarithm, over the rated anime
QUALITY_SD = 0.6  # of an anime's bias in the latent rating, over ratings; the taste signal has 1
# Shares of an anime's taste vector (of its variance) by where they come from.
TASTE_SHARES = {"genres": 0.55, "studio": 0.10, "franchise": 0.20, "own": 0.15}
LAST = 2023.75  # year in which the dump was made


@dataclass(frozen=True)
class Catalogue:
    """All anime, in order of their id."""

    anime_id: Ints  # (A,) ascending, with gaps
    franchise: Ints  # (A,) 0..F-1
    part: Ints  # (A,) place in its franchise, from 0
    members: Ints  # (A,) positions of anime, franchise by franchise, first part first
    first: Ints  # (F+1,) where each franchise begins in `members`
    genres: Bools  # (A, G)
    studio: Ints  # (A,) 0..S-1
    type: Ints  # (A,) position in TYPES
    day: Ints  # (A,) first day aired, in days since 1970-01-01
    appeal: Floats  # (A,) standard normal scores of popularity over all anime, rated or not
    popularity: Floats  # (A,) share of the ratings before any taste; 0: nobody rates it
    quality: Floats  # (A,) latent bias; over ratings: mean 0, sd QUALITY_SD
    taste: Floats  # (A, K) over ratings: mean 0, sd 1 in each dimension

    def __len__(self) -> int:
        return len(self.anime_id)


def build_catalogue(seed: int, anime: int) -> Catalogue:
    """Draw `anime` anime."""
    rng = np.random.default_rng([seed, CATALOGUE_STREAM])
    size = franchise_sizes(rng, anime)
    franchise = np.repeat(np.arange(len(size)), size)  # (A,) while franchises lie side by side
    part = np.arange(anime) - np.repeat(np.cumsum(size) - size, size)
    kind = _draw_types(rng, part)
    day = _draw_days(rng, franchise, part, len(size))
    genres = _draw_genres(rng, franchise, len(size))
    studio = _draw_studios(rng, franchise, len(size))

    effect = np.array([effect for _, _, effect in TYPES.values()])[kind]
    recent = (day / 365.25 + 1970 - 2005) / 15
    raw = 0.9 * rng.standard_normal(len(size))[franchise] + 0.5 * rng.standard_normal(anime)
    appeal = normal_scores(raw + effect + 0.3 * recent - 0.15 * np.minimum(part, 5))
    popularity = _popularity(appeal)
    own = 0.6 * rng.standard_normal(len(size))[franchise] + 0.4 * rng.standard_normal(anime)
    quality = QUALITY_SD * standardised(0.35 * appeal + own - 0.05 * part, popularity)
    taste = _draw_taste(rng, genres, studio, franchise, popularity)

    order = np.argsort(day + rng.normal(0, 200, anime), kind="stable")  # ids roughly follow the dates
    place = np.empty(anime, np.int64)
    place[order] = np.arange(anime)
    gaps = rng.geometric(24_905 / 55_735, anime)  # the dump's ids go up to 55,735
    return Catalogue(
        anime_id=np.cumsum(gaps),
        franchise=franchise[order],
        part=part[order],
        members=place,
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


def franchise_sizes(rng: np.random.Generator, anime: int) -> Ints:
    """(F,) geometric sizes (mean 2.2) that add up to `anime`."""
    size = np.minimum(rng.geometric(0.45, anime), 25)
    count = int(np.searchsorted(np.cumsum(size), anime)) + 1
    size = size[:count]
    size[-1] -= size.sum() - anime
    return size


def normal_scores(values: Floats) -> Floats:
    """(n,) -> (n,) the same order, with the quantiles of a standard normal in place of the values."""
    normal = NormalDist()
    quantiles = np.array([normal.inv_cdf((rank + 0.5) / len(values)) for rank in range(len(values))])
    scores = np.empty(len(values))
    scores[np.argsort(values, kind="stable")] = quantiles
    return scores


def standardised(values: Floats, weight: Floats) -> Floats:
    """(A, ...) with weighted mean 0 and weighted sd 1 along the first axis; weight: (A,), sum 1."""
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    centred = values - (weight * values).sum(0)
    return centred / np.sqrt((weight * centred**2).sum(0))


def _popularity(appeal: Floats) -> Floats:
    """(A,) log-normal shares of the most appealing anime, 0 for the others."""
    rated = max(2, round(RATED_SHARE * len(appeal)))
    chosen = np.argsort(-appeal, kind="stable")[:rated]
    weight = np.zeros(len(appeal))
    weight[chosen] = np.exp(POPULARITY_SD * normal_scores(appeal[chosen]))
    return weight / weight.sum()


def _draw_types(rng: np.random.Generator, part: Ints) -> Ints:
    """(A,) positions in TYPES: sequels are more often specials and never music videos."""
    shares = np.array([[first, sequel] for first, sequel, _ in TYPES.values()])
    edges = np.cumsum(shares, axis=0) / shares.sum(0)  # (types, 2)
    drawn = rng.random(len(part))
    return np.where(
        part == 0, np.searchsorted(edges[:, 0], drawn, "right"), np.searchsorted(edges[:, 1], drawn, "right")
    )


def _draw_days(rng: np.random.Generator, franchise: Ints, part: Ints, franchises: int) -> Ints:
    """(A,) days since 1970: most franchises are young, sequels follow a year or two apart."""
    age = rng.gamma(1.6, 9.0, franchises)
    start = LAST - np.where(age < 62, age, rng.uniform(0, 62, franchises))
    year = start[franchise] + part * rng.uniform(0.5, 2.5, len(part))
    year = np.where(year < LAST, year, LAST - rng.uniform(0, 3, len(part)))
    return ((year - 1970) * 365.25).astype(np.int64)


def _draw_genres(rng: np.random.Generator, franchise: Ints, franchises: int) -> Bools:
    """(A, G) at least one each; a franchise shares most of its genres."""
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
    """(A,) a few studios make most; a franchise mostly stays with one."""
    studios = max(12, len(franchise) // 30)
    weight = 1 / (np.arange(studios) + 5.0)
    weight /= weight.sum()
    home = rng.choice(studios, franchises, p=weight)[franchise]
    other = rng.choice(studios, len(franchise), p=weight)
    return np.where(rng.random(len(franchise)) < 0.85, home, other)


def _draw_taste(rng: np.random.Generator, genres: Bools, studio: Ints, franchise: Ints, popularity: Floats) -> Floats:
    """(A, K) what an anime appeals to: by its genres, studio and franchise, and a part of its own."""
    of_genre = rng.standard_normal((genres.shape[1], K))
    summed = np.stack([(genres * column).sum(1) for column in of_genre.T], axis=1)
    parts = {
        "genres": summed / np.sqrt(genres.sum(1, keepdims=True)),
        "studio": rng.standard_normal((studio.max() + 1, K))[studio],
        "franchise": rng.standard_normal((franchise.max() + 1, K))[franchise],
        "own": rng.standard_normal((len(studio), K)),
    }
    mixed = sum(np.sqrt(TASTE_SHARES[name]) * standardised(part, popularity) for name, part in parts.items())
    return standardised(np.asarray(mixed), popularity)
