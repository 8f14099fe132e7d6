"""What a training leaves behind, in this process."""

import json
import shutil

import numpy as np
import pytest
import torch

from tests.builders import read_split, write_prepared
from tests.training import command, curve, learnt, metrics, train
from widedeep.models.artifact import load_artifact
from widedeep.training.checkpoints import newest_first

RANKING = {"epochs": 12, "ranking_users": 200, "optim__lr": 0.02}
# The learning rate rises until no training can follow: the best epoch is an early one, whatever the seed.
DERAILED = {"epochs": 6, "optim__lr": 0.2, "optim__warmup": 1.0, "ranking_users": 0}


@pytest.fixture(scope="module")
def derailed(tmp_path_factory):
    """Data, manifest and a run whose best epoch is not its last."""
    folder = tmp_path_factory.mktemp("train")
    manifest = write_prepared(folder / "prepared")
    found = train(command(folder / "prepared", folder / "run", **DERAILED))
    assert 1 <= found["train"]["best_epoch"] < found["train"]["epochs"] == DERAILED["epochs"]
    return folder / "prepared", manifest, folder / "run"


def rmse_of_artifact(data, manifest, run, split: str) -> float:
    rows = torch.from_numpy(read_split(data, manifest, split))
    with torch.no_grad():
        predicted = load_artifact(run / "model.safetensors").model(rows[:, 0].int(), rows[:, 1].int()).rating
    return float(np.sqrt(np.mean((np.clip(predicted.numpy(), 1, 10) - rows[:, 2].numpy()) ** 2)))


def test_the_model_of_the_best_epoch_is_kept_and_measured(derailed):
    found, losses = metrics(derailed[2]), [line["valid"]["rmse"] for line in curve(derailed[2])]
    assert losses.index(min(losses)) + 1 == found["train"]["best_epoch"]
    assert found["valid"]["rmse"] == min(losses)
    for split in ("valid", "test"):
        assert rmse_of_artifact(*derailed, split) == pytest.approx(found[split]["rmse"], rel=1e-5)


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_counts_the_epochs_since_the_best(derailed, tmp_path, patience):
    losses = [line["valid"]["rmse"] for line in curve(derailed[2])]
    stops = (n for n in range(1, DERAILED["epochs"] + 1) if n - 1 - int(np.argmin(losses[:n])) == patience)
    train(command(derailed[0], tmp_path / "run", patience=patience, **DERAILED))
    assert [line["valid"]["rmse"] for line in curve(tmp_path / "run")] == losses[: next(stops)]


def test_without_a_valid_split_the_last_epoch_is_kept(tmp_path):
    manifest = write_prepared(tmp_path / "prepared", shards={"train": 2, "test": 1})
    found = train(command(tmp_path / "prepared", tmp_path / "run", **DERAILED, patience=1))
    assert found["train"]["best_epoch"] == found["train"]["epochs"] == DERAILED["epochs"]
    kept = rmse_of_artifact(tmp_path / "prepared", manifest, tmp_path / "run", "test")
    assert kept == pytest.approx(found["test"]["rmse"], rel=1e-5)


def test_a_finished_run_shows_what_it_had_measured(derailed, capsys):
    data, _, run = derailed
    kept = (run / "metrics.json").read_text()
    marked = json.loads(kept)
    marked["test"]["rmse"] = 0.4321
    (run / "metrics.json").write_text(json.dumps(marked))
    train(command(data, run, **DERAILED))
    assert "0.4321" in capsys.readouterr().out
    assert metrics(run) == marked
    (run / "metrics.json").write_text(kept)


def test_the_epoch_with_the_best_lists_is_kept_if_said(derailed, tmp_path):
    data, _, run = derailed
    flags = DERAILED | {"ranking_users": 200, "select_by": "ndcg"}
    found = train(command(data, tmp_path / "run", **flags))
    lines = [line["valid"] for line in curve(tmp_path / "run")]
    assert [line["rmse"] for line in lines] == [line["valid"]["rmse"] for line in curve(run)]
    ranking = [line["ndcg_at_10"] for line in lines]
    assert ranking.index(max(ranking)) + 1 == found["train"]["best_epoch"] != metrics(run)["train"]["best_epoch"]
    assert found["valid"] == lines[found["train"]["best_epoch"] - 1]
    kept = rmse_of_artifact(data, derailed[1], tmp_path / "run", "valid")
    assert kept == pytest.approx(found["valid"]["rmse"], rel=1e-5)


@pytest.fixture(scope="module")
def selective(tmp_path_factory):
    """Users who rate what they like, and trainings on their ratings in directories that are named by their loss."""
    folder = tmp_path_factory.mktemp("selective")
    write_prepared(folder / "prepared", ratings=3000, selective=2.0)
    for loss in ("mse", "softmax"):
        train(command(folder / "prepared", folder / loss, loss=loss, **RANKING))
    return folder


def test_a_loss_of_the_ranking_gives_better_lists_than_one_of_ratings(selective):
    rated, ranked = (metrics(selective / loss)["ranking"] for loss in ("mse", "softmax"))
    assert ranked["popularity"] == rated["popularity"]
    best = max(rated["model"]["ndcg_at_10"], rated["popularity"]["ndcg_at_10"])
    assert ranked["model"]["ndcg_at_10"] > 1.2 * best


def test_a_model_that_only_ranks_says_so_and_is_chosen_by_its_lists(selective, capsys):
    run = selective / "softmax"
    train(command(selective / "prepared", run, loss="softmax", **RANKING))
    table = capsys.readouterr().out
    assert "this model ranks only" in table
    found = metrics(run)
    assert found["rates"] is False
    assert f"{found['test']['rmse']:.4f}" not in table
    assert metrics(selective / "mse")["rates"] is True
    assert load_artifact(selective / "mse" / "model.safetensors").model.rates
    assert not load_artifact(run / "model.safetensors").model.rates
    ranking = [line["valid"]["ndcg_at_10"] for line in curve(run)]
    assert ranking.index(max(ranking)) + 1 == found["train"]["best_epoch"]
    assert all(set(line["train"]) == {"loss", "samples_per_second"} for line in curve(run))


def test_a_resumed_run_draws_the_same_negatives(selective):
    run = selective / "softmax"
    first = learnt(metrics(run))
    (run / "metrics.json").unlink()
    shutil.rmtree(newest_first(run / "checkpoints")[0])
    assert learnt(train(command(selective / "prepared", run, loss="softmax", **RANKING))) == first


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_a_limit_of_steps_ends_the_training_within_an_epoch(small, tmp_path, mode):
    whole = train(command(small.path, tmp_path / "whole", loader__mode=mode, epochs=1))
    steps = whole["train"]["steps_per_epoch"]
    assert steps > 3
    limit = steps + 2
    cut = train(command(small.path, tmp_path / "cut", loader__mode=mode, max_steps=limit))
    assert cut["train"]["epochs"] == 2
    assert cut["train"]["samples"] < 2 * whole["train"]["samples"]
    assert cut["train"]["samples"] > whole["train"]["samples"]
    assert len(curve(tmp_path / "cut")) == 2


def test_the_learning_rate_reaches_its_end_at_the_limit_of_steps(small, tmp_path):
    """A schedule over one epoch's steps is that of a training which is cut off after one epoch."""
    flags = {"optim__schedule": "linear"}
    one = train(command(small.path, tmp_path / "one", epochs=1, **flags))
    steps = one["train"]["steps_per_epoch"]
    cut = train(command(small.path, tmp_path / "cut", epochs=3, max_steps=steps, **flags))
    assert learnt(cut)["test"] == learnt(one)["test"]
    assert cut["train"]["epochs"] == 1
