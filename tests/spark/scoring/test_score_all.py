import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from tests.builders import write_prepared
from tests.spoil import spoil_other_groups
from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.evaluate import EvaluateConfig
from widedeep.config.score import ScoreConfig
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.models.artifact import MODEL_FILE, load_artifact
from widedeep.parallel.world import join_world
from widedeep.recommendations import recommendations_of
from widedeep.schema.dataset import Identifiers
from widedeep.schema.manifest import read_manifest
from widedeep.schema.predictions import PredictionManifest
from widedeep.schema.recommendations import list_schema
from widedeep.scoring.list_rules import make_rules
from widedeep.spark.evaluation.evaluate import evaluate_systems
from widedeep.spark.prepared_data import PreparedData
from widedeep.spark.scoring.predictions import write_predictions
from widedeep.spark.scoring.rules import read_rules
from widedeep.spark.scoring.score_all import Scored, plan, score_all, show_summary
from widedeep.spark.scoring.sent_model import SentModel, received_model, send_model
from widedeep.training.run import TrainingRun
from widedeep.training.settings import TrainConfig

IDS = Identifiers(type="number", item="anime_id")


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory) -> Path:
    """A model trained for an epoch."""
    path = tmp_path_factory.mktemp("runs") / "run"
    with join_world("cpu") as world:
        config = TrainConfig(data=prepared, run_dir=path, epochs=1, ranking_users=0, device="cpu")
        TrainingRun(config, world).execute()
    return path


def recommend(spark, prepared, run, output, **settings):
    config = ScoreConfig(data=str(prepared), run_dir=str(run), output=str(output), users_per_file=200, **settings)
    manifest = score_all(spark, config).lists
    parts = [pq.read_table(output / file.path) for file in manifest.files]
    return manifest, [part.to_pandas() for part in parts]


@pytest.fixture(scope="module")
def recommended(spark, prepared, run, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "recommendations"
    manifest, parts = recommend(spark, prepared, run, output, top_n=7)
    return output, manifest, parts


@pytest.fixture(scope="module")
def in_two_stages(spark, prepared, run, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "two_stage"
    settings = {"method": "two_stage", "candidates": 60, "landmarks": 16, "recall_users": 100}
    manifest, parts = recommend(spark, prepared, run, output, top_n=7, **settings)
    return output, manifest, pd.concat(parts, ignore_index=True)


def seen_by_user(prepared, splits=("train", "valid", "test")) -> dict[int, set[int]]:
    seen: dict[int, set[int]] = {}
    for split in splits:
        for file in (prepared / "ratings" / f"split={split}").glob("*.parquet"):
            table = pq.ParquetFile(file).read(["user", "item"])
            for user, item in zip(*(column.to_pylist() for column in table.columns), strict=True):
                seen.setdefault(user, set()).add(item)
    return seen


def test_a_worker_reads_the_model_once_for_all_its_tasks(spark, prepared, run):
    config = ScoreConfig(data=str(prepared), run_dir=str(run))
    sent = send_model(spark, config, read_manifest(prepared)).file

    def which(numbers: Iterator[int]) -> Iterator[tuple[int, int]]:
        yield os.getpid(), id(received_model(sent))

    found = spark.sparkContext.parallelize(range(12), 12).mapPartitions(which).collect()
    workers = {worker for worker, _ in found}
    assert len(set(found)) == len(workers) < len(found)


def test_every_user_gets_n_unrated_anime_in_order(prepared, recommended):
    _, manifest, parts = recommended
    users = pq.read_table(prepared / "users", columns=["user", "user_id"]).to_pandas()
    anime = pq.read_table(prepared / "items", columns=["item", "item_id"]).to_pandas()
    assert [list(part.columns) for part in parts] == [list_schema(IDS).names] * len(parts)
    rows = np.concatenate([part["user_id"] for part in parts])
    assert rows.tolist() == np.repeat(users["user_id"], 7).tolist()  # files, users and ranks in order
    assert all(part["rank"].tolist() == list(range(1, 8)) * (len(part) // 7) for part in parts)
    assert (manifest.users, manifest.rows) == (len(users), 7 * len(users))
    told = ["affinity_wide", "affinity_content", "affinity_deep", "reasons"]
    assert all(part[told].isna().all(axis=None) for part in parts)  # the model does not explain
    seen = seen_by_user(prepared)
    user_index = users.set_index("user_id")["user"].to_dict()
    item = anime.set_index("item_id")["item"].to_dict()
    for part in parts:
        for user_id, group in part.groupby("user_id"):
            assert group["anime_id"].is_unique
            assert not seen.get(user_index[user_id], set()) & {item[a] for a in group["anime_id"]}


def test_lists_are_those_of_scoring_pair_by_pair(prepared, run, recommended):
    output, _, _ = recommended
    artifact = load_artifact(run / MODEL_FILE)
    seen = seen_by_user(prepared)
    everything = torch.arange(len(artifact.item_id), dtype=torch.int32)
    for user in np.flatnonzero(artifact.user_ratings > 0)[:40]:
        with torch.inference_mode():
            scores = artifact.model(torch.full_like(everything, int(user)), everything).affinity.numpy().copy()
        scores[list(seen[int(user)])] = -np.inf
        best = np.argsort(-scores, kind="stable")[:7]
        rows, _ = recommendations_of(output, str(artifact.user_id[user]))
        assert [row["affinity"] for row in rows] == pytest.approx(scores[best].tolist(), abs=1e-5)
        assert [row["predicted_rating"] for row in rows] == pytest.approx(np.clip(scores[best], 1, 10), abs=1e-5)
        close = np.isclose(scores[best][1:], scores[best][:-1], atol=1e-5).any()
        assert close or [row["anime_id"] for row in rows] == artifact.item_id[best].tolist()


def test_users_without_training_ratings_get_the_most_rated(run, recommended):
    output, _, _ = recommended
    artifact = load_artifact(run / MODEL_FILE)
    rows, _ = recommendations_of(output, str(artifact.user_id[np.flatnonzero(artifact.user_ratings == 0)[-1]]))
    best = np.argsort(-artifact.item_ratings, kind="stable")[:7]
    assert [row["anime_id"] for row in rows] == artifact.item_id[best].tolist()
    raters = (artifact.user_ratings > 0).sum()
    assert [row["affinity"] for row in rows] == pytest.approx(artifact.item_ratings[best] / raters)
    assert all(1 <= row["predicted_rating"] <= 10 for row in rows)


def test_excluding_train_and_valid_lets_test_anime_through(spark, prepared, run, tmp_path):
    settings = {"top_n": 3000, "sample_users": 60, "exclude": ("train", "valid")}
    _, parts = recommend(spark, prepared, run, tmp_path / "out", **settings)
    users = pq.read_table(prepared / "users", columns=["user", "user_id"]).to_pandas().set_index("user_id")["user"]
    items = pq.read_table(prepared / "items", columns=["item", "item_id"]).to_pandas()
    kept, test = seen_by_user(prepared, ("train", "valid")), seen_by_user(prepared, ("test",))
    groups = [group for part in parts for group in part.groupby("user_id")]
    assert len(groups) == 60
    for user_id, group in groups:  # top_n is above the number of anime: all other anime comes back
        user = users[user_id]
        found = set(items.set_index("item_id")["item"][group["anime_id"]])
        assert found == set(items["item"]) - kept.get(user, set())
        assert test.get(user, set()) <= found


def test_two_stages_find_what_scoring_every_pair_does(recommended, in_two_stages):
    _, exact_manifest, parts = recommended
    output, manifest, found = in_two_stages
    exact = pd.concat(parts, ignore_index=True)
    assert found[["user_id", "rank"]].equals(exact[["user_id", "rank"]])
    there = exact.merge(found, on=["user_id", "anime_id"], suffixes=("", "_found"))
    assert len(there) >= 0.99 * len(exact)
    assert there["affinity_found"].to_numpy() == pytest.approx(there["affinity"].to_numpy(), abs=1e-5)
    assert there["predicted_rating_found"].to_numpy() == pytest.approx(there["predicted_rating"].to_numpy(), abs=1e-5)
    written = json.loads((output / "_manifest.json").read_text())
    assert written["recall"] == {"value": manifest.recall.value, "users": 100, "candidates": 60}
    assert 0.99 <= manifest.recall.value <= 1
    assert exact_manifest.recall is None


def test_two_stages_recommend_nothing_seen(prepared, in_two_stages):
    users = pq.read_table(prepared / "users", columns=["user", "user_id"]).to_pandas()
    anime = pq.read_table(prepared / "items", columns=["item", "item_id"]).to_pandas()
    rows = in_two_stages[2].merge(users, on="user_id").merge(anime, left_on="anime_id", right_on="item_id")
    seen = seen_by_user(prepared)
    assert not any(item in seen.get(user, ()) for user, item in zip(rows["user"], rows["item"], strict=True))


def test_two_stages_with_all_anime_candidates_are_the_exact_method(spark, prepared, run, recommended, tmp_path):
    settings = {"method": "two_stage", "candidates": 100_000}
    manifest, parts = recommend(spark, prepared, run, tmp_path / "out", top_n=7, **settings)
    assert manifest.recall is None
    assert pd.concat(parts).equals(pd.concat(recommended[2]))


def test_lists_by_rules_from_tables_that_spark_reads(spark, prepared, run, tmp_path):
    table = FeatureTable(prepared, "items", read_manifest(prepared).items)
    rating = table.vocabulary("age_rating")[2]
    rules = {"hide": [f"age_rating={rating}"], "franchise_most": 1, "next_part_only": True, "popularity_discount": 0.5}
    config = ScoreConfig(data=str(prepared), rerank=rules)
    made = read_rules(config, PreparedData(spark, str(prepared)))
    user, item, _ = Tables(prepared, read_manifest(prepared)).train_ratings()
    local = make_rules(config.rerank, table, lambda: (user, item))
    for spark_array, array in zip(
        (made.hidden, made.ratings, *made.franchises), (local.hidden, local.ratings, *local.franchises), strict=True
    ):
        assert np.array_equal(spark_array, array)
    assert 0 < made.hidden.sum() < len(made.hidden)
    manifest, parts = recommend(spark, prepared, run, tmp_path / "out", top_n=7, sample_users=200, rerank=rules)
    assert manifest.config["rerank"] == config.rerank.model_dump(mode="json")
    rows = pd.concat(parts)
    items = table.values("item_id").searchsorted(rows["anime_id"])
    assert len(rows) == 7 * 200
    assert not made.hidden[items].any()
    assert not rows.assign(franchise=made.franchises.number[items]).duplicated(["user_id", "franchise"]).any()


def test_a_low_recall_is_warned_of_and_shown(spark, prepared, run, tmp_path, monkeypatch, capsys):
    warnings = []
    monkeypatch.setattr(log, "warning", lambda text, *values: warnings.append(text % values))
    settings = {"method": "two_stage", "candidates": 7, "landmarks": 1, "sample_users": 50, "recall_users": 40}
    manifest, _ = recommend(spark, prepared, run, tmp_path / "out", top_n=7, **settings)
    assert manifest.recall.value < 0.99
    assert manifest.recall.users <= 40
    assert warnings == [warning for warning in warnings if f"recall@7 is {manifest.recall.value:.4f}" in warning]
    assert len(warnings) == 1
    show_summary(Scored(manifest, None), ScoreConfig(top_n=7))
    assert f"{manifest.recall.value:.4f}" in capsys.readouterr().out


def test_the_directory_reads_as_one_table(spark, recommended):
    output, manifest, parts = recommended
    assert pd.read_parquet(output).equals(pd.concat(parts, ignore_index=True))
    assert spark.read.parquet(str(output)).count() == manifest.rows


def test_a_look_up_reads_the_row_group_of_the_user_alone(recommended, tmp_path):
    output, manifest, parts = recommended
    spoilt = shutil.copytree(output, tmp_path / "spoilt")
    user = int(parts[1]["user_id"].iloc[0])
    assert sum(spoil_other_groups(spoilt / file.path, user) for file in manifest.files) >= len(manifest.files) - 1 > 0
    assert recommendations_of(spoilt, str(user)) == recommendations_of(output, str(user))
    with pytest.raises(InputError, match="is damaged"):
        recommendations_of(spoilt, str(parts[0]["user_id"].iloc[0]))
    with pytest.raises(InputError, match="user 123456789 is not in"):
        recommendations_of(output, "123456789")


def test_a_model_of_other_data_is_refused(spark, prepared, run, tmp_path):
    other = tmp_path / "other"
    write_prepared(other, seed=9)
    with pytest.raises(InputError, match="trained on other data"):
        recommend(spark, other, run, tmp_path / "out")
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        recommend(spark, prepared, tmp_path, tmp_path / "out")


@pytest.fixture(scope="module")
def predicted(spark, prepared, run, tmp_path_factory) -> Path:
    """Predictions alone."""
    output = tmp_path_factory.mktemp("out") / "predictions"
    config = ScoreConfig(data=str(prepared), run_dir=str(run), top_n=0, predictions=str(output))
    lists, manifest = score_all(spark, config)
    assert lists is None
    assert PredictionManifest.unseal((output / "_manifest.json").read_text(), "it") == manifest
    return output


def test_predictions_are_the_models_for_each_test_rating(prepared, run, predicted):
    found = pd.read_parquet(predicted)
    assert found.dtypes.astype(str).to_dict() == {"user": "int32", "item": "int32", "rating": "float32"} | {
        "predicted": "float32"
    }
    parts = [
        pq.ParquetFile(file).read().to_pandas() for file in (prepared / "ratings" / "split=test").glob("*.parquet")
    ]
    test = pd.concat(parts).sort_values(["user", "item"], ignore_index=True)
    assert found[["user", "item", "rating"]].equals(test)
    model = load_artifact(run / MODEL_FILE).model
    with torch.inference_mode():
        expected = model(*(torch.from_numpy(test[name].to_numpy()) for name in ("user", "item"))).rating.numpy()
    assert found["predicted"].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_a_model_that_ranks_only_predicts_no_ratings(spark, prepared, run, tmp_path):
    artifact = load_artifact(run / MODEL_FILE)
    artifact.model.rates = False
    config = ScoreConfig(data=str(prepared), run_dir=str(run), predictions=str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"the model of .*run.* predicts no ratings: leave --predictions out"):
        write_predictions(config, SentModel(artifact, ""), PreparedData(spark, str(prepared)))


def test_evaluating_them_gives_the_errors_that_training_measured(spark, prepared, run, predicted, tmp_path):
    config = EvaluateConfig(data=str(prepared), predictions=str(predicted), output=str(tmp_path / "out"))
    result = evaluate_systems(spark, config)
    expected = json.loads((run / "metrics.json").read_text())["test"]
    assert result.evaluations["out"].rating.overall.model_dump() == pytest.approx(expected, rel=1e-5)


def test_something_must_be_asked_for():
    with pytest.raises(ValueError, match="top_n is 0 and predictions names no directory"):
        ScoreConfig(top_n=0)
    with pytest.raises(ValueError, match="the same directory"):
        ScoreConfig(output="out", predictions="out/")


def test_a_dry_run_says_what_would_be_scored_and_writes_nothing(spark, prepared, run, tmp_path, capsys):
    config = ScoreConfig(data=str(prepared), run_dir=str(run), output=str(tmp_path / "lists"), top_n=7, dry_run=True)
    plan(spark, config)
    said = capsys.readouterr().out
    manifest = read_manifest(prepared)
    assert f"{manifest.users.rows:,} of {manifest.users.rows:,}" in said
    assert f"{7 * manifest.users.rows:,}" in said
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    with pytest.raises(InputError, match="holds no model"):
        plan(spark, config.model_copy(update={"run_dir": str(tmp_path / "nothing")}))
