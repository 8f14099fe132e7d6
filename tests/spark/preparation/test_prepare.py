import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.commands import run_command
from tests.spark.dumps import ANIME, BAD, GOOD, write_dump
from tests.training import ROOT
from widedeep.common.errors import InputError
from widedeep.config.prepare import FeatureConfig, PrepareConfig
from widedeep.reporting.data_card import data_card
from widedeep.schema.manifest import SPLITS, Table, read_manifest
from widedeep.spark.preparation.prepare import prepare


def run_prepare(spark, **settings):
    return prepare(spark, PrepareConfig.model_validate(settings))


def ratings_of(path: Path, split: str) -> pd.DataFrame:
    files = sorted((path / "ratings" / f"split={split}").glob("*.parquet"))
    return pd.concat([pq.ParquetFile(file).read().to_pandas() for file in files], ignore_index=True)


def dumped(dump: Path) -> pd.DataFrame:
    """The good ratings of a generated dump, by a reader of its own."""
    frame = pd.read_csv(dump / "users-score-2023.csv", dtype=str, on_bad_lines="skip", keep_default_na=False)
    frame = frame.apply(pd.to_numeric, errors="coerce").drop(columns=["Username", "Anime Title"]).dropna()
    known = set(pd.read_csv(dump / "anime-dataset-2023.csv", usecols=["anime_id"])["anime_id"])
    frame = frame[frame["rating"].isin(range(1, 11)) & frame["anime_id"].isin(known)].astype(int)
    return frame.drop_duplicates(["user_id", "anime_id"])


def test_every_good_rating_is_in_just_one_split(prepared, dump):
    users = pq.read_table(prepared / "users", columns=["user", "user_id"]).to_pandas()
    items = pq.read_table(prepared / "items", columns=["item", "item_id"]).to_pandas()
    frame = pd.concat([ratings_of(prepared, split) for split in SPLITS]).merge(users).merge(items)
    frame = frame.rename(columns={"item_id": "anime_id"})
    expected = dumped(dump)
    assert len(expected) == 40_000
    columns = ["user_id", "anime_id", "rating"]
    found = frame[columns].astype(int).sort_values(columns).to_numpy()
    assert np.array_equal(found, expected[columns].sort_values(columns).to_numpy())


def test_shards_are_equal_whole_and_as_the_manifest_says(prepared):
    manifest = read_manifest(prepared)
    for split in SPLITS:
        shards = manifest.ratings.shards[split]
        assert len(shards) == 8
        assert max(s.rows for s in shards) - min(s.rows for s in shards) <= 1
        for shard in shards:
            file = pq.ParquetFile(prepared / shard.path)
            assert (file.metadata.num_row_groups, file.metadata.num_rows) == (1, shard.rows)
            assert [str(field.type) for field in file.schema_arrow] == ["int32", "int32", "float"]
            assert file.metadata.row_group(0).column(0).compression == "ZSTD"
            content = (prepared / shard.path).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (shard.bytes, shard.sha256)


def test_shards_are_shuffled_globally(prepared):
    column = ratings_of(prepared, "train")["user"].to_numpy()
    # Neighbours in a file are no likelier to be of one user than any two ratings are.
    share = np.mean(column[1:] == column[:-1])
    by_chance = np.sum((np.bincount(column) / len(column)) ** 2)
    assert share < by_chance + 4 * np.sqrt(by_chance / len(column))


def test_tables_hold_everybody_without_nulls(prepared, dump):
    manifest = read_manifest(prepared)
    for name, file, key, column in (
        ("users", "users-details-2023.csv", "user_id", "Mal ID"),
        ("items", "anime-dataset-2023.csv", "item_id", "anime_id"),
    ):
        frame = pq.read_table(prepared / name).to_pandas()
        ids = pd.read_csv(dump / file, usecols=[column])[column]
        assert frame[key].tolist() == sorted(ids)
        assert frame[name[:-1]].tolist() == list(range(len(frame)))
        assert not frame.isna().any().any()
        table = getattr(manifest, name)
        assert frame.columns.tolist() == [c.name for c in table.columns]
        assert np.isfinite(frame[list(table.of_kind("numeric"))].to_numpy()).all()
        for category in table.of_kind("category"):
            assert frame[category].between(0, len(table.vocabularies[category]) - 1).all()


def test_titles_in_other_languages_are_kept_for_people(prepared, dump):
    items = pq.read_table(prepared / "items").to_pandas()
    anime = pd.read_csv(dump / "anime-dataset-2023.csv").set_index("anime_id").loc[items["item_id"]]
    for column, source in (("title_english", "English name"), ("title_japanese", "Other name")):
        assert items[column].tolist() == ["" if name == "UNKNOWN" else name for name in anime[source]]
        assert 0 < (items[column] == "").mean() < 1


def test_statistics_come_from_the_training_split_alone(prepared):
    train = ratings_of(prepared, "train")
    items = pq.read_table(prepared / "items", columns=["item", "train_ratings", "train_mean"]).to_pandas()
    expected = train.groupby("item")["rating"].agg(["count", "mean"]).reindex(items["item"])
    assert np.array_equal(items["train_ratings"], expected["count"].fillna(0).astype(int))
    assert np.allclose(items["train_mean"], expected["mean"].fillna(train["rating"].mean()), atol=1e-5)


def test_features_of_ratings_come_from_the_training_split_alone(prepared):
    manifest, train, prior = read_manifest(prepared), ratings_of(prepared, "train"), FeatureConfig().prior_ratings

    def stored(table: Table, values: np.ndarray, name: str) -> np.ndarray:
        return (values - table.numeric[name].center) / table.numeric[name].scale

    for table, key, name in ((manifest.users, "user", "mean_score"), (manifest.items, "item", "score")):
        frame = pq.read_table(prepared / f"{key}s", columns=[key, name]).to_pandas()
        sums = train.groupby(key)["rating"].agg(["sum", "count"]).reindex(frame[key], fill_value=0)
        damped = (sums["sum"] + prior * train["rating"].mean()) / (sums["count"] + prior)
        assert np.allclose(frame[name], stored(table, damped.to_numpy(), name), atol=1e-4)
        assert frame[name].std() > 0.01
    items = pq.read_table(prepared / "items", columns=["item", "popularity"]).to_pandas()
    counts = np.bincount(train["item"], minlength=len(items))
    place = np.empty(len(items))
    place[np.argsort(-counts, kind="stable")] = np.arange(1, len(items) + 1)
    assert np.allclose(items["popularity"], stored(manifest.items, place[items["item"]], "popularity"), atol=1e-4)


def test_leaky_columns_are_named_and_left_out(prepared):
    manifest = read_manifest(prepared)
    assert {name for name, leak in manifest.leaks.items() if not leak["used"]} == {
        "Score",
        "Rank",
        "Scored By",
        "Mean Score",
    }
    sources = {column.source for table in (manifest.users, manifest.items) for column in table.columns}
    assert not sources & set(manifest.leaks)


@pytest.fixture(scope="module")
def tiny(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    settings = {"input": str(write_dump(folder / "raw")), "output": str(folder / "out"), "max_bad_share": 1.0}
    settings["features"] = {"leaky_columns": ["Score"]}
    settings["split"] = {"train": 1.0, "valid": 0.0, "test": 0.0}
    run_prepare(spark, **settings, shards=2)
    return folder / "out"


def test_bad_rows_are_counted_and_kept_with_their_reason(tiny):
    manifest = read_manifest(tiny)
    frame = pq.read_table(tiny / "quarantine").to_pandas()
    ratings = frame[frame["file"] == "users-score-2023.csv"]
    assert ratings["reason"].value_counts().to_dict() == manifest.ratings.quarantined
    assert manifest.ratings.quarantined == {
        **{reason: list(BAD.values()).count(reason) for reason in BAD.values()},
        "duplicate_pair": 1,
    }
    assert manifest.ratings.read == len(GOOD) + len(BAD) + 1
    assert manifest.quarantined == {"items": {"duplicate_id": 1, "id_not_a_number": 1}, "users": {}}
    assert "1,Xinil,777,Nowhere,5" in set(frame["row"])


def test_users_of_either_file_are_there_and_null_is_a_name(tiny):
    users = pq.read_table(tiny / "users").to_pandas().set_index("user_id")
    assert users.index.tolist() == [1, 2, 3, 9]
    assert users["username"].to_dict() == {1: "Xinil", 2: "null", 3: "", 9: "silent"}
    assert users["train_ratings"].to_dict() == {1: 2, 2: 2, 3: 2, 9: 0}
    assert users["joined_missing"].tolist() == [0, 0, 1, 1]


def test_items_are_parsed_through_newlines_and_quotes(tiny):
    items = pq.read_table(tiny / "items").to_pandas().set_index("item_id")
    manifest = read_manifest(tiny)
    assert items["title"].to_dict() == {1: "Bebop, Cowboy", 5: "Movie", 6: "Odd"}
    genres = manifest.items.vocabularies["genres"]
    assert [sorted(genres[g] for g in genre_ids) for genre_ids in items["genres"]] == [
        ["Action", "Sci-Fi"],
        ["Drama"],
        [],
    ]
    episodes = manifest.items.numeric["episodes"]
    assert (episodes.missing, episodes.unparsed, episodes.fill) == (1, 1, 13.5)
    assert (items["episodes"] * episodes.scale + episodes.center).tolist() == pytest.approx([26.0, 1.0, 13.5])


def test_a_leaky_column_asked_for_by_name_is_used_and_marked(tiny):
    manifest = read_manifest(tiny)
    assert manifest.leaks["Score"]["used"]
    assert not manifest.leaks["Rank"]["used"]
    assert "dump_score" in manifest.items.of_kind("numeric")
    assert "dump_rank" not in manifest.items.of_kind("numeric")


def test_too_many_bad_rows_stop_the_job_and_leave_nothing(spark, tmp_path):
    raw = write_dump(tmp_path / "raw", anime=ANIME[:3])
    with pytest.raises(InputError, match=r"users-score-2023\.csv: 12 of 18 rows are bad.*max_bad_share allows 10"):
        run_prepare(spark, input=str(raw), output=str(tmp_path / "out"), max_bad_share=0.1)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["raw"]


@pytest.mark.parametrize("kind", ["random", "per_user", "stratified"])
def test_ratings_that_are_not_sampled_are_counted(spark, dump, tmp_path, kind):
    settings = {"kind": kind, "sample": 0.4, "strata": ("type",)}
    found = run_prepare(spark, input=str(dump), output=str(tmp_path / "out"), audit=False, split=settings).ratings
    written = sum(found.rows(split) for split in SPLITS)
    assert found.not_sampled == pytest.approx(0.6 * (written + found.not_sampled), rel=0.03)
    assert found.read == written + found.not_sampled + sum(found.quarantined.values())


def test_more_strata_than_the_driver_can_hold_are_refused(spark, tmp_path, monkeypatch):
    write_dump(tmp_path / "raw", ratings=GOOD)
    monkeypatch.setattr("widedeep.spark.preparation.splits.MOST_STRATA", 1)
    split = {"kind": "stratified", "strata": ("type", "gender")}
    settings = {"input": str(tmp_path / "raw"), "output": str(tmp_path / "out"), "max_bad_share": 1.0}
    with pytest.raises(InputError, match=r"split\.strata: type, gender have more than 1 combinations"):
        run_prepare(spark, **settings, split=split)


def test_a_file_that_is_one_long_line_is_no_csv(spark, tmp_path):
    raw = write_dump(tmp_path / "raw")
    (raw / "users-score-2023.csv").write_text("{" + "x" * 200_000 + "}\n")
    with pytest.raises(InputError, match=r"users-score-2023\.csv: its first line is no header of CSV"):
        run_prepare(spark, input=str(raw), output=str(tmp_path / "out"))


def test_entries_without_a_score_are_ratings_of_zero_where_that_is_asked_for(spark, tmp_path):
    rows = [*GOOD, "1,Xinil,6,Odd,0", "2,null,5,Movie,-1", "3,unlisted,6,Odd,-2"]
    raw = write_dump(tmp_path / "raw", ratings=rows, anime=ANIME[:3])
    settings = {"input": str(raw), "max_bad_share": 0.2, "split": {"train": 1.0, "valid": 0.0, "test": 0.0}}
    zero = run_prepare(spark, **settings, output=str(tmp_path / "zero"), ratings={"unscored": "zero"}, shards=1)
    assert (zero.ratings.scale.lowest, zero.ratings.quarantined) == (0, {"rating_out_of_range": 1})
    assert sorted(ratings_of(tmp_path / "zero", "train")["rating"]) == [0, 0, 3, 7, 8, 8, 9, 10]
    # Without them the mean is 7.5; two of nine rows are put aside and not counted among the bad ones.
    drop = run_prepare(spark, **settings, output=str(tmp_path / "drop"), shards=1)
    assert (drop.ratings.scale.lowest, drop.ratings.train_mean) == (1, 7.5)
    assert drop.ratings.quarantined == {"rating_out_of_range": 1, "unscored": 2}


def test_a_file_without_a_good_row_is_refused(spark, tmp_path):
    path = write_dump(tmp_path / "raw", ratings=["a,b,c,d,e"])
    with pytest.raises(InputError, match=r"no good row.*a,b,c,d,e"):
        run_prepare(spark, input=str(path), output=str(tmp_path / "out"), max_bad_share=1.0)


def test_a_missing_file_is_named(spark, tmp_path):
    path = write_dump(tmp_path / "raw")
    (path / "anime-dataset-2023.csv").unlink()
    with pytest.raises(InputError, match=r"anime-dataset-2023\.csv does not exist"):
        run_prepare(spark, input=str(path), output=str(tmp_path / "out"))


def test_a_directory_that_is_not_ours_is_not_replaced(spark, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="no command of ours has written it"):
        run_prepare(spark, input=str(write_dump(tmp_path / "raw")), output=str(tmp_path / "out"))
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


def test_settings_that_the_data_set_cannot_fulfil_are_refused(spark, tmp_path):
    settings = {"input": str(write_dump(tmp_path / "raw")), "output": str(tmp_path / "out")}
    with pytest.raises(InputError, match=r"leaky_columns: \['Mood'\] not among the leaks of mal2023"):
        run_prepare(spark, **settings, features={"leaky_columns": ["Mood"]})
    with pytest.raises(InputError, match=r"mean_columns: \['length'\] not among the numbers of mal2023: \['aired_end'"):
        run_prepare(spark, **settings, features={"mean_columns": ["length"]})
    with pytest.raises(InputError, match="time needs the time of each rating, which mal2023 does not name"):
        run_prepare(spark, **settings, split={"kind": "time"})
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_our_own_output_is_replaced_and_a_failure_leaves_the_old_one(spark, tmp_path):
    raw, out = write_dump(tmp_path / "raw", ratings=GOOD, anime=ANIME[:3]), tmp_path / "out"
    settings = {"input": str(raw), "output": str(out), "split": {"train": 1.0, "valid": 0.0, "test": 0.0}, "shards": 1}
    run_prepare(spark, **settings)
    before = (out / "manifest.json").read_text()
    with pytest.raises(InputError):
        run_prepare(spark, **{**settings, "input": str(tmp_path)})
    assert (out / "manifest.json").read_text() == before
    write_dump(raw, ratings=GOOD[:4], anime=ANIME[:3])
    with pytest.raises(InputError, match="holds prepared ratings already: give --overwrite"):
        run_prepare(spark, **settings)
    assert (out / "manifest.json").read_text() == before
    assert run_prepare(spark, **settings, overwrite=True).ratings.read == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.lock", "out", "raw"]


def test_other_parallelism_gives_the_same_data(prepared, dump, tmp_path):
    """A process of its own with one core, against the session's two: the same rows in the same order."""
    command = [sys.executable, str(ROOT / "jobs" / "prepare.py"), "--input", str(dump), "--output", str(tmp_path / "p")]
    options = "--master local[1] --conf spark.sql.shuffle.partitions=3 --conf spark.ui.enabled=false pyspark-shell"
    environment = {**os.environ, "PYSPARK_SUBMIT_ARGS": options}
    done = run_command(command, ROOT, environment)
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((path / "manifest.json").read_text()) for path in (prepared, tmp_path / "p"))
    assert one["digest"] == two["digest"]
    assert without_bytes(one) == without_bytes(two)
    for split in SPLITS:
        assert ratings_of(prepared, split).equals(ratings_of(tmp_path / "p", split))

    # Sizes of files differ, so the card must not have them: of equal data it is the same.
    assert (tmp_path / "p" / "README.md").read_text() == (prepared / "README.md").read_text()


def test_the_card_is_that_of_the_manifest_and_names_nobody(prepared):
    card = (prepared / "README.md").read_text()
    assert card == data_card(read_manifest(prepared))
    names = set(pq.read_table(prepared / "users", columns=["username"])["username"].to_pylist())
    names -= {"", "null"}  # one user has no name, and one is called as JSON writes what is not set
    assert len(names) > 100
    assert [name for name in names if name in card] == []
    assert not list(prepared.glob(".*"))  # nor a checksum of Hadoop beside it


def without_bytes(value):
    """A manifest but for what depends on the encoder: sizes and digests of files."""
    if isinstance(value, dict):
        return {k: without_bytes(v) for k, v in value.items() if k not in ("sha256", "bytes")}
    return [without_bytes(v) for v in value] if isinstance(value, list) else value
