"""Titles as people type them, on the real catalogue: by their English names, with errors of typing, in Japanese."""

import pandas as pd
import pytest

from widedeep.common.errors import InputError
from widedeep.scoring.title_search import TitleIndex

LEAST_FIRST_HITS = 0.95

# What is typed -> the title that is shown.
ENGLISH = {
    "attack on titan": "Shingeki no Kyojin",
    "spirited away": "Sen to Chihiro no Kamikakushi",
    "your name": "Kimi no Na wa.",
    "death note": "Death Note",
    "fullmetal alchemist brotherhood": "Fullmetal Alchemist: Brotherhood",
    "one punch man": "One Punch Man",
    "my hero academia": "Boku no Hero Academia",
    "demon slayer": "Kimetsu no Yaiba",
    "jujutsu kaisen": "Jujutsu Kaisen",
    "tokyo ghoul": "Tokyo Ghoul",
    "hunter x hunter": "Hunter x Hunter (2011)",
    "naruto shippuden": "Naruto: Shippuuden",
    "one piece": "One Piece",
    "cowboy bebop": "Cowboy Bebop",
    "neon genesis evangelion": "Neon Genesis Evangelion",
    "howl's moving castle": "Howl no Ugoku Shiro",
    "princess mononoke": "Mononoke Hime",
    "my neighbor totoro": "Tonari no Totoro",
    "a silent voice": "Koe no Katachi",
    "weathering with you": "Tenki no Ko",
    "steins gate": "Steins;Gate",
    "code geass": "Code Geass: Hangyaku no Lelouch",
    "the promised neverland": "Yakusoku no Neverland",
    "dragon ball z": "Dragon Ball Z",
    "bleach": "Bleach",
    "fairy tail": "Fairy Tail",
    "black clover": "Black Clover",
    "haikyuu": "Haikyuu!!",
    "kuroko's basketball": "Kuroko no Basket",
    "food wars": "Shokugeki no Souma",
    "the seven deadly sins": "Nanatsu no Taizai",
    "sword art online": "Sword Art Online",
    "no game no life": "No Game No Life",
    "angel beats": "Angel Beats!",
    "your lie in april": "Shigatsu wa Kimi no Uso",
    "violet evergarden": "Violet Evergarden",
    "made in abyss": "Made in Abyss",
    "vinland saga": "Vinland Saga",
    "mob psycho 100": "Mob Psycho 100",
    "parasyte": "Kiseijuu: Sei no Kakuritsu",
    "assassination classroom": "Ansatsu Kyoushitsu",
    "soul eater": "Soul Eater",
    "blue exorcist": "Ao no Exorcist",
    "noragami": "Noragami",
    "ghost in the shell": "Koukaku Kidoutai",
    "akira": "Akira",
    "grave of the fireflies": "Hotaru no Haka",
    "kiki's delivery service": "Majo no Takkyuubin",
    "castle in the sky": "Tenkuu no Shiro Laputa",
    "the wind rises": "Kaze Tachinu",
}
MISTYPED = {
    "atack on titan": "Shingeki no Kyojin",
    "spirted away": "Sen to Chihiro no Kamikakushi",
    "yuor name": "Kimi no Na wa.",
    "deth note": "Death Note",
    "full metal alchemist brotherhod": "Fullmetal Alchemist: Brotherhood",
    "onepunch man": "One Punch Man",
    "my hero acadamia": "Boku no Hero Academia",
    "demon slyer": "Kimetsu no Yaiba",
    "jujitsu kaisen": "Jujutsu Kaisen",
    "tokio ghoul": "Tokyo Ghoul",
    "huntr x hunter": "Hunter x Hunter (2011)",
    "cowboy beebop": "Cowboy Bebop",
    "neon genisis evangelion": "Neon Genesis Evangelion",
    "howls moving castel": "Howl no Ugoku Shiro",
    "princes mononoke": "Mononoke Hime",
    "my neighbour totoro": "Tonari no Totoro",
    "stiens gate": "Steins;Gate",
    "the promised neverlad": "Yakusoku no Neverland",
    "violet evergardn": "Violet Evergarden",
    "vinlnd saga": "Vinland Saga",
}
JAPANESE = {
    "進撃の巨人": "Shingeki no Kyojin",
    "千と千尋の神隠し": "Sen to Chihiro no Kamikakushi",
    "君の名は。": "Kimi no Na wa.",
    "鬼滅の刃": "Kimetsu no Yaiba",
    "呪術廻戦": "Jujutsu Kaisen",
    "もののけ姫": "Mononoke Hime",
    "となりのトトロ": "Tonari no Totoro",
    "僕のヒーローアカデミア": "Boku no Hero Academia",
    "約束のネバーランド": "Yakusoku no Neverland",
    "魔女の宅急便": "Majo no Takkyuubin",
}


@pytest.fixture(scope="module")
def index(real_dump):
    table = pd.read_csv(real_dump / "anime-dataset-2023.csv", dtype=str, keep_default_na=False)
    titles = [table[name].replace("UNKNOWN", "").tolist() for name in ("Name", "English name", "Other name")]
    return TitleIndex(titles, table["Members"].astype(float).tolist())


def first_hit(index: TitleIndex, query: str) -> str:
    try:
        return index.shown[index.match(query).best]
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("queries", [ENGLISH, MISTYPED, JAPANESE], ids=["English", "mistyped", "Japanese"])
def test_nearly_all_first_hits_are_what_was_meant(index, queries):
    missed = {query: found for query, title in queries.items() if (found := first_hit(index, query)) != title}
    assert len(missed) <= (1 - LEAST_FIRST_HITS) * len(queries) + 1e-9, missed
