"""Write the generated anime of anime.py as the lines of the anime file.

Legend:
    A  anime, in order of their id        F  franchises
"""

from datetime import date, timedelta

import numpy as np

from widedeep.synthesis.anime import GENRES, TYPES, Anime
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
from widedeep.synthesis.planted_model import ANIME_TEXT_STREAM, TITLE_STREAM, PlantedModel

ANIME_COLUMNS = (
    "anime_id", "Name", "English name", "Other name", "Score", "Genres", "Synopsis", "Type", "Episodes", "Aired",
    "Premiered", "Status", "Producers", "Licensors", "Studios", "Source", "Duration", "Rating", "Rank", "Popularity",
    "Favorites", "Scored By", "Members", "Image URL",
)  # fmt: skip
UNKNOWN = "UNKNOWN"
IMAGE_URL = "https://cdn.myanimelist.net/images/anime/{}/{}.jpg"
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
# Type -> usual numbers of episodes; type -> range of minutes.
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


def draw_titles(seed: int, anime: Anime) -> tuple[list[str], list[str], list[str]]:
    """Return titles (A,) in romaji, English and Japanese; all but a few romaji titles are unique."""
    rng = np.random.default_rng([seed, TITLE_STREAM])
    taken: set[str] = set()
    bases = [_base_title(rng, taken) for _ in range(len(anime.first) - 1)]
    names, english, other = [""] * len(anime), [""] * len(anime), [""] * len(anime)
    types = list(TYPES)
    for member in anime.members:  # franchise by franchise, first part first
        romaji, plain, japanese = bases[anime.franchise[member]]
        part = int(anime.part[member])
        if part:
            forms = SEQUELS[types[anime.type[member]]]
            form = forms[(part - 1) % len(forms)]
            name = form.format(romaji)
            while name in taken:
                part += 1
                name = f"{form.format(romaji)} ({part})"
            taken.add(name)
            names[member], english[member], other[member] = name, form.format(plain), f"{japanese} {part + 1}"
        else:
            names[member], english[member], other[member] = romaji, plain, japanese
    # Some anime share a name, as on the site; they are popular ones, so that some user has rated both.
    popular = np.argsort(-anime.popularity, kind="stable")
    for pair in range(max(1, round(SAME_NAME_SHARE * len(anime)))):
        one, two = popular[len(anime) // 16 + 2 * pair :][:2]
        names[two] = names[one]
    return names, english, other


def _base_title(rng: np.random.Generator, taken: set[str]) -> tuple[str, str, str]:
    """Return a new title in romaji, English and Japanese, and add it to `taken`."""
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
    """Return the header line."""
    return ",".join(ANIME_COLUMNS)


def anime_lines(model: PlantedModel) -> list[str]:
    """Return the (A,) lines of the anime file after its header."""
    anime = model.anime
    rng = np.random.default_rng([model.seed, ANIME_TEXT_STREAM])
    names, english, other = draw_titles(model.seed, anime)
    statistics = _site_statistics(model, rng)
    genres = _genre_texts(anime, rng)
    studios = _company_names(rng, STUDIO_FORMS, int(anime.studio.max()) + 1)
    producers = _company_names(rng, PRODUCER_FORMS, max(20, len(anime) // 20))
    licensors = _company_names(rng, LICENSOR_FORMS, 90)
    hentai = anime.genres[:, list(GENRES).index("Hentai")]
    lines = []
    for i in range(len(anime)):
        known = anime.popularity[i] > 0
        kind = list(TYPES)[anime.type[i]]
        row = {
            "anime_id": str(anime.anime_id[i]),
            "Name": names[i],
            "English name": english[i] if rng.random() < (0.52 if known else 0.2) else UNKNOWN,
            "Other name": other[i] if rng.random() > 0.005 else UNKNOWN,
            "Genres": genres[i],
            "Synopsis": _synopsis(rng, names[i]) if known or rng.random() < 0.5 else NO_SYNOPSIS,
            "Producers": _some(rng, producers, 0.6 if known else 0.2, 3),
            "Licensors": _some(rng, licensors, 0.28 if known else 0.01, 2),
            "Studios": studios[anime.studio[i]] if rng.random() < (0.75 if known else 0.25) else UNKNOWN,
            "Source": str(_weighted(rng, SOURCES)),
            "Rating": _age_rating(rng, bool(hentai[i])),
            "Image URL": IMAGE_URL.format(rng.integers(1, 2000), rng.integers(10_000, 150_000)),
            **_broadcast(rng, kind, int(anime.day[i])),
            **statistics[i],
        }
        lines.append(",".join(csv_field(row[column]) for column in ANIME_COLUMNS))
    return lines


def _site_statistics(model: PlantedModel, rng: np.random.Generator) -> list[dict[str, str]]:
    """Return (A,) scores, ranks and counts as the site shows them: computed from all votes, test ratings included."""
    anime, count = model.anime, len(model.anime)
    by_appeal = np.argsort(-anime.appeal, kind="stable")
    scored = np.zeros(count, bool)
    scored[by_appeal[: round(SHARE_SCORED * count)]] = True
    score = np.round(np.clip(model.anime_mean, 1, 10), 2)
    votes = np.round(MOST_VOTES * -np.expm1(-SITE_VOTES * anime.popularity / MOST_VOTES)).astype(int) + 100
    members = np.round(votes * rng.uniform(1.6, 2.8, count) + rng.integers(20, 200, count)).astype(int)
    members[~scored] = rng.integers(10, 400, (~scored).sum())
    favorites = (members * np.exp(1.2 * (score - 10.5)) * rng.uniform(0.2, 1.0, count)).astype(int)
    popularity = _ranks(-members) + 1
    unranked = anime.genres[:, list(GENRES).index("Hentai")] | (rng.random(count) < 0.13)
    rank = _ranks(np.where(unranked, np.inf, np.where(scored, -score, popularity))) + 1
    return [
        {
            "Score": str(float(score[i])) if scored[i] else UNKNOWN,
            "Rank": UNKNOWN if unranked[i] else f"{rank[i]}.0",
            "Popularity": str(popularity[i]),
            "Favorites": str(favorites[i]),
            "Scored By": f"{votes[i]}.0" if scored[i] else UNKNOWN,
            "Members": str(members[i]),
        }
        for i in range(count)
    ]


def _ranks(keys: np.ndarray) -> np.ndarray:
    """Return (n,) the rank of every key, from 0 for the smallest."""
    ranks = np.empty(len(keys), np.int64)
    ranks[np.argsort(keys, kind="stable")] = np.arange(len(keys))
    return ranks


def _genre_texts(anime: Anime, rng: np.random.Generator) -> list[str]:
    """Return (A,) genres joined by commas; the least known anime often list none."""
    hidden = anime.appeal + rng.normal(0, 1, len(anime))
    missing = hidden < np.quantile(hidden, SHARE_WITHOUT_GENRES)
    labels = np.array(list(GENRES))
    return [UNKNOWN if missing[i] else ", ".join(labels[anime.genres[i]]) for i in range(len(anime))]


def _company_names(rng: np.random.Generator, forms: tuple[str, ...], count: int) -> list[str]:
    """Return `count` different names, in a fixed order."""
    names: dict[str, None] = {}
    while len(names) < count:
        a, b = rng.choice(len(NOUNS), 2, replace=False)
        names[forms[rng.integers(len(forms))].format(a=NOUNS[a][0], b=NOUNS[b][0])] = None
    return list(names)


def _some(rng: np.random.Generator, names: list[str], chance: float, most: int) -> str:
    """Return one to `most` of the names, the first ones more often; or UNKNOWN."""
    if rng.random() >= chance:
        return UNKNOWN
    picks = (len(names) * rng.random(rng.integers(1, most + 1)) ** 2).astype(int)
    return ", ".join(dict.fromkeys(names[pick] for pick in picks))


def _weighted(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """Draw one of the keys by its share."""
    edges = np.cumsum(list(shares.values()))
    return list(shares)[int(np.searchsorted(edges, rng.random() * edges[-1], "right"))]


def _age_rating(rng: np.random.Generator, hentai: bool) -> str:
    if rng.random() < 0.027:
        return UNKNOWN
    return "Rx - Hentai" if hentai else _weighted(rng, AGE_RATINGS)


def _broadcast(rng: np.random.Generator, kind: str, day: int) -> dict[str, str]:
    """Return type, episodes, dates, status and duration, which depend on one another."""
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
    """Return one to three paragraphs."""
    name, noun = NAMES[rng.integers(len(NAMES))][0], NOUNS[rng.integers(len(NOUNS))][1]
    opening = f"{name}, a {HEROES[rng.integers(len(HEROES))]}, {TURNS[rng.integers(len(TURNS))]}."
    paragraphs = [f"{opening} {STAKES[rng.integers(len(STAKES))].format(n=name, a=noun)}"]
    for _ in range(rng.integers(0, 3)):
        two = rng.choice(len(STAKES), 2, replace=False)
        paragraphs.append(" ".join(STAKES[i].format(n=name, a=noun) for i in two))
    if rng.random() < 0.3:
        paragraphs.append(f"(Source: {title}, official site)")
    return "\n\n".join(paragraphs)
