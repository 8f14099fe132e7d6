"""The search for titles."""

import csv

import numpy as np
import pytest

from widedeep.common.errors import InputError
from widedeep.scoring.title_search import CANDIDATES, TitleIndex, plain_text, similarities

TITLES = [
    *("Cowboy Bebop", "Cowboy Bebop: Tengoku no Tobira", "Boy", "Mononoke Hime", "Hime", "Fullmetal Alchemist"),
    *("Fullmetal Alchemist: Brotherhood", "Kaze no Tani no Nausicaä", "Boy", "Gintama", "Gintama°", "★"),
]
ENGLISH = ["", "Cowboy Bebop: The Movie", "", "Princess Mononoke", *[""] * 8]
JAPANESE = ["カウボーイビバップ", "", "", "もののけ姫", *[""] * 5, "銀魂", "銀魂゜", ""]
RATINGS = [50, 10, 3, 40, 0, 60, 80, 30, 9, 90, 70, 1]
INDEX = TitleIndex([TITLES, ENGLISH, JAPANESE], RATINGS)


@pytest.mark.parametrize(
    ("query", "best", "others"),
    [
        ("Cowboy Bebop", 0, [1]),
        ("cowboy beebop!", 0, [1]),
        ("alchemist fullmetal", 5, []),
        ("fullmetal alchemist brotherhod", 6, []),
        ("brotherhood", 6, []),
        ("mononoke", 3, []),
        ("princess mononoke", 3, []),
        ("もののけ姫", 3, []),
        ("ｶｳﾎﾞｰｲﾋﾞﾊﾞｯﾌﾟ", 0, []),
        ("bebop the movie", 1, []),
        ("kaze no tani no nausicaa", 7, []),
        ("boy", 8, [2, 0, 1]),  # of two equal titles, the one with more ratings
        ("gintama!", 9, [10]),  # reads as both: the one with more ratings
        ("GINTAMA°", 10, [9]),  # is one of them
        ("★", 11, []),
    ],
)
def test_titles_are_found_as_people_type_them(query, best, others):
    matches = INDEX.match(query)
    assert matches.best == best
    assert set(others) <= set(matches.others)


def test_what_is_no_title_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"no title is 'qqqq' or nearly so$"):
        INDEX.match("qqqq")
    with pytest.raises(InputError, match=r"no title is '☆' or nearly so$"):
        INDEX.match("☆")
    with pytest.raises(InputError, match="nearest are 'Mononoke Hime'"):
        INDEX.match("moninike himura")
    assert INDEX.nearest("moninike himura") == "Mononoke Hime"
    assert INDEX.nearest("qqqq") is None


def test_plain_text_keeps_what_tells_japanese_words_apart():
    assert plain_text("  Déjà-Vu:  ＯＡＤ!! ") == "deja vu   oad"
    assert plain_text("がき") != plain_text("かき")


def test_the_candidates_hold_what_comparing_with_all_titles_finds():
    random = np.random.default_rng(0)
    syllables = ["ka", "shi", "no", "to", "ri", "mu", "gen", "sou", "yo", "hi"]
    titles = [" ".join("".join(random.choice(syllables, 2)) for _ in range(random.integers(3, 6))) for _ in range(3000)]
    assert len(titles) > 5 * CANDIDATES
    index = TitleIndex([titles], [0] * len(titles))
    plain = [plain_text(title) for title in titles]
    for title in titles[:100]:
        letters = list(title)
        letters[random.integers(len(letters))] = "x"
        query = "".join(letters)
        found = index.match(query)
        exact = similarities(plain_text(query), plain)
        assert exact[found.best] == exact.max()


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("attack on titan", "Shingeki no Kyojin"),
        ("spirited away", "Sen to Chihiro no Kamikakushi"),
        ("your name", "Kimi no Na wa."),
        ("進撃の巨人", "Shingeki no Kyojin"),
    ],
)
def test_titles_of_the_real_dump_in_other_languages(real_dump, query, title):
    with (real_dump / "anime-dataset-2023.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [
        ["" if row[name] == "UNKNOWN" else row[name] for row in rows] for name in ("Name", "English name", "Other name")
    ]
    index = TitleIndex(columns, [int(row["Members"]) for row in rows])
    assert index.shown[index.match(query).best] == title
