"""Every description in conf/data reads files of its form: each is prepared, and what comes out was worked out by hand.

A new description needs an example here: the files as their publisher writes them, and what they should become.
"""

import gzip
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.light_spark import light_spark  # noqa: F401  a fixture of all tests here
from tests.spark.dumps import write_dump
from widedeep.common.command import presets
from widedeep.config.prepare import PrepareConfig
from widedeep.data.dataset_descriptions import read_dataset
from widedeep.schema.manifest import SPLITS, Manifest, Table
from widedeep.spark.preparation.prepare import prepare

Id = int | str
# Leaky columns as features would be called.
LEAKY_FEATURES = {"dump_score", "dump_rank", "dump_scored_by", "dump_mean_score"}


class Example(NamedTuple):
    """Files of a data set, and what they should become."""

    files: Mapping[str, bytes]
    ratings: Mapping[tuple[Id, Id], float]
    scale: tuple[float, float, float, float]  # lowest, highest, step, liked
    titles: Mapping[Id, str]
    items: Mapping[str, Mapping[Id, Any]]  # feature -> what it should be of each item
    users: Mapping[str, Mapping[Id, Any]] = {}
    unscored: int = 0


def text(*lines: str, encoding: str = "utf-8") -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(encoding)


def parquet(**columns: list) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def flags(*genres: int) -> str:
    return "|".join("1" if number in genres else "0" for number in range(19))


# The same films, people and ratings, in the forms of three publishers.
MOVIE_RATINGS = {(1, 1): 5.0, (1, 2): 3.0, (2, 1): 4.0, (2, 3): 1.0, (12, 2): 2.0, (12, 3): 4.0}
MOVIE_TITLES = {1: "Toy Story", 2: "Shanghai Triad (Yao a yao yao)", 3: "Misérables, Les"}
MOVIES = {
    "genres": {1: ["Animation", "Children's", "Comedy"], 2: [], 3: ["Sci-Fi"]},
    "aired_start": {1: 1995.0, 2: 1994.0, 3: 1995.0},
}
PEOPLE = {
    "age": {1: 24.0, 2: 53.0, 12: 23.0},
    "gender": {1: "M", 2: "F", 12: "F"},
    "occupation": {1: "technician", 2: "other", 12: "writer"},
    "location": {1: "85711", 2: "94043", 12: "V5A2B"},
}


def as_text(values: Mapping) -> dict:
    """The same by identifiers that are texts."""
    return {tuple(map(str, key)) if isinstance(key, tuple) else str(key): value for key, value in values.items()}


def features_as_text(features: Mapping[str, Mapping]) -> dict[str, dict]:
    return {name: as_text(values) for name, values in features.items()}


MOVIELENS_100K = Example(
    files={
        "u.data": text(*(f"{user}\t{film}\t{r:g}\t88125094{film}" for (user, film), r in MOVIE_RATINGS.items())),
        "u.item": text(
            f"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story|{flags(3, 4, 5)}",
            f"2|Shanghai Triad (Yao a yao yao) (1994)|01-Jan-1995||http://us.imdb.com/|{flags(0)}",
            f"3|Misérables, Les (1995) (V)|||http://us.imdb.com/M/title-exact?Mis%E9rables|{flags(15)}",
            encoding="iso-8859-1",
        ),
        "u.user": text("1|24|M|technician|85711", "2|53|F|other|94043", "12|23|F|writer|V5A2B"),
    },
    ratings=MOVIE_RATINGS,
    scale=(1, 5, 1, 4),
    titles=MOVIE_TITLES,
    items=MOVIES,
    users=PEOPLE,
)
MOVIELENS_1M = Example(
    files={
        "ratings.dat": text(*(f"{user}::{film}::{r:g}::97830076{film}" for (user, film), r in MOVIE_RATINGS.items())),
        "movies.dat": text(
            "1::Toy Story (1995)::Animation|Children's|Comedy",
            '2::"Seven: Days" in Café (1994)::Drama',
            "3::Misérables, Les (1995)::Sci-Fi",
            encoding="iso-8859-1",
        ),
        "users.dat": text("1::F::1::10::48067", "2::M::56::16::70072", "12::M::25::0::55117-1234"),
    },
    ratings=MOVIE_RATINGS,
    scale=(1, 5, 1, 4),
    titles={1: "Toy Story", 2: '"Seven: Days" in Café', 3: "Misérables, Les"},
    items={
        "genres": {1: ["Animation", "Children's", "Comedy"], 2: ["Drama"], 3: ["Sci-Fi"]},
        "aired_start": {1: 1995.0, 2: 1994.0, 3: 1995.0},
    },
    users={"age": {1: 1.0, 2: 56.0, 12: 25.0}, "occupation": {1: "10", 2: "16", 12: "0"}},
)
MOVIELENS_32M = Example(
    files={
        "ratings.csv": text("userId,movieId,rating,timestamp", "1,1,0.5,944249077", "1,2,4.5,944250228", "7,3,5.0,1"),
        "movies.csv": text(
            "movieId,title,genres",
            "1,Toy Story (1995),Adventure|Animation",
            '2,"American President, The (1995)",(no genres listed)',
            '3,"""Great Performances"" Cats (1998) ",Musical',
        ),
    },
    ratings={(1, 1): 0.5, (1, 2): 4.5, (7, 3): 5.0},
    scale=(0.5, 5, 0.5, 4),
    titles={1: "Toy Story", 2: "American President, The", 3: '"Great Performances" Cats'},
    items={
        "genres": {1: ["Adventure", "Animation"], 2: [], 3: ["Musical"]},
        "aired_start": {1: 1995.0, 2: 1995.0, 3: 1998.0},
    },
)
RECBOLE = Example(
    files={
        "ml-100k.inter": text(
            "user_id:token\titem_id:token\trating:float\ttimestamp:float",
            *(f"{user}\t{film}\t{r:g}\t88125094{film}" for (user, film), r in MOVIE_RATINGS.items()),
        ),
        "ml-100k.item": text(
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
            "1\tToy Story\t1995\tAnimation Children's Comedy",
            "2\tShanghai Triad (Yao a yao yao)\t1994\tunknown",
            "3\tMisérables, Les\t1995\tSci-Fi",
        ),
        "ml-100k.user": text(
            "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
            "1\t24\tM\ttechnician\t85711",
            "2\t53\tF\tother\t94043",
            "12\t23\tF\twriter\tV5A2B",
        ),
    },
    ratings=as_text(MOVIE_RATINGS),
    scale=(1, 5, 1, 4),
    titles=as_text(MOVIE_TITLES),
    items=features_as_text(MOVIES),
    users=features_as_text(PEOPLE),
)
MAL2020 = Example(
    files={
        "animelist.csv": text(
            "user_id,anime_id,rating,watching_status,watched_episodes",
            "0,1,9,1,1",
            "0,5,0,6,0",
            "3,1,10,2,26",
            "3,5,1,4,2",
        ),
        "anime.csv": text(
            "MAL_ID,Name,Score,Genres,English name,Japanese name,Type,Episodes,Aired,Premiered,Producers,Licensors,"
            "Studios,Source,Duration,Rating,Ranked,Popularity,Members,Favorites,Watching,Completed,On-Hold,Dropped,"
            "Plan to Watch,Score-10,Score-9,Score-8,Score-7,Score-6,Score-5,Score-4,Score-3,Score-2,Score-1",
            '1,Cowboy Bebop,8.78,"Action, Space",Cowboy Bebop,カウボーイビバップ,TV,26,"Apr 3, 1998 to Apr 24, 1999",'
            'Spring 1998,Bandai Visual,"Funimation, Bandai",Sunrise,Original,24 min. per ep.,R - 17+,28.0,39,1251960,'
            "61971,105808,718161,71513,26678,329800,229170.0,182126.0,131625.0,62330.0,20688.0,8904.0,3184.0,1357.0,741.0,"
            "1580.0",
            "5,Tengoku no Tobira,Unknown,Unknown,Unknown,カウボーイビバップ 天国の扉,Movie,1,2001,Unknown,Unknown,"
            "Unknown,Unknown,Original,1 hr. 55 min.,Unknown,Unknown,518,273145,1174,4143,208333,1935,770,57964,30043.0,"
            "49201.0,49505.0,22632.0,5805.0,1877.0,577.0,221.0,109.0,379.0",
        ),
    },
    ratings={(0, 1): 9.0, (3, 1): 10.0, (3, 5): 1.0},
    scale=(1, 10, 1, 8),
    titles={1: "Cowboy Bebop", 5: "Tengoku no Tobira"},
    items={
        "genres": {1: ["Action", "Space"], 5: []},
        "studios": {1: ["Sunrise"], 5: []},
        "licensors": {1: ["Bandai", "Funimation"], 5: []},
        "type": {1: "TV", 5: "Movie"},
        "age_rating": {1: "R - 17+", 5: ""},
        "duration": {1: 24.0, 5: 115.0},
        "members": {1: 1251960.0, 5: 273145.0},
        "title_japanese": {1: "カウボーイビバップ", 5: "カウボーイビバップ 天国の扉"},
    },
    unscored=1,
)
COOPERUNION = Example(
    files={
        "rating.csv": text("user_id,anime_id,rating", "1,20,-1", "1,24,10", "2,20,1", "2,24,-1"),
        "anime.csv": text(
            "anime_id,name,genre,type,episodes,rating,members",
            '20,Naruto,"Action, Comedy",TV,220,7.81,683297',
            '24,"School ""Rumble""",,Movie,Unknown,,179067',
        ),
    },
    ratings={(1, 24): 10.0, (2, 20): 1.0},
    scale=(1, 10, 1, 8),
    titles={20: "Naruto", 24: 'School "Rumble"'},
    items={
        "genres": {20: ["Action", "Comedy"], 24: []},
        "type": {20: "TV", 24: "Movie"},
        "members": {20: 683297.0, 24: 179067.0},
    },
    unscored=2,
)
AMAZON2023 = Example(
    files={
        "All_Beauty.csv": text(
            "user_id,parent_asin,rating,timestamp",
            "AGKHLEW2SOWHNMFQIJGBECAF7INQ,B00YQ6X8EO,5.0,1588687728923",
            "AGKHLEW2SOWHNMFQIJGBECAF7INQ,0007,4.0,1588615855070",
            "null,0007,1.0,1589665266052",
        ),
        "meta_All_Beauty.jsonl": text(
            '{"main_category": "All Beauty", "title": "Howard \\"LC0008\\"\\nWax", "average_rating": 4.8,'
            ' "rating_number": 10, "features": [], "description": [], "price": null, "images": [{"large": "1.jpg"}],'
            ' "store": "Howard", "categories": ["Beauty, All", "Crème"], "parent_asin": "B00YQ6X8EO"}',
            '{"main_category": null, "title": "Yes to Tomatoes", "average_rating": 4.5, "rating_number": 3,'
            ' "price": 12.5, "store": null, "categories": [], "parent_asin": "0007"}',
        ),
    },
    ratings={
        ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "B00YQ6X8EO"): 5.0,
        ("AGKHLEW2SOWHNMFQIJGBECAF7INQ", "0007"): 4.0,
        ("null", "0007"): 1.0,
    },
    scale=(1, 5, 1, 4),
    titles={"B00YQ6X8EO": 'Howard "LC0008"\nWax', "0007": "Yes to Tomatoes"},
    items={
        "genres": {"B00YQ6X8EO": ["Beauty, All", "Crème"], "0007": []},
        "studios": {"B00YQ6X8EO": "Howard", "0007": ""},
        "type": {"B00YQ6X8EO": "All Beauty", "0007": ""},
    },
)
PARQUET = Example(
    files={
        "ratings/part-0.parquet": parquet(user_id=["ann", "ann"], item_id=[7, 8], rating=[5.0, 1.0], note=["a", "b"]),
        "ratings/part-1.parquet": parquet(user_id=["bob"], item_id=[7], rating=[3.0], note=["c"]),
        "ratings/_SUCCESS": b"",
        "items/part-0.parquet": parquet(item_id=[8, 7, 9], title=["Été", "Two\nlines", "unrated"]),
    },
    ratings={("ann", "7"): 5.0, ("ann", "8"): 1.0, ("bob", "7"): 3.0},
    scale=(1, 5, 1, 4),
    titles={"7": "Two\nlines", "8": "Été", "9": "unrated"},
    items={},
)


def mal2023(folder: Path) -> Example:
    """The dump that the tests of prepare read; its anime have a synopsis with quoted newlines."""
    dump = write_dump(folder, ratings=["1,Xinil,1,x,9", "1,Xinil,5,y,0", "2,null,5,y,10", "2,null,6,z,3"])
    anime = dump / "anime-dataset-2023.csv"
    anime.write_text(
        "\n".join(line for line in anime.read_text().split("\n") if not line.startswith(("6,Again", "x7")))
    )
    return Example(
        files={file.name: file.read_bytes() for file in dump.iterdir()},
        ratings={(1, 1): 9.0, (2, 5): 10.0, (2, 6): 3.0},
        scale=(1, 10, 1, 8),
        titles={1: "Bebop, Cowboy", 5: "Movie", 6: "Odd"},
        items={
            "genres": {1: ["Action", "Sci-Fi"], 5: ["Drama"], 6: []},
            "producers": {1: ["Bandai Visual", "Victor"], 5: [], 6: []},
            "duration": {1: 24.0, 5: 115.0},
            "members": {1: 1771505.0, 5: 50.0, 6: 5.0},
        },
        users={"gender": {1: "Male", 2: "", 9: "<other>"}, "location": {1: "California", 2: 'Paris, "France"'}},
        unscored=1,
    )


EXAMPLES = {
    "amazon2023": AMAZON2023,
    "cooperunion": COOPERUNION,
    "mal2020": MAL2020,
    "movielens-100k": MOVIELENS_100K,
    "movielens-1m": MOVIELENS_1M,
    "movielens-32m": MOVIELENS_32M,
    "parquet": PARQUET,
    "recbole": RECBOLE,
}
NAMES = list(presets("data"))
FORMATS = {name: read_dataset(name).ratings.format for name in NAMES}
OPTIONAL = [
    (name, kind)
    for name in NAMES
    for kind in ("items", "users")
    if (file := getattr(read_dataset(name), kind)) is not None and file.optional
]


class Prepared(NamedTuple):
    """A prepared example, by the identifiers of its data."""

    manifest: Manifest
    ratings: dict[tuple[Id, Id], float]
    items: dict[Id, dict[str, Any]]
    users: dict[Id, dict[str, Any]]


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def run(spark, name: str, raw: Path, output: Path) -> Prepared:
    """Prepare with all ratings for training, and read what was written."""
    split = {"train": 1.0, "valid": 0.0, "test": 0.0}
    settings = {"dataset": name, "input": str(raw), "output": str(output), "split": split, "shards": 1, "audit": False}
    manifest = prepare(spark, PrepareConfig.model_validate(settings))
    items = rows(output / "items", manifest.items)
    users = rows(output / "users", manifest.users)
    ratings = [row for part in SPLITS for row in parts(output / f"ratings/split={part}")]
    return Prepared(
        manifest,
        {(users[row["user"]]["user_id"], items[row["item"]]["item_id"]): row["rating"] for row in ratings},
        {row["item_id"]: row for row in items},
        {row["user_id"]: row for row in users},
    )


def parts(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.ParquetFile(file).read().to_pylist()]


def rows(folder: Path, table: Table) -> list[dict[str, Any]]:
    """The rows of a feature table by their index, with what was encoded decoded; missing numbers are None."""
    found = parts(folder)
    for row in found:
        for name, vocabulary in table.vocabularies.items():
            ids = row[name]
            row[name] = sorted(vocabulary[n] for n in ids) if isinstance(ids, list) else vocabulary[ids]
        for name, fitted in table.numeric.items():
            missing = row.get(f"{name}_missing") == 1.0
            row[name] = None if missing else row[name] * fitted.scale + fitted.center
    return found


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> dict[str, Example]:
    return {**EXAMPLES, "mal2023": mal2023(tmp_path_factory.mktemp("mal2023"))}


@pytest.fixture(scope="module")
def prepared(spark, examples, tmp_path_factory):
    """Prepares the example of a description, once."""
    done: dict[str, Prepared] = {}

    def of(name: str) -> Prepared:
        if name not in done:
            assert name in examples, f"conf/data/{name}.toml needs an example in {__file__}"
            folder = tmp_path_factory.mktemp(name)
            done[name] = run(spark, name, write_files(folder / "raw", examples[name].files), folder / "out")
        return done[name]

    return of


@pytest.mark.parametrize("name", NAMES)
def test_an_example_comes_out_as_worked_out_by_hand(prepared, examples, name):
    expected, found = examples.get(name), prepared(name)
    assert found.ratings == expected.ratings
    scale = found.manifest.ratings.scale
    assert (scale.lowest, scale.highest, scale.step, scale.liked) == expected.scale
    assert found.manifest.ratings.quarantined == ({"unscored": expected.unscored} if expected.unscored else {})
    assert found.manifest.quarantined == {"items": {}, "users": {}}
    assert {item: row["title"] for item, row in found.items.items()} == expected.titles
    for features, table in ((expected.items, found.items), (expected.users, found.users)):
        for feature, values in features.items():
            for key, value in values.items():
                there = table[key][feature]
                assert there == (pytest.approx(value, abs=0.5) if isinstance(value, float) else value), (feature, key)


@pytest.mark.parametrize("name", NAMES)
def test_leaky_columns_are_left_out(prepared, name):
    manifest = prepared(name).manifest
    columns = [column for table in (manifest.items, manifest.users) for column in table.columns]
    assert set(manifest.leaks) == set(manifest.dataset.leaks)
    assert not {column.source for column in columns} & set(manifest.leaks)
    assert not {column.name for column in columns} & LEAKY_FEATURES
    assert {column.ratings_in_it for column in columns} <= {"none", "train"}


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form != "parquet"])
def test_packed_files_give_the_same_data(spark, prepared, examples, name, tmp_path):
    packed = {f"{file}.gz": gzip.compress(content) for file, content in examples[name].files.items()}
    found = run(spark, name, write_files(tmp_path / "raw", packed), tmp_path / "out")
    assert found.manifest.digest == prepared(name).manifest.digest


@pytest.mark.parametrize(("name", "kind"), OPTIONAL)
def test_without_an_optional_file_it_warns_and_goes_on(spark, examples, name, kind, tmp_path, caplog):
    raw, path = write_files(tmp_path / "raw", examples[name].files), getattr(read_dataset(name), kind).path
    for file in raw.glob(path if "*" in path else f"{path}/*"):
        file.unlink()
    if (raw / path).is_dir():
        (raw / path).rmdir()
    with caplog.at_level(logging.WARNING, "widedeep"):
        found = run(spark, name, raw, tmp_path / "out")
    assert f"{raw}/{path} does not exist: going on without features of {kind}" in caplog.text
    assert found.ratings == examples[name].ratings
    assert getattr(found.manifest.dataset, kind) is None
    if kind == "items":
        assert {row["title"] for row in found.items.values()} == {f"item {item}" for _, item in found.ratings}


def test_movielens_100k_is_the_same_from_two_publishers(prepared):
    one, two = prepared("movielens-100k"), prepared("recbole")
    assert as_text(one.ratings) == two.ratings
    for table, key in (("items", "item_id"), ("users", "user_id")):
        mine, yours = as_text(getattr(one, table)), getattr(two, table)
        assert mine.keys() == yours.keys()
        shared = set(next(iter(mine.values()))) & set(next(iter(yours.values()))) - {key, table[:-1]}
        assert {"genres", "title", "aired_start"} <= shared or {"age", "gender", "occupation", "location"} <= shared
        for entity, row in mine.items():
            assert {name: row[name] for name in shared} == {name: yours[entity][name] for name in shared}
