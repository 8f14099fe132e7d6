"""Proposals of descriptions for files of many shapes, whose right description is known."""

import gzip
import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.raw_shapes import SHAPES
from tests.spark.dumps import GOOD, write_dump
from tests.training import ROOT
from widedeep.common.errors import InputError
from widedeep.data.column_guesses import Column, feature_name, guess_features
from widedeep.data.propose_dataset import propose_dataset
from widedeep.data.rating_scales import guess_scale
from widedeep.data.raw_samples import read_samples
from widedeep.schema.dataset import Dataset


def proposed(directory: Path, rows: int = 10_000) -> Dataset:
    return Dataset.model_validate({"name": "it", **tomllib.loads(propose_dataset(directory, rows))})


def test_the_tiny_dump_is_read_as_its_preset_says(tmp_path):
    found = proposed(write_dump(tmp_path, ratings=GOOD))
    preset = Dataset.model_validate({"name": "mal", **tomllib.loads((ROOT / "conf/data/mal2023.toml").read_text())})
    assert found.ids == preset.ids
    for name in ("path", "user", "item", "rating", "scale"):
        assert getattr(found.ratings, name) == getattr(preset.ratings, name)
    for kind in ("items", "users"):
        ours, theirs = getattr(found, kind), getattr(preset, kind)
        assert (ours.path, ours.id, ours.name, ours.multi_line) == (
            theirs.path,
            theirs.id,
            theirs.name,
            theirs.multi_line,
        )
        assert set(ours.leaks) == set(theirs.leaks)
    assert found.items.numeric["duration"].parse == "duration"
    assert {source.parse for source in found.items.numeric.values() if source.column == "Aired"} == {
        "range_start",
        "range_end",
    }


def test_movielens_with_colons_no_header_and_latin_1(tmp_path):
    found = proposed(SHAPES["colons"](tmp_path))
    assert found.ids.type == "number"
    assert (found.ratings.path, found.ratings.delimiter, found.ratings.quote) == ("ratings.dat", "::", "")
    assert found.ratings.header == ("user", "item", "rating", "time")
    assert (found.ratings.user, found.ratings.item, found.ratings.rating, found.ratings.time) == found.ratings.header
    assert str(found.ratings.scale) == "1-5"
    assert (found.items.path, found.items.encoding, found.items.header) == (
        "movies.dat",
        "iso-8859-1",
        ("id", "name", "column_3"),
    )
    assert found.items.multi_hot["column_3"].separator == "|"
    assert found.items.numeric["year"].model_dump() == {"column": "name", "parse": "year"}
    assert (found.users.path, found.users.header[0]) == ("users.dat", "id")


def test_movielens_as_csv_with_half_stars(tmp_path):
    found = proposed(SHAPES["half_stars"](tmp_path))
    assert (found.ratings.user, found.ratings.item, found.ratings.time) == ("userId", "movieId", "timestamp")
    assert found.ids.item == "movie_id"
    scale = found.ratings.scale
    assert (scale.lowest, scale.highest, scale.step, scale.liked) == (0.5, 5.0, 0.5, 4.0)
    assert (found.items.path, found.items.id, found.items.name.column) == ("movies.csv", "movieId", "title")
    assert found.items.multi_hot["genres"].separator == "|"
    assert found.users is None


def test_a_typed_header_with_tabs(tmp_path):
    found = proposed(SHAPES["typed_header"](tmp_path))
    assert (found.ratings.path, found.ratings.delimiter, found.ratings.header) == ("small.inter", "\t", ())
    assert (found.ratings.user, found.ratings.item, found.ratings.rating) == ("user_id", "item_id", "rating")
    assert (found.items.path, found.items.id, found.items.name.column) == ("small.item", "item_id", "movie_title")
    assert found.items.multi_hot["class"].separator == " "
    assert found.users.path == "small.user"
    assert found.users.category["gender"].column == "gender"


def test_texts_as_identifiers_in_json(tmp_path):
    found = proposed(SHAPES["json"](tmp_path))
    assert found.ids.type == "text"
    assert (found.ratings.format, found.ratings.path) == ("jsonl", "reviews.jsonl.gz")
    assert (found.ratings.user, found.ratings.item, found.ratings.rating) == ("reviewerID", "asin", "overall")
    assert found.ratings.time == "unixReviewTime"
    assert (found.items.path, found.items.id, found.items.name.column) == ("products.jsonl", "asin", "title")
    assert found.items.multi_hot["categories"].column == "categories"


def test_parquet_with_lists_in_a_directory_of_parts(tmp_path):
    found = proposed(SHAPES["parquet"](tmp_path))
    assert (found.ratings.format, found.ratings.path) == ("parquet", "interactions")
    assert found.ratings.scale.levels == tuple(range(1, 11))
    assert found.ratings.unscored == (0.0,)
    assert found.items.multi_hot["tags"].separator == ","
    assert found.items.leaks == ("average_rating",)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ("colons", "item_id"),  # it has no header
        ("half_stars", "movie_id"),
        ("typed_header", "item_id"),
        ("json", "item_id"),  # the column is called asin, which does not say that it is an identifier
        ("implicit", "artist_id"),
    ],
)
def test_identifiers_of_items_keep_their_name_if_it_says_what_they_are(tmp_path, shape, name):
    assert proposed(SHAPES[shape](tmp_path)).ids.item == name


def test_hidden_files_in_a_directory_of_parts_are_passed_over(tmp_path):
    SHAPES["parquet"](tmp_path)
    before = proposed(tmp_path)
    for name in (".part-0.parquet.crc", "_SUCCESS"):  # Hadoop's checksums, and its mark of a whole directory
        (tmp_path / "interactions" / name).write_bytes(b"crc\0\0\0\2\0")
    assert proposed(tmp_path) == before


def test_a_column_without_a_role_is_named(tmp_path):
    SHAPES["half_stars"](tmp_path)
    movies = pd.read_csv(tmp_path / "movies.csv")
    movies["plot"] = [f"{n} people meet, and {n * n} things happen to them" for n in movies["movieId"]]
    movies.to_csv(tmp_path / "movies.csv", index=False)
    assert "# movies.csv: without a role: plot\n" in propose_dataset(tmp_path, 1000)


def test_dates_with_times_become_numbers():
    joined = Column("joined", [f"2012-0{n % 9 + 1}-04T05:06:{n}" for n in range(10, 60)])
    assert guess_features([joined])["numeric"] == {"joined": {"column": "joined", "parse": "timestamp"}}


def test_a_list_of_tokens_is_a_list_even_if_all_tokens_are_numbers():
    tags = Column("tags", [str(n % 7) for n in range(50)], "token_seq")
    found = guess_features([tags])
    assert found["multi_hot"] == {"tags": {"column": "tags", "separator": " "}}
    assert not found["numeric"]


def test_rows_without_ratings_count_as_ones(tmp_path):
    found = proposed(SHAPES["implicit"](tmp_path))
    assert found.ratings.rating is None
    assert found.ratings.scale.implicit
    assert (found.ratings.user, found.ratings.item, found.ratings.time) == ("user_id", "artist_id", "played_at")
    assert found.items is None


def test_counts_are_no_ratings(tmp_path):
    rows = "\n".join(f"{n % 7},{n % 11},{n * n},{1_500_000_000_000 + n}" for n in range(1, 60))
    (tmp_path / "plays.csv").write_text(f"user,item,rating,time\n{rows}\n")
    text = propose_dataset(tmp_path, 1000)
    assert Dataset.model_validate({"name": "it", **tomllib.loads(text)}).ratings.rating is None
    assert "# rating has no scale of ratings: every row counts as a 1" in text


def test_columns_of_zeros_and_ones_are_flags(tmp_path):
    SHAPES["half_stars"](tmp_path)
    movies = pd.read_csv(tmp_path / "movies.csv")
    for number, genre in enumerate(("Action", "Drama", "War")):
        movies[genre] = (movies["movieId"] + number) % 2
    movies.to_csv(tmp_path / "movies.csv", index=False)
    assert proposed(tmp_path).items.multi_hot["flags"].flags == ("Action", "Drama", "War")


@pytest.mark.parametrize("name", ["readme only", "items only"])
def test_a_directory_without_ratings_is_refused(name, tmp_path):
    (tmp_path / "README.txt").write_text("A data set.\nIt has, as said, ratings.\nThat is all.\n")
    if name == "items only":
        (tmp_path / "movies.csv").write_text("movie_id,title\n1,A\n2,B\n3,C\n")
    with pytest.raises(InputError, match=r"no file looks like ratings.*docs/datasets\.md") as caught:
        propose_dataset(tmp_path, 100)
    assert ("movies.csv" in str(caught.value)) == (name == "items only")


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"--input .*nowhere is no directory"):
        propose_dataset(tmp_path / "nowhere", 100)


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [
        ([1, 2, 5, 3], (1, 5, 1, 4, [])),
        ([1, 2, 10, 0, -1], (1, 10, 1, 8, [0, -1])),
        ([0.5, 4.5], (0.5, 5, 0.5, 4, [])),
        ([0, 1, 1], (0, 1, 1, 1, [])),
        ([*[3] * 200, 5, 11], (1, 5, 1, 4, [])),  # 1 of 202 is off the scale
        ([-9.95, 3.5, 9.9], (-9.95, 9.9, 0.01, 4.94, [])),
    ],
)
def test_scales_are_found(ratings, expected):
    found = guess_scale([float(rating) for rating in ratings])
    assert found is not None
    assert (*(found[name] for name in ("lowest", "highest", "step", "liked")), found.get("unscored", [])) == expected


@pytest.mark.parametrize("ratings", [[1.0, 1.0], [1.0, 4000.0, 17.0], list(np.random.default_rng(0).random(9)), [0.0]])
def test_what_is_no_scale_is_none(ratings):
    assert guess_scale(ratings) is None


def test_names_of_features_are_allowed_and_new():
    assert feature_name("Days Watched", ()) == "days_watched"
    assert feature_name("userVotes", ("user_votes",)) == "user_votes_2"
    assert feature_name("Score", ()) == "dump_score"
    assert feature_name("2nd", ()) == "column_2nd"
    assert feature_name("題", ()) == "column"


def test_zeros_in_front_make_identifiers_texts():
    assert Column("isbn", ["12", "345"]).whole
    assert not Column("isbn", ["12", "0345"]).whole


def test_quoted_newlines_and_the_cut_end_of_a_sample(tmp_path):
    rows = "".join(f'{n},"line\nof ""{n}"""\n' for n in range(100))
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write(f"id,text\n{rows}")
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps({"id": n, "list": [n, "x"]}) for n in range(5)))
    table, lines = read_samples(tmp_path, 10)
    assert table.multi_line
    assert table.frame["text"].tolist() == [f'line\nof "{n}"' for n in range(9)]
    assert lines.frame["list"].tolist() == [f'[{n}, "x"]' for n in range(5)]
