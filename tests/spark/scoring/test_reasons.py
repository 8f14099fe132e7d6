"""Lists of a model that explains, written by Spark; tests/spark/scoring/test_score_all.py has models that do not."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from widedeep.config.score import ScoreConfig
from widedeep.data.feature_tables import Tables
from widedeep.models.artifact import MODEL_FILE, Artifact, load_artifact
from widedeep.parallel.world import join_world
from widedeep.recommendations import main
from widedeep.schema.manifest import read_manifest
from widedeep.spark.scoring.score_all import score_all
from widedeep.training.run import TrainingRun
from widedeep.training.settings import TrainConfig

PARTS = ["affinity_wide", "affinity_content", "affinity_deep"]


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "history"
    with join_world("cpu") as world:
        model = {"name": "wide_deep_history", "embedding_dim": 4, "hidden": (8,), "candidates": 30}
        config = TrainConfig(data=prepared, run_dir=path, epochs=1, ranking_users=0, device="cpu", model=model)
        TrainingRun(config, world).execute()
    return path


def recommend(spark, prepared, run, output, **settings) -> pd.DataFrame:
    config = ScoreConfig(data=str(prepared), run_dir=str(run), output=str(output), **settings)
    return pd.concat(
        [pq.read_table(output / file.path).to_pandas() for file in score_all(spark, config).lists.files],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def recommended(spark, prepared, run, tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    output = tmp_path_factory.mktemp("out") / "recommendations"
    return output, recommend(spark, prepared, run, output, top_n=5)


@torch.no_grad()
def candidates(artifact: Artifact) -> set[tuple[int, int]]:
    """user_id and anime_id of what the model has scored itself for users with training ratings."""
    users, terms = np.flatnonzero(artifact.user_ratings > 0), artifact.model.terms
    survey = artifact.model._unpack(artifact.model.encode_users(torch.from_numpy(users).int())).survey
    anime_id = artifact.item_id[torch.cat([terms.ledger.item_of[survey.candidates].long(), survey.cold], dim=1)]
    return {
        (user, anime)
        for user, row in zip(artifact.user_id[users].tolist(), anime_id.tolist(), strict=True)
        for anime in row
    }


def test_parts_add_up_and_reasons_are_what_the_user_has_rated(prepared, run, recommended):
    artifact, tables = load_artifact(run / MODEL_FILE), Tables(prepared, read_manifest(prepared))
    user, item, rating = tables.train_ratings()
    rated = set(zip(artifact.user_id[user].tolist(), artifact.item_id[item].tolist(), rating.tolist(), strict=True))
    titles = dict(zip(artifact.item_id.tolist(), tables.items.strings("title"), strict=True))
    rows = recommended[1]
    warm = rows["user_id"].isin(artifact.user_id[artifact.user_ratings > 0])
    assert 0 < warm.mean() < 1
    by_model = candidates(artifact)
    scored = rows[[pair in by_model for pair in zip(rows["user_id"], rows["anime_id"], strict=True)]]
    assert len(scored) > 0.9 * warm.sum()
    assert scored[PARTS].notna().all(axis=None)
    assert scored[PARTS].sum(axis=1).to_numpy() == pytest.approx(scored["affinity"].to_numpy(), abs=1e-3)
    assert rows.drop(scored.index)[PARTS].isna().all(axis=None)
    assert (rows[~warm]["reasons"].map(len) == 0).all()
    assert rows["reasons"].map(len).max() == 3
    for user_id, reasons in zip(rows["user_id"], rows["reasons"], strict=True):
        shares = [reason["share"] for reason in reasons]
        assert shares == sorted(shares, reverse=True)
        assert 0 <= sum(shares) <= 1 + 1e-5
        assert all((user_id, reason["anime_id"], reason["rating"]) in rated for reason in reasons)
        assert all(reason["title"] == titles[reason["anime_id"]] for reason in reasons)


def test_a_look_up_shows_the_reasons(recommended, capsys):
    output, rows = recommended
    first = rows[rows["reasons"].map(len) > 0].iloc[0]
    main(["--user", str(first["user_id"]), "--recommendations", str(output)])
    shown = capsys.readouterr().out
    assert "because" in shown
    assert first["reasons"][0]["title"].split()[0] in shown


def test_reasons_can_be_left_out(spark, prepared, run, recommended, tmp_path):
    found = recommend(spark, prepared, run, tmp_path / "out", top_n=5, sample_users=50, reasons=False)
    assert found[[*PARTS, "reasons"]].isna().all(axis=None)
    same = found.merge(recommended[1], on=["user_id", "rank"], suffixes=("", "_told"))
    assert len(same) == len(found) == 250
    assert np.array_equal(same["anime_id"], same["anime_id_told"])


def test_two_stages_of_a_model_that_chooses_candidates_itself_are_its_own(spark, prepared, run, recommended, tmp_path):
    settings = {"method": "two_stage", "candidates": 20, "landmarks": 5}
    found = recommend(spark, prepared, run, tmp_path / "out", top_n=5, **settings)
    assert found["anime_id"].tolist() == recommended[1]["anime_id"].tolist()
    assert json.loads((tmp_path / "out" / "_manifest.json").read_text())["recall"] is None


def test_spark_sql_reads_the_reasons(spark, recommended):
    output, rows = recommended
    spark.read.parquet(str(output)).createOrReplaceTempView("lists")
    query = "SELECT title, reason.share FROM (SELECT explode(reasons) AS reason, title FROM lists)"
    assert spark.sql(query).count() == rows["reasons"].map(len).sum()
