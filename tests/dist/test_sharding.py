"""Tables sharded over two real ranks, compared with full tables on each rank."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.builders import write_prepared
from tests.spoil import spoil
from tests.training import command, curve, learnt, metrics, scalars, torchrun, widedeep
from widedeep.models.artifact import load_artifact
from widedeep.schema.run_report import RunReport
from widedeep.training.checkpoints import newest_first

COMPARE = Path(__file__).with_name("compare_tables.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """An odd number of users, so that local parts differ, and of valid shards, so that batches differ."""
    path = tmp_path_factory.mktemp("sharding") / "prepared"
    write_prepared(path, users=153, ratings=6000, shards={"train": 4, "valid": 3, "test": 2})
    return path


# --- a few steps, side by side in the same processes --------------------------------------------


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory) -> list[dict]:
    """The comparison of each of two ranks."""
    out = tmp_path_factory.mktemp("compared")
    done = torchrun(2, [str(COMPARE), str(data), str(out)])
    assert done.returncode == 0, done.stderr
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("case", ["adam", "adagrad", "sgd", "wide_deep_cross", "softmax"])
def test_training_gives_the_same_bits(compared, case):
    for found in (rank[case] for rank in compared):
        assert found["distributed"]
        assert found["same_at_first"]
        assert found["moved"] > 1e-3
        assert found["same_tables"]
        assert found["same_moments"]
        assert found["same_dense"]


def test_each_rank_holds_half_of_tables_and_moments(compared):
    wholes, shares = zip(*(rank["adam"]["bytes"] for rank in compared), strict=True)
    # Users and items with training ratings and a row for all others; values, two moments; 5 floats wide.
    assert wholes == ((150 + 1 + 58 + 1) * 3 * 5 * 4,) * 2
    assert shares == ((76 + 30) * 3 * 5 * 4, (75 + 29) * 3 * 5 * 4)


@pytest.mark.parametrize("case", ["adam", "wide_deep_cross"])
def test_ranks_with_unlike_numbers_of_batches_evaluate_together(compared, case):
    first, second = (rank[case] for rank in compared)
    assert first["batches"] > second["batches"] + 1
    assert first["rmse"] == second["rmse"]
    assert first["rmse"][1] == pytest.approx(first["rmse"][0], rel=1e-6)


def test_the_last_row_is_the_mean_of_the_others_wherever_they_are(compared):
    whole, sharded = compared[0]["adam"]["settled"]
    assert len(whole[0]) == 5
    assert sharded[0] == pytest.approx(whole[0], rel=1e-5, abs=1e-7)
    assert compared[1]["adam"]["settled"] == [[], []]


# --- whole runs ---------------------------------------------------------------------------------


def start(data: Path, run: Path, sharding: str, ranks: int = 2, **flags):
    often = {"checkpoint_seconds": 1e-6}  # that is, after every 64 steps and every epoch
    flags = {"loader__mode": "stream", "eval_batch_size": 50, "model__dropout": 0.1, **often, **flags}
    return widedeep(ranks, command(data, run, embedding__sharding=sharding, **flags))


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory) -> tuple[Path, Path]:
    """The same training with whole and with sharded tables."""
    folder = tmp_path_factory.mktemp("runs")
    for sharding in ("none", "row"):
        done = start(data, folder / sharding, sharding)
        assert done.returncode == 0, done.stderr
    return folder / "none", folder / "row"


def test_a_run_learns_the_same(runs):
    whole, sharded = ([epoch["valid"]["rmse"] for epoch in curve(run)] for run in runs)
    assert sharded == pytest.approx(whole, rel=1e-6)
    assert whole[-1] < whole[0]
    whole, sharded = (metrics(run) for run in runs)
    assert sharded["test"] == pytest.approx(whole["test"], rel=1e-6)
    assert sharded["reference_models"] == whole["reference_models"]
    for name in ("model", "popularity"):
        assert sharded["ranking"][name] == pytest.approx(whole["ranking"][name], rel=1e-6)


@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
def test_a_tracked_step_is_of_the_whole_tables(runs, name):
    whole, sharded = (scalars(run / "tensorboard/steps", f"step/{name}") for run in runs)
    assert [step for step, _ in sharded] == [step for step, _ in whole]
    assert len(whole) >= 3
    assert [value for _, value in sharded] == pytest.approx([value for _, value in whole], rel=1e-5)


def test_the_artifact_holds_the_whole_tables(runs):
    whole, sharded = (load_artifact(run / "model.safetensors").model.state_dict() for run in runs)
    assert whole.keys() == sharded.keys()
    for name, value in whole.items():
        if "embedding" in name:
            assert torch.equal(sharded[name][:-1], value[:-1])
            torch.testing.assert_close(sharded[name][-1], value[-1])
        else:
            assert torch.equal(sharded[name], value)


def test_the_report_is_that_of_whole_tables(runs):
    whole, sharded = (RunReport.model_validate_json((run / "report.json").read_text()) for run in runs)
    assert whole.rating is not None
    assert sharded.rating is not None
    for bucket, errors in whole.rating.by_user_ratings.items():
        other = sharded.rating.by_user_ratings[bucket]
        assert other.ratings == errors.ratings
        if errors.ratings:
            assert other.model_dump() == pytest.approx(errors.model_dump(), rel=1e-5)
    assert whole.item_map is not None
    assert sharded.item_map is not None
    for one, other in zip(whole.item_map.items, sharded.item_map.items, strict=True):
        assert (one.item_id, one.group) == (other.item_id, other.group)
        assert (other.x, other.y) == pytest.approx((one.x, one.y), abs=1e-3)


def test_a_resumed_run_ends_as_one_that_was_not_interrupted(data, runs):
    run = runs[1]
    first, lines = learnt(metrics(run)), [line["valid"] for line in curve(run)]
    (run / "metrics.json").unlink()
    newest, oldest = newest_first(run / "checkpoints")
    # One rank's part is damaged: both go back to the checkpoint before.
    spoil(newest / "rank-1.pt", "flipped")
    done = start(data, run, "row")
    assert done.returncode == 0, done.stderr
    assert f"resumed from {oldest}: epoch 3, step 64" in done.stderr
    assert learnt(metrics(run)) == first
    assert [line["valid"] for line in curve(run)] == lines


RESIDENT = {"loader__mode": "resident", "batch_size": 48, "model__dropout": 0.0, "keep_checkpoints": 100}


@pytest.fixture(scope="module")
def by_two(data, tmp_path_factory) -> Path:
    """A run of two ranks whose batches are those of any number of ranks, and all of its checkpoints."""
    run = tmp_path_factory.mktemp("by two") / "run"
    done = start(data, run, "row", 2, **RESIDENT)
    assert done.returncode == 0, done.stderr
    return run


@pytest.mark.parametrize("ranks", [1, 3])
def test_another_number_of_ranks_goes_on_with_the_same_tables(data, by_two, tmp_path, ranks):
    run = tmp_path / "run"
    shutil.copytree(by_two, run)
    (run / "metrics.json").unlink()
    within = next(path for path in newest_first(run / "checkpoints")[::-1] if not path.name.endswith("-00000000"))
    done = start(data, run, "row", ranks, resume=within, **RESIDENT)
    assert done.returncode == 0, done.stderr
    assert f"resumed from {within}: epoch 1, step 64" in done.stderr
    # Three ranks leave out a rating that two do not.
    assert metrics(run)["test"]["rmse"] == pytest.approx(metrics(by_two)["test"]["rmse"], rel=1e-5 if ranks == 1 else 1e-3)
    again = start(data, run, "row", 2, **RESIDENT)  # and back
    assert again.returncode == 0, again.stderr


def test_one_rank_trains_as_if_nothing_was_said(data, tmp_path):
    done = [start(data, tmp_path / sharding, sharding, 1, epochs=1) for sharding in ("none", "row")]
    assert [process.returncode for process in done] == [0, 0], done[1].stderr
    assert learnt(metrics(tmp_path / "row")) == learnt(metrics(tmp_path / "none"))
