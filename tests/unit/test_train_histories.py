"""A training on whole histories, in this process: it finds what was planted, and can be stopped and resumed."""

import shutil
import tomllib

import pytest

from tests.builders import write_prepared
from tests.training import ROOT, command, curve, learnt, metrics, train
from widedeep.training.checkpoints import newest_first

FLAGS = {
    "model__name": "wide_deep_history",
    "model__candidates": 40,
    "model__ridge": 20,
    "model__dropout": 0.1,
    "model__held_out": 0.2,
    "batch_size": 512,
    "epochs": 6,
    "ranking_users": 200,
    "ranking__weight": 1.0,
    "select_by": "rmse",
    "optim__lr": 5e-3,
}

VARIANTS = {
    name: entry["flags"]
    for name, entry in tomllib.loads((ROOT / "scripts" / "leaderboard-ablation.toml").read_text())["presets"].items()
    if entry.get("preset") == "best"
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Users who rate what they like, and trainings on their ratings, resident and streamed."""
    folder = tmp_path_factory.mktemp("histories")
    write_prepared(folder / "prepared", users=300, items=80, ratings=9000, selective=2.0, features=True)
    for mode in ("resident", "stream"):
        train(command(folder / "prepared", folder / mode, loader__mode=mode, **FLAGS))
    return folder


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_lists_beat_popularity_and_ratings_beat_biases(runs, mode):
    found = metrics(runs / mode)
    assert found["ranking"]["model"]["ndcg_at_10"] > 1.3 * found["ranking"]["popularity"]["ndcg_at_10"]
    assert found["test"]["rmse"] < 0.97 * found["reference_models"]["bias"]["rmse"]
    assert found["rates"] is True


def test_both_answers_get_better_with_training(runs):
    lines = curve(runs / "resident")
    assert min(line["valid"]["rmse"] for line in lines[1:]) < lines[0]["valid"]["rmse"]
    assert lines[-1]["train"]["loss"] < lines[0]["train"]["loss"]


def test_a_resumed_run_holds_out_the_same(runs):
    run = runs / "resident"
    first = learnt(metrics(run))
    (run / "metrics.json").unlink()
    shutil.rmtree(newest_first(run / "checkpoints")[0])
    assert learnt(train(command(runs / "prepared", run, loader__mode="resident", **FLAGS))) == first


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_part_can_be_left_out(runs, tmp_path, variant):
    flags = command(runs / "prepared", tmp_path / "run", **{**FLAGS, "epochs": 1, "select_by": "ndcg"})
    found = train([*flags, *VARIANTS[variant]])
    with_all = curve(runs / "resident")[0]["train"]
    assert found["train"]["samples"] > 0
    assert curve(tmp_path / "run")[0]["train"].get("loss") != with_all["loss"]
