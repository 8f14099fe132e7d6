"""Real titles that belong together, and some that only look so."""

import pytest

from widedeep.scoring.title_stems import name_titles

SERIES = [
    ["Gintama", "Gintama'", "Gintama': Enchousen", "Gintama°", "Gintama.", "Gintama Movie 1: Shinyaku Benizakura-hen"],
    ["Fullmetal Alchemist", "Fullmetal Alchemist: Brotherhood", "Fullmetal Alchemist: Brotherhood Specials"],
    [
        "Code Geass: Hangyaku no Lelouch",
        "Code Geass: Hangyaku no Lelouch R2",
        "Code Geass: Hangyaku no Lelouch I - Koudou",
    ],
    [
        "Code Geass: Boukoku no Akito 1 - Yokuryuu wa Maiorita",
        "Code Geass: Boukoku no Akito 2 - Hikisakareshi Yokuryuu",
    ],
    ["Naruto", "Naruto: Shippuuden", "Naruto: Shippuuden Movie 2 - Kizuna", "Naruto (2023)"],
    [
        "Shingeki no Kyojin",
        "Shingeki no Kyojin Season 3 Part 2",
        "Shingeki no Kyojin: The Final Season",
        "Shingeki no Kyojin OVA",
    ],
    ["Kara no Kyoukai Movie 1: Fukan Fuukei", "Kara no Kyoukai Movie 7: Satsujin Kousatsu (Go)"],
    ["Mob Psycho 100", "Mob Psycho 100 II", "Mob Psycho 100 III"],
    ["Steins;Gate", "Steins;Gate 0", "Steins;Gate Movie: Fuka Ryouiki no Déjà vu"],
    ["Kuroko no Basket", "Kuroko no Basket 2nd Season", "Kuroko no Basket: Tip Off"],
    ["Boku wa Tomodachi ga Sukunai", "Boku wa Tomodachi ga Sukunai Next"],
    ["Hunter x Hunter", "Hunter x Hunter (2011)", "Hunter x Hunter Movie 1: Phantom Rouge"],
    ["Natsume Yuujinchou", "Zoku Natsume Yuujinchou", "Natsume Yuujinchou San"],
    ["K", "K: Missing Kings"],
    ["K-On!", "K-On!!", "K-On! Movie"],
    ["86", "86 Part 2"],
    ["Re:Zero kara Hajimeru Isekai Seikatsu", "Re:Zero kara Hajimeru Isekai Seikatsu 2nd Season"],
    ["Kimi no Na wa."],
    ["Area 88"],
    ["Mushishi", "Mushishi Zoku Shou"],
]
APART = {"Natsume Yuujinchou San", "Mushishi Zoku Shou"}  # words that only a Japanese reader knows for numbers


def test_titles_of_a_series_have_one_stem_and_no_others():
    titles = [title for series in SERIES for title in series]
    stem = dict(zip(titles, (name.stem for name in name_titles(titles)), strict=True))
    for series in SERIES:
        together = [title for title in series if title not in APART]
        assert len({stem[title] for title in together}) == 1, together
        assert {title for title in titles if stem[title] == stem[series[0]]} == set(together)


@pytest.mark.parametrize(
    ("title", "numbers"),
    [
        ("X", ()),
        ("X Season 3 Part 2", (3, 2)),
        ("X 2nd Season", (2,)),
        ("X: The Final Season Part 2", (99, 2)),
        ("X II", (2,)),
        ("X 4", (4,)),
        ("X Movie 1: One", (1,)),
        ("Y 4", ()),  # there is no Y
    ],
)
def test_the_numbers_of_a_part(title, numbers):
    assert name_titles(["X", title])[1].numbers == numbers


def test_nothing_of_a_title_is_better_than_an_empty_stem():
    assert [name.stem for name in name_titles(["★", "Season", "(TV)", "II"])] == ["★", "season", "tv", "ii"]
