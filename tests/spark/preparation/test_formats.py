"""Files that are not quite as described: prepare reads them, or refuses them in a sentence and writes nothing."""

import gzip
import io
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.light_spark import light_spark  # noqa: F401  a fixture of all tests here
from widedeep.common.errors import InputError
from widedeep.config.prepare import PrepareConfig
from widedeep.data.dataset_descriptions import read_dataset
from widedeep.schema.manifest import Manifest
from widedeep.spark.filesystem import Files
from widedeep.spark.preparation import ingest
from widedeep.spark.preparation.prepare import prepare
from widedeep.spark.preparation.quarantine import check_ratings

RATINGS = '[ratings]\npath = "{path}"\nuser = "user"\nitem = "item"\nrating = "rating"\n'
CSV = RATINGS.format(path="ratings.csv")
JSON = RATINGS.format(path="ratings.jsonl") + 'format = "jsonl"\n'
PARQUET = RATINGS.format(path="ratings.parquet") + 'format = "parquet"\n'
TIMED = CSV + 'time = "time"\n'
HEADLESS = CSV + 'header = ["user", "item", "rating"]\n'
ITEMS = '\n[items]\npath = "items.csv"\nid = "item"\nname = "title"\n'
REMEDY = "description"
GOOD = "user,item,rating\nann,1,5\nann,2,4\nbob,1,3\n"


def described(folder: Path, toml: str) -> str:
    file = folder / "described.toml"
    file.write_text(toml)
    return str(file)


def written(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "raw"


def run(spark, folder: Path, toml: str, files: dict[str, str | bytes], **settings) -> Manifest:
    settings = {"dataset": described(folder, toml), "input": str(written(folder, files)), "shards": 1, **settings}
    return prepare(spark, PrepareConfig.model_validate({**settings, "output": str(folder / "out"), "overwrite": True}))


def parquet(**columns: list) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def items_file(*lines: str) -> str:
    return "\n".join(("item,title", *lines)) + "\n"


REFUSED = {
    "another delimiter": (CSV, {"ratings.csv": GOOD.replace(",", ";")}, "ratings.csv", "'user'", "','", REMEDY),
    "another column": (CSV, {"ratings.csv": GOOD.replace("rating", "score")}, "ratings.csv", "['rating']", REMEDY),
    "no header": (CSV, {"ratings.csv": "ann,1,5\nann,2,4\n"}, "ratings.csv", "'rating'", "header", REMEDY),
    "a column twice": (CSV, {"ratings.csv": "user,item,rating,user\na,1,5,b\n"}, "ratings.csv", "twice", "rename"),
    "text in a number": (CSV, {"ratings.csv": "user,item,rating\nann,1,good\n"}, "rating_not_a_number", "good", REMEDY),
    "another encoding": (CSV, {"ratings.csv": "user,item,rating\nJosé,1,5\n".encode("latin-1")}, "user_id", "encoding"),
    "UTF-16": (CSV, {"ratings.csv": GOOD.encode("utf-16")}, "ratings.csv", "'user'", REMEDY),
    "an empty file": (CSV, {"ratings.csv": ""}, "ratings.csv is empty", "again"),
    "an empty packed file": (CSV, {"ratings.csv.gz": gzip.compress(b"")}, "ratings.csv.gz", "'user'", REMEDY),
    "only a header": (CSV, {"ratings.csv": "user,item,rating\n"}, "ratings.csv has no rows", "again"),
    "no file": (CSV, {"rating.csv": GOOD}, "ratings.csv does not exist", "--input"),
    "too many columns": (HEADLESS, {"ratings.csv": "ann,1,5,x\nbob,1,3,y\n"}, "wrong_arity", "ann,1,5,x", REMEDY),
    "other columns in a part": (
        CSV.replace("ratings.csv", "ratings-*.csv"),
        {"ratings-1.csv": GOOD, "ratings-2.csv": "item,user,rating\n1,cid,5\n"},
        "ratings-2.csv",
        "['item', 'user', 'rating']",
        "same",
    ),
    "ratings off the scale": (CSV, {"ratings.csv": "user,item,rating\nann,1,9\n"}, "rating_out_of_range", REMEDY),
    "half stars": (CSV, {"ratings.csv": "user,item,rating\nann,1,4.5\n"}, "rating_between_steps", "ann,1,4.5", REMEDY),
    "a time in words": (
        TIMED,
        {"ratings.csv": "user,item,rating,time\nann,1,5,yesterday\n"},
        "time_not_understood",
        "yesterday",
        REMEDY,
    ),
    "a pair twice": (
        CSV + 'duplicates = "refuse"\n',
        {"ratings.csv": GOOD + "ann,1,2\n"},
        "ratings.csv",
        "user_id ann and item_id 1",
        "ratings.duplicates",
    ),
    "JSON with another key": (
        JSON,
        {"ratings.jsonl": '{"user": "a", "item": "1", "stars": 5}\n'},
        "['rating']",
        REMEDY,
    ),
    "no JSON": (JSON, {"ratings.jsonl": GOOD}, "ratings.jsonl", "wrong_arity: user,item", REMEDY),
    "an empty JSON file": (JSON, {"ratings.jsonl": ""}, "ratings.jsonl is empty", "again"),
    "Parquet with another column": (
        PARQUET,
        {"ratings.parquet": parquet(user=["a"], item=["1"], stars=[5])},
        "ratings.parquet",
        "['rating']",
        REMEDY,
    ),
    "Parquet with text in a number": (
        PARQUET,
        {"ratings.parquet": parquet(user=["a"], item=["1"], rating=["good"])},
        "rating_not_a_number",
        REMEDY,
    ),
    "Parquet without rows": (
        PARQUET,
        {
            "ratings.parquet": parquet(
                user=pa.array([], "string"), item=pa.array([], "string"), rating=pa.array([], "int8")
            )
        },
        "ratings.parquet has no rows",
        "again",
    ),
    "no Parquet": (PARQUET, {"ratings.parquet": GOOD}, "ratings.parquet", "Parquet", "format"),
    "not packed": (CSV, {"ratings.csv.gz": GOOD}, "ratings.csv.gz cannot be unpacked", "again"),
    "other columns of items": (
        CSV + ITEMS,
        {"ratings.csv": GOOD, "items.csv": "item,name\n1,One\n2,Two\n"},
        "items.csv",
        "['title']",
        REMEDY,
    ),
    "items without rows": (CSV + ITEMS, {"ratings.csv": GOOD, "items.csv": items_file()}, "items.csv has no rows"),
    "items of other ratings": (
        CSV + ITEMS,
        {"ratings.csv": GOOD, "items.csv": items_file("7,Seven")},
        "ratings.csv",
        "unknown_item",
        REMEDY,
    ),
    "identifiers that are no numbers": (
        f'[ids]\ntype = "number"\n{CSV}',
        {"ratings.csv": GOOD},
        "user_id_not_a_number",
        "ann,1,5",
        REMEDY,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_not_as_described_is_refused_and_nothing_is_written(spark, tmp_path, case):
    toml, files, *words = REFUSED[case]
    with pytest.raises(InputError) as refused:
        run(spark, tmp_path, toml, files)
    message = str(refused.value)
    assert [word for word in words if word not in message] == []
    assert len(message) < 1000
    assert "Exception" not in message
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith((".", "out."))) == [
        "described.toml",
        "raw",
    ]


@pytest.mark.parametrize(
    ("toml", "mistake"),
    [
        (CSV + 'encoding = "cp1252"\n', "ratings.encoding: Input should be 'utf-8' or 'iso-8859-1'"),
        (CSV + 'sep = ";"\n', "ratings.sep: unknown key"),
        (CSV.replace('user = "user"\n', ""), "ratings.user: Field required"),
        (CSV + "step = 0.3\n", r"ratings: .*step \(0\.3\) must divide"),
        (CSV + ITEMS + 'multi_hot = { genres = { column = "g", flags = ["a"] } }\n', "either a column or flags"),
        (CSV + ITEMS + 'leaks = ["score"]\n', r"\['score'\] are columns of no numeric feature"),
        ("[ratings\n", "cannot be read as TOML"),
    ],
)
def test_a_mistake_in_a_description_is_named(tmp_path, toml, mistake):
    with pytest.raises(InputError, match=mistake):
        read_dataset(described(tmp_path, toml))


@pytest.mark.parametrize("kind", ["time", "date"])
def test_a_split_by_time_needs_times(spark, tmp_path, kind):
    split = {"kind": kind} | ({"test_from": "2020-01-01"} if kind == "date" else {})
    with pytest.raises(InputError, match=r"split\.kind: .* needs the time of each rating.*ratings\.time"):
        run(spark, tmp_path, CSV, {"ratings.csv": GOOD}, split=split)
    assert not (tmp_path / "out").exists()


# --- files that are read --------------------------------------------------------------------------


def read(spark, folder: Path, toml: str, files: dict[str, str | bytes]):
    """The typed ratings of files, as prepare reads them."""
    dataset, raw = read_dataset(described(folder, toml)), written(folder, files)
    path = f"{raw}/{dataset.ratings.path}"
    frame = ingest.read_rows(spark, Files(spark), path, dataset.ratings, dataset.ratings.columns)
    return ingest.typed_ratings(frame, None, dataset, dataset.ratings.scale), dataset


def good(frame) -> list[tuple]:
    rows = frame.where(f"{ingest.REASON} IS NULL").collect()
    return sorted((row["user_id"], row["item_id"], row["rating"], row["time"]) for row in rows)


EXPECTED = [("ann", "1", 5.0, None), ("ann", "2", 4.0, None), ("bob", "1", 3.0, None)]


@pytest.mark.parametrize(
    ("toml", "files"),
    [
        (CSV, {"ratings.csv": "note,rating,item,user\nx,5,1,ann\n,4,2,ann\ny,3,1,bob\n"}),
        (CSV, {"ratings.csv": ("\ufeff" + GOOD).replace("\n", "\r\n")}),
        (CSV, {"ratings.csv": GOOD.rstrip("\n")}),
        (CSV, {"ratings.csv/b.csv": GOOD[:25], "ratings.csv/a.csv": "user,item,rating\nann,2,4\nbob,1,3\n"}),
        (CSV.replace("ratings.csv", "*.csv"), {"1.csv": GOOD[:25], "2.csv": "user,item,rating\nann,2,4\nbob,1,3\n"}),
        (CSV + 'delimiter = "||"\n', {"ratings.csv": GOOD.replace(",", "||")}),
        (CSV + "multi_line = true\n", {"ratings.csv": 'user,item,rating,x\nann,1,5,"a\n""b"""\nann,2,4,\nbob,1,3,\n'}),
        (HEADLESS, {"ratings.csv": GOOD[17:]}),
        (CSV, {"ratings.csv": GOOD.replace("user,item,rating", "user:token,item:token,rating:float")}),
        (JSON, {"ratings.jsonl": '{"item": 1, "user": "ann", "rating": 5}\n{"user": "ann", "item": "2", "rating": "4"}'
                '\n{"rating": 3.0, "user": "bob", "item": "1", "more": [1]}\n'}),
        (PARQUET, {"ratings.parquet/1": parquet(rating=[5, 4], item=[1, 2], user=["ann", "ann"]),
                   "ratings.parquet/2": parquet(rating=[3], item=[1], user=["bob"])}),
    ],
)  # fmt: skip
def test_other_ways_to_write_the_same_are_read(spark, tmp_path, toml, files):
    frame, _ = read(spark, tmp_path, toml, files)
    assert good(frame) == EXPECTED


def test_times_are_seconds_milliseconds_or_dates(spark, tmp_path):
    times = {
        "1588687728": 1588687728.0,
        "1588687728923": 1588687728.923,
        "-86400": -86400.0,
        "2005-09-06": 1125964800.0,
    }
    times |= {"2005-09-06T00:00:01Z": 1125964801.0, "2005-09-06 02:00:00+02:00": 1125964800.0}
    lines = "".join(f"ann,{item},5,{time}\n" for item, time in enumerate(times))
    frame, _ = read(spark, tmp_path, TIMED, {"ratings.csv": f"user,item,rating,time\n{lines}"})
    assert [time for _, _, _, time in good(frame)] == list(times.values())


@pytest.mark.parametrize(
    ("kept", "timed", "rating"),
    [
        ("first", False, 1),
        ("last", False, 4),
        ("mean", False, 2),
        ("first", True, 2),
        ("last", True, 1),
        ("mean", True, 2),
    ],
)
def test_the_description_says_which_rating_of_a_pair_counts(spark, tmp_path, kept, timed, rating):
    rows = [("1", 30), ("2", 10), ("2", 15), ("4", 20)]  # the mean, 2.25, is not on the scale
    lines = "".join(f"ann,1,{given},{time}\n" for given, time in rows)
    toml = f'{TIMED if timed else CSV}duplicates = "{kept}"\n'
    frame, dataset = read(spark, tmp_path, toml, {"ratings.csv": f"user,item,rating,time\n{lines}bob,1,3,5\n"})
    checked = check_ratings("r", frame, dataset, dataset.ratings.scale, lambda name, make: make())
    found = {(row["user_id"], row["item_id"]): row["rating"] for row in checked.unique.collect()}
    assert found == {("ann", "1"): rating, ("bob", "1"): 3}
    assert checked.bad == {"duplicate_pair": 3}


# --- whole runs -----------------------------------------------------------------------------------


def splits_of(folder: Path, manifest: Manifest) -> dict[tuple[str, str], str]:
    """(user, item) -> split."""
    users = pq.read_table(folder / "users").to_pandas().set_index("user")["user_id"]
    items = pq.read_table(folder / "items").to_pandas().set_index("item")["item_id"]
    found = {}
    for split, files in manifest.ratings.shards.items():
        for row in (row for file in files for row in pq.ParquetFile(folder / file.path).read().to_pylist()):
            found[users[row["user"]], items[row["item"]]] = split
    return found


def test_no_rating_of_train_is_later_than_one_of_test(spark, tmp_path):
    time = {(f"u{user}", f"i{item}"): 1_000_000_000 + (user * 7 + item * 31) % 97 * 40_000 for user, item in
            product(range(6), range(20))}  # fmt: skip
    lines = "".join(f"{user},{item},{1 + moment % 5},{moment}\n" for (user, item), moment in time.items())
    files: dict[str, str | bytes] = {"ratings.csv": f"user,item,rating,time\n{lines}"}
    manifest = run(spark, tmp_path, TIMED, files, split={"kind": "time"}, audit=False)
    found = splits_of(tmp_path / "out", manifest)
    assert found.keys() == time.keys()
    for user in {user for user, _ in time}:
        moments = {split: [time[pair] for pair in found if pair[0] == user and found[pair] == split] for split in
                   ("train", "valid", "test")}  # fmt: skip
        assert [len(part) for part in moments.values()] == [16, 2, 2]
        assert max(moments["train"]) <= min(moments["valid"])
        assert max(moments["valid"]) <= min(moments["test"])
    split = {"kind": "date", "valid_from": "2001-09-19", "test_from": "2001-09-30"}  # from the 9th of September on
    manifest = run(spark, tmp_path, TIMED, files, split=split, audit=False)
    found = splits_of(tmp_path / "out", manifest)
    days = {"train": (0, 1_000_857_600), "valid": (1_000_857_600, 1_001_808_000), "test": (1_001_808_000, 2**31)}
    assert all(days[split][0] <= time[pair] < days[split][1] for pair, split in found.items())
    assert set(found.values()) == set(days)


def test_a_log_without_ratings_is_ones_however_often_a_pair_is_in_it(spark, tmp_path):
    toml = '[ratings]\npath = "log.csv"\nuser = "user"\nitem = "song"\ntime = "time"\n'
    lines = "".join(f"u{n % 4},s{n % 7},2020-01-{1 + n % 28:02d}\n" for n in range(112))  # each pair four times
    manifest = run(spark, tmp_path, toml, {"log.csv": f"user,song,time\n{lines}"}, split={"kind": "time"})
    assert manifest.ratings.scale.implicit
    assert (manifest.ratings.train_mean, manifest.ratings.quarantined) == (1.0, {"duplicate_pair": 84})
    assert len(splits_of(tmp_path / "out", manifest)) == 28
    assert manifest.audit is None


def test_people_without_a_row_have_empty_lists_and_texts(spark, tmp_path):
    users = (
        '\n[users]\npath = "users.csv"\nid = "user"\ntext = { note = "note" }\nmulti_hot = { hobbies = "hobbies" }\n'
    )
    files = {"ratings.csv": GOOD, "users.csv": 'user,note,hobbies\nann,hello,"chess, tea"\n'}
    run(spark, tmp_path, CSV + users, files, split={"train": 1.0, "valid": 0.0, "test": 0.0})
    table = pq.read_table(tmp_path / "out" / "users").to_pylist()
    assert [(row["user_id"], row["note"], len(row["hobbies"])) for row in table] == [
        ("ann", "hello", 2),
        ("bob", "", 0),
    ]
