"""Batch scoring of users whom a model tells apart though they have no training ratings."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from tests.builders import COLD, write_prepared
from tests.training import command, train
from widedeep.models.artifact import load_artifact
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.two_stage import TwoStageScorer, fit
from widedeep.scoring.user_lists import score_batches

USERS, ITEMS, TOP = 150, 61, 5
SEEN = [3, 4]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batches")
    write_prepared(folder / "prepared", USERS, ITEMS, features=True)
    flags = {"model__name": "wide_deep_features", "model__hidden": "16,8", "epochs": 1, "ranking_users": 0}
    argv = command(folder / "prepared", folder / "run", **flags)
    train(argv)
    return load_artifact(folder / "run" / "model.safetensors")


def lists_of(artifact, scorer, cold_users: str) -> pd.DataFrame:
    users = np.arange(USERS, dtype=np.int32)
    columns = {
        "user": pa.array(users),
        "user_id": pa.array(artifact.user_id),
        "train_ratings": pa.array(artifact.user_ratings),
        "seen": pa.array([SEEN if user % 2 else None for user in users], pa.list_(pa.int32())),
    }
    return pa.Table.from_batches(
        score_batches(artifact, scorer, pa.table(columns).to_batches(), TOP, cold_users)
    ).to_pandas()


@torch.no_grad()
def all_ratings(artifact) -> np.ndarray:
    """[USERS, ITEMS], pair by pair."""
    user, item = torch.arange(USERS).repeat_interleave(ITEMS).int(), torch.arange(ITEMS).repeat(USERS).int()
    return artifact.model(user, item).rating.view(USERS, ITEMS).numpy()


@pytest.mark.parametrize("two_stage", [False, True])
def test_each_cold_user_gets_the_most_rated_anime_with_ratings_of_their_own(artifact, two_stage):
    scorer = Scorer(artifact.model, ITEMS)
    if two_stage:
        scorer = TwoStageScorer(artifact.model, ITEMS, fit(scorer, np.arange(USERS, dtype=np.int32), 8), 20)
    rows = lists_of(artifact, scorer, "popular")
    expected = all_ratings(artifact).clip(1, 10)
    for user in range(USERS - COLD, USERS):
        mine = rows[rows["user_id"] == artifact.user_id[user]]
        unseen = [i for i in np.argsort(-artifact.item_ratings, kind="stable") if not user % 2 or i not in SEEN]
        assert mine["item"].tolist() == unseen[:TOP]
        assert mine["predicted_rating"].to_numpy() == pytest.approx(expected[user, unseen[:TOP]], abs=1e-5)
    ratings = rows.groupby("user_id")["predicted_rating"].apply(tuple).iloc[-COLD:]
    assert ratings.nunique() == COLD


def test_each_cold_user_gets_the_models_best_for_them(artifact):
    rows = lists_of(artifact, Scorer(artifact.model, ITEMS), "model")
    expected = all_ratings(artifact)
    for user in range(USERS - COLD, USERS):
        mine = rows[rows["user_id"] == artifact.user_id[user]]
        scores = expected[user].copy()
        if user % 2:
            scores[SEEN] = -np.inf
        assert mine["affinity"].to_numpy() == pytest.approx(np.sort(scores)[::-1][:TOP], abs=1e-5)
        assert scores[mine["item"]] == pytest.approx(mine["affinity"].to_numpy(), abs=1e-5)


def test_lists_of_a_model_that_ranks_only_have_no_ratings(artifact, monkeypatch):
    rated = lists_of(artifact, Scorer(artifact.model, ITEMS), "popular")
    monkeypatch.setattr(artifact.model, "rates", False)
    ranked = lists_of(artifact, Scorer(artifact.model, ITEMS), "popular")
    assert ranked["predicted_rating"].isna().all()
    assert not rated["predicted_rating"].isna().any()
    assert ranked["item"].tolist() == rated["item"].tolist()
