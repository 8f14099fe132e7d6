"""The anime file: the generated anime of catalogue.py as text.

Legend:
    A  anime, in order of their id        F  franchises
"""

from datetime import date, timedelta

import numpy as np

from widedeep.synthesis.catalogue import GENRES, TYPES, Catalogue
from widedeep.synthesis.csv_text import csv_field
from widedeep.synthesis.lexicon import (
    ADJECTIVES,
    FORMS,
    HEROES,
    LICENSOR_FORMS,
    NAMES,
    NO_SYNOPSIS,
    NOUNS,
    PRODUCER_FORMS,
    STAKES,
    STUDIO_FORMS,
    TURNS,
)
from widedeep.synthesis.planted_model import ANIME_TEXT_STREAM, TITLE_STREAM, Planted

ANIME_COLUMNS = (
    "anime_id", "Name", "English name", "Other name", "Score", "Genres", "Synopsis", "Type", "Episodes", "Aired",
    "Premiered", "Status", "Producers", "Licensors", "Studios", "Source", "Duration", "Rating", "Rank", "Popularity",
    "Favorites", "Scored By", "Members", "Image URL",
)  # fmt: skip
UNKNOWN = "UNKNOWN"
IMAGE = "https://cdn.myanimelist.net/images/anime/{}/{}.jpg"
DUMPED = date(2023, 10, 1)
SEASONS = ("winter", "spring", "summer", "fall")
SOURCES = {
    "Original": 0.40, "Manga": 0.19, "Unknown": 0.148, "Game": 0.055, "Visual novel": 0.047, "Light novel": 0.043,
    "Other": 0.04, "Novel": 0.03, "Web manga": 0.018, "4-koma manga": 0.013, "Music": 0.01, "Picture book": 0.006,
}  # fmt: skip
AGE_RATINGS = {
    "PG-13 - Teens 13 or older": 0.38, "G - All Ages": 0.34, "PG - Children": 0.16,
    "R - 17+ (violence & profanity)": 0.06, "R+ - Mild Nudity": 0.06,
}  # fmt: skip
# Usual episodes and minutes by type.
EPISODES = {"TV": (12, 13, 24, 25, 26, 39, 52), "OVA": (1, 2, 3, 4, 6), "ONA": (1, 5, 10, 12), "Special": (1, 1, 2, 4)}
MINUTES = {"TV": (20, 26), "Movie": (45, 125), "OVA": (15, 46), "ONA": (2, 25), "Special": (3, 31), "Music": (2, 6)}
SEQUELS = {
    "TV": ("{} 2nd Season", "{} 3rd Season", "{} II", "{} S", "Shin {}", "{}: Final Season"),
    "Movie": ("{} Movie", "Gekijouban {}", "{} Movie 2"),
    "OVA": ("{} OVA", "{}: Gaiden", "{} OVA 2"),
    "ONA": ("{} Mini", "{} ONA"),
    "Special": ("{} Specials", "{} Recap", "{}: Omake"),
    "Music": ("{} Music Video",),
}
SAME_NAME_SHARE = 5 / 24_905  # pairs of different anime under one name
SITE_VOTES = 365e6  # votes on the site itself; the dump is a sample of its users
MOST_VOTES = 3e6
SHARE_SCORED, SHARE_WITHOUT_GENRES, SHARE_WITHOUT_EPISODES = 0.63, 0.198, 0.02


def draw_titles(seed: int, book: Catalogue) -> tuple[list[str], list[str], list[str]]:
    """Titles (A,) in romaji, English and Japanese; all but a few romaji titles are unique."""
    rng = np.random.default_rng([seed, TITLE_STREAM])
    taken: set[str] = set()
    bases = [_base_title(rng, taken) for _ in range(len(book.first) - 1)]
    names, english, other = [""] * len(book), [""] * len(book), [""] * len(book)
    types = list(TYPES)
    for member in book.members:  # franchise by franchise, first part first
        romaji, plain, japanese = bases[book.franchise[member]]
        part = int(book.part[member])
        if part:
            forms = SEQUELS[types[book.type[member]]]
            form = forms[(part - 1) % len(forms)]
            name = form.format(romaji)
            while name in taken:
                part += 1
                name = f"{form.format(romaji)} ({part})"
            taken.add(name)
            names[member], english[member], other[member] = name, form.format(plain), f"{japanese} {part + 1}"
        else:
            names[member], english[member], other[member] = romaji, plain, japanese
    # The same name twice, as on the site; among the popular ones, so that some user has rated both.
    popular = np.argsort(-book.popularity, kind="stable")
    for pair in range(max(1, round(SAME_NAME_SHARE * len(book)))):
        one, two = popular[len(book) // 16 + 2 * pair :][:2]
        names[two] = names[one]
    return names, english, other


def _base_title(rng: np.random.Generator, taken: set[str]) -> tuple[str, str, str]:
    """A new title in romaji, English and Japanese."""
    while True:
        form = FORMS[rng.integers(len(FORMS))]
        a, b = (NOUNS[i] for i in rng.choice(len(NOUNS), 2, replace=False))
        d, n = ADJECTIVES[rng.integers(len(ADJECTIVES))], NAMES[rng.integers(len(NAMES))]
        n = (n[0], n[0], n[1])
        romaji, plain, japanese = (form[i].format(a=a[i], b=b[i], d=d[i], n=n[i]) for i in range(3))
        if romaji not in taken:
            taken.add(romaji)
            return romaji, plain, japanese


def anime_header() -> str:
    """The header line."""
    return ",".join(ANIME_COLUMNS)


def anime_lines(model: Planted) -> list[str]:
    """(A,) rows of the anime file, as CSV."""
    book = model.catalogue
    rng = np.random.default_rng([model.seed, ANIME_TEXT_STREAM])
    names, english, other = draw_titles(model.seed, book)
    figures = _site_figures(model, rng)
    genres = _genre_texts(book, rng)
    studios = _company_names(rng, STUDIO_FORMS, int(book.studio.max()) + 1)
    producers = _company_names(rng, PRODUCER_FORMS, max(20, len(book) // 20))
    licensors = _company_names(rng, LICENSOR_FORMS, 90)
    hentai = book.genres[:, list(GENRES).index("Hentai")]
    lines = []
    for i in range(len(book)):
        known = book.popularity[i] > 0
        kind = list(TYPES)[book.type[i]]
        row = {
            "anime_id": str(book.anime_id[i]),
            "Name": names[i],
            "English name": english[i] if rng.random() < (0.52 if known else 0.2) else UNKNOWN,
            "Other name": other[i] if rng.random() > 0.005 else UNKNOWN,
            "Genres": genres[i],
            "Synopsis": _synopsis(rng, names[i]) if known or rng.random() < 0.5 else NO_SYNOPSIS,
            "Producers": _some(rng, producers, 0.6 if known else 0.2, 3),
            "Licensors": _some(rng, licensors, 0.28 if known else 0.01, 2),
            "Studios": studios[book.studio[i]] if rng.random() < (0.75 if known else 0.25) else UNKNOWN,
            "Source": str(_weighted(rng, SOURCES)),
            "Rating": _age_rating(rng, bool(hentai[i])),
            "Image URL": IMAGE.format(rng.integers(1, 2000), rng.integers(10_000, 150_000)),
            **_broadcast(rng, kind, int(book.day[i])),
            **figures[i],
        }
        lines.append(",".join(csv_field(row[column]) for column in ANIME_COLUMNS))
    return lines


def _site_figures(model: Planted, rng: np.random.Generator) -> list[dict[str, str]]:
    """(A,) score, rank and counts, as the site would show them: all votes are in them, test ratings included."""
    book, anime = model.catalogue, len(model.catalogue)
    by_appeal = np.argsort(-book.appeal, kind="stable")
    scored = np.zeros(anime, bool)
    scored[by_appeal[: round(SHARE_SCORED * anime)]] = True
    score = np.round(np.clip(model.anime_mean, 1, 10), 2)
    votes = np.round(MOST_VOTES * -np.expm1(-SITE_VOTES * book.popularity / MOST_VOTES)).astype(int) + 100
    members = np.round(votes * rng.uniform(1.6, 2.8, anime) + rng.integers(20, 200, anime)).astype(int)
    members[~scored] = rng.integers(10, 400, (~scored).sum())
    favorites = (members * np.exp(1.2 * (score - 10.5)) * rng.uniform(0.2, 1.0, anime)).astype(int)
    popularity = _positions(-members) + 1
    unranked = book.genres[:, list(GENRES).index("Hentai")] | (rng.random(anime) < 0.13)
    rank = _positions(np.where(unranked, np.inf, np.where(scored, -score, popularity))) + 1
    return [
        {
            "Score": str(float(score[i])) if scored[i] else UNKNOWN,
            "Rank": UNKNOWN if unranked[i] else f"{rank[i]}.0",
            "Popularity": str(popularity[i]),
            "Favorites": str(favorites[i]),
            "Scored By": f"{votes[i]}.0" if scored[i] else UNKNOWN,
            "Members": str(members[i]),
        }
        for i in range(anime)
    ]


def _positions(keys: np.ndarray) -> np.ndarray:
    """(n,) position of every key when they are sorted."""
    places = np.empty(len(keys), np.int64)
    places[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    return places


def _genre_texts(book: Catalogue, rng: np.random.Generator) -> list[str]:
    """(A,) genres joined; the least known anime often have none listed."""
    hidden = book.appeal + rng.normal(0, 1, len(book))
    missing = hidden < np.quantile(hidden, SHARE_WITHOUT_GENRES)
    labels = np.array(list(GENRES))
    return [UNKNOWN if missing[i] else ", ".join(labels[book.genres[i]]) for i in range(len(book))]


def _company_names(rng: np.random.Generator, forms: tuple[str, ...], count: int) -> list[str]:
    """`count` different names, in a fixed order."""
    names: dict[str, None] = {}
    while len(names) < count:
        a, b = rng.choice(len(NOUNS), 2, replace=False)
        names[forms[rng.integers(len(forms))].format(a=NOUNS[a][0], b=NOUNS[b][0])] = None
    return list(names)


def _some(rng: np.random.Generator, names: list[str], chance: float, most: int) -> str:
    """One to `most` of the names, the first ones more often; or UNKNOWN."""
    if rng.random() >= chance:
        return UNKNOWN
    places = (len(names) * rng.random(rng.integers(1, most + 1)) ** 2).astype(int)
    return ", ".join(dict.fromkeys(names[place] for place in places))


def _weighted(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """One of the keys."""
    edges = np.cumsum(list(shares.values()))
    return list(shares)[int(np.searchsorted(edges, rng.random() * edges[-1], "right"))]


def _age_rating(rng: np.random.Generator, hentai: bool) -> str:
    if rng.random() < 0.027:
        return UNKNOWN
    return "Rx - Hentai" if hentai else _weighted(rng, AGE_RATINGS)


def _broadcast(rng: np.random.Generator, kind: str, day: int) -> dict[str, str]:
    """Type, episodes, dates, status and duration, which hang together."""
    first = date(1970, 1, 1) + timedelta(days=day)
    episodes = int(rng.choice(EPISODES.get(kind, (1,))))
    last = first + timedelta(days=7 * (episodes - 1))
    airing = last >= DUMPED
    unknown = rng.random() < (0.6 if airing else SHARE_WITHOUT_EPISODES)
    minutes = int(rng.integers(*MINUTES[kind]))
    long = f"{minutes // 60} hr" + (f" {minutes % 60} min" if minutes % 60 else "")
    length = long if minutes >= 60 else f"{minutes} min"
    aired = f"{first:%b} {first.day}, {first.year}"
    if episodes > 1:
        aired += " to ?" if airing else f" to {last:%b} {last.day}, {last.year}"
    return {
        "Type": kind if rng.random() > 0.003 else UNKNOWN,
        "Episodes": UNKNOWN if unknown else f"{episodes}.0",
        "Aired": aired if rng.random() > 0.037 else "Not available",
        "Premiered": f"{SEASONS[(first.month - 1) // 3]} {first.year}"
        if kind == "TV" and rng.random() < 0.7
        else UNKNOWN,
        "Status": "Currently Airing" if airing else "Finished Airing",
        "Duration": "Unknown" if rng.random() < 0.026 else f"{length} per ep" if episodes > 1 else length,
    }


def _synopsis(rng: np.random.Generator, title: str) -> str:
    """One to three paragraphs."""
    name, noun = NAMES[rng.integers(len(NAMES))][0], NOUNS[rng.integers(len(NOUNS))][1]
    opening = f"{name}, a {HEROES[rng.integers(len(HEROES))]}, {TURNS[rng.integers(len(TURNS))]}."
    paragraphs = [f"{opening} {STAKES[rng.integers(len(STAKES))].format(n=name, a=noun)}"]
    for _ in range(rng.integers(0, 3)):
        two = rng.choice(len(STAKES), 2, replace=False)
        paragraphs.append(" ".join(STAKES[i].format(n=name, a=noun) for i in two))
    if rng.random() < 0.3:
        paragraphs.append(f"(Source: {title}, official site)")
    return "\n\n".join(paragraphs)
