"""Batch scoring of users whom a model tells apart though they have no training ratings."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from tests.builders import COLD, write_prepared
from tests.training import command, train
from widedeep.common.errors import DivergedError
from widedeep.config.rerank import RerankConfig
from widedeep.models.artifact import load_artifact
from widedeep.schema.recommendations import list_schema
from widedeep.scoring.franchises import Franchises
from widedeep.scoring.list_rules import ListRules
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.two_stage import TwoStageScorer, fit
from widedeep.scoring.user_lists import ListPlan, score_batches

USERS, ITEMS, TOP = 150, 61, 5
SEEN = [3, 4]
TITLES = pa.array([f"title {item}" for item in range(ITEMS)])


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batches")
    write_prepared(folder / "prepared", USERS, ITEMS, features=True)
    flags = {"model__name": "wide_deep_features", "model__hidden": "16,8", "epochs": 1, "ranking_users": 0}
    argv = command(folder / "prepared", folder / "run", **flags)
    train(argv)
    return load_artifact(folder / "run" / "model.safetensors")


def lists_of(artifact, scorer, cold_users: str, rules: ListRules | None = None) -> pd.DataFrame:
    users = np.arange(USERS, dtype=np.int32)
    columns = {
        "user": pa.array(users),
        "user_id": pa.array(artifact.user_id),
        "train_ratings": pa.array(artifact.user_ratings),
        "seen": pa.array([SEEN if user % 2 else None for user in users], pa.list_(pa.int32())),
    }
    lists = pa.Table.from_batches(
        score_batches(artifact, scorer, pa.table(columns).to_batches(), ListPlan(TITLES, TOP, cold_users, rules))
    )
    assert lists.schema == list_schema(artifact.ids)
    rows = lists.to_pandas()
    return rows.assign(item=artifact.item_id.searchsorted(rows["anime_id"]))


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_an_answer_that_is_no_finite_number_ends_the_scoring_with_the_user(artifact, number):
    scorer, broken = Scorer(artifact.model, ITEMS), 7
    encode = scorer._encode

    def overflowing(users):
        encodings = encode(users)
        encodings[torch.from_numpy(users) == broken] = number
        return encodings

    scorer._encode = overflowing
    with pytest.raises(DivergedError, match=rf"the first of user {artifact.user_id[broken]} \("):
        lists_of(artifact, scorer, "popular")


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


@pytest.mark.parametrize("two_stage", [False, True])
def test_lists_follow_the_rules(artifact, two_stage):
    """Items 0 to 9 are hidden; 10 and 11, 12 and 13, … are a series and its sequel."""
    item = np.arange(ITEMS)
    series = Franchises(item // 2, item % 2, np.where(item % 2, item - 1, -1))
    config = RerankConfig(next_part_only=True, franchise_most=1, candidates=20)
    rules = ListRules(config, item < 10, np.zeros(ITEMS), series, None)
    scorer = Scorer(artifact.model, ITEMS)
    if two_stage:
        scorer = TwoStageScorer(artifact.model, ITEMS, fit(scorer, np.arange(USERS, dtype=np.int32), 20), ITEMS)
    rows = lists_of(artifact, scorer, "popular", rules)
    ratings = all_ratings(artifact)
    allowed = (item >= 10) & (item % 2 == 0)  # nobody has seen any of the first parts but SEEN, which are hidden
    for user in range(USERS):
        wanted = artifact.item_ratings if user >= USERS - COLD else ratings[user]
        expected = [i for i in np.argsort(-wanted, kind="stable") if allowed[i]][:TOP]
        mine = rows[rows["user_id"] == artifact.user_id[user]]
        assert mine["rank"].tolist() == [1, 2, 3, 4, 5]
        assert wanted[mine["item"]] == pytest.approx(wanted[expected], abs=1e-5)
        assert allowed[mine["item"]].all()
        assert mine["predicted_rating"].to_numpy() == pytest.approx(ratings[user, mine["item"]].clip(1, 10), abs=1e-5)


def test_a_list_holds_one_item_of_a_franchise(artifact):
    item = np.arange(ITEMS)
    series = Franchises(item // 3, item % 3, np.full(ITEMS, -1))
    config = RerankConfig(franchise_most=1, candidates=ITEMS)
    rules = ListRules(config, np.zeros(ITEMS, bool), np.zeros(ITEMS), series, None)
    rows = lists_of(artifact, Scorer(artifact.model, ITEMS), "popular", rules)
    assert (rows.groupby("user_id")["item"].agg(lambda items: (items // 3).nunique()) == TOP).all()
    best = lists_of(artifact, Scorer(artifact.model, ITEMS), "popular")
    assert rows.groupby("user_id")["item"].first().equals(best.groupby("user_id")["item"].first())
