import json
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.builders import write_prepared
from tests.training import command, curve, metrics, scalars, train
from widedeep.common.command import load_config
from widedeep.common.errors import InputError
from widedeep.models.artifact import load_artifact
from widedeep.parallel.world import ALONE
from widedeep.training.checkpoints import newest_first
from widedeep.training.plan import plan
from widedeep.training.settings import TrainConfig
from widedeep.training.tracking import Tracker, flatten, settings_by_name

STEP_CURVES = ("loss", "learning_rate", "gradient_norm", "samples_per_second", "data_wait_share")


def record(run, first_epoch: int, losses: dict[int, float], steps: int = 0, norms: dict[int, float] | None = None):
    if (run / "tensorboard").exists():
        time.sleep(1.1)  # TensorBoard orders files by the second in their names
    with Tracker(TrainConfig(run_dir=run), first_epoch, steps) as tracker:
        for step, norm in (norms or {}).items():
            tracker.record_step(step, {"gradient_norm": norm})
        for epoch, loss in losses.items():
            tracker.record(epoch, {"valid": {"rmse": loss}})


def lines(run) -> list[tuple[int, float]]:
    parsed = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["valid"]["rmse"]) for line in parsed]


def test_a_resumed_run_replaces_the_epochs_it_repeats(tmp_path):
    record(tmp_path, 0, {0: 1.5, 1: 1.4, 2: 9.9})
    record(tmp_path, 2, {2: 1.3, 3: 1.2})
    assert lines(tmp_path) == [(0, 1.5), (1, 1.4), (2, 1.3), (3, 1.2)]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    shown = [(event.step, event.value) for event in board.Scalars("valid/rmse")]
    assert shown == [(s, pytest.approx(v)) for s, v in lines(tmp_path)]


def test_a_run_that_resumes_within_an_epoch_doubles_neither_steps_nor_epochs(tmp_path):
    """Ten steps an epoch; the checkpoint was written after step 23, the crash came after step 29."""
    record(tmp_path, 0, {0: 1.5, 1: 1.4}, 0, {5: 1.0, 10: 2.0, 15: 3.0, 20: 4.0, 25: 9.0})
    record(tmp_path, 2, {2: 1.3}, 23, {25: 5.0, 30: 6.0})
    board = tmp_path / "tensorboard"
    assert scalars(board / "steps", "step/gradient_norm") == [(5 * n, float(n)) for n in range(1, 7)]
    assert scalars(board, "valid/rmse") == [(s, pytest.approx(v)) for s, v in enumerate((1.5, 1.4, 1.3))]


def test_a_step_that_the_checkpoint_has_is_kept(tmp_path):
    record(tmp_path, 0, {}, 0, {5: 1.0, 10: 2.0})
    record(tmp_path, 1, {}, 10, {15: 3.0})
    assert scalars(tmp_path / "tensorboard/steps", "step/gradient_norm") == [(5, 1.0), (10, 2.0), (15, 3.0)]


def test_a_line_that_a_crash_cut_short_is_dropped(tmp_path):
    record(tmp_path, 0, {0: 1.5, 1: 1.4})
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "val')
    record(tmp_path, 2, {2: 1.3})
    assert lines(tmp_path) == [(0, 1.5), (1, 1.4), (2, 1.3)]


def test_flatten_by_hand():
    nested = {"valid": {"rmse": 1.25, "deep": {"n": 3}}, "note": "text", "speed": 7}
    assert flatten(nested) == {"valid/rmse": 1.25, "valid/deep/n": 3.0, "speed": 7.0}


def test_settings_have_the_names_of_their_flags():
    found = settings_by_name(TrainConfig.model_validate({"optim": {"lr": 0.25}, "model": {"hidden": [8, 4]}}))
    assert (found["optim.lr"], found["model.hidden"], found["patience"], found["refit"]) == (0.25, "8,4", 3, False)
    assert (found["max_steps"], found["track"], found["run_dir"]) == ("none", "tensorboard", "runs/best")
    assert {type(value) for value in found.values()} <= {str, int, float, bool}  # all that TensorBoard takes


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """Data, and a run of three epochs, each of some 50 steps, of which every tenth is tracked."""
    folder = tmp_path_factory.mktemp("tracked")
    write_prepared(folder / "prepared")
    train(command(folder / "prepared", folder / "run", track_steps=10))
    return folder / "prepared", folder / "run"


def test_every_tenth_step_has_its_point(trained):
    steps = 3 * metrics(trained[1])["train"]["steps_per_epoch"]
    for name in STEP_CURVES:
        points = scalars(trained[1] / "tensorboard/steps", f"step/{name}")
        assert [step for step, _ in points] == list(range(10, steps + 1, 10)), name
    for name in ("loss", "gradient_norm", "samples_per_second"):
        assert all(value > 0 for _, value in scalars(trained[1] / "tensorboard/steps", f"step/{name}")), name


def test_epochs_have_their_curves_and_the_end_its_page(trained):
    board = trained[1] / "tensorboard"
    rmse = [line["valid"]["rmse"] for line in curve(trained[1])]
    assert scalars(board, "valid/rmse") == [(epoch, pytest.approx(value)) for epoch, value in enumerate(rmse)]
    assert scalars(board, "test/rmse") == [(0, pytest.approx(metrics(trained[1])["test"]["rmse"]))]
    page = EventAccumulator(str(board)).Reload().summary_metadata
    assert "_hparams_/session_start_info" in page


def test_a_resumed_run_has_the_curves_of_an_undisturbed_one(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained[1], run)
    (run / "metrics.json").unlink()
    shutil.rmtree(newest_first(run / "checkpoints")[0])  # it goes on after the second epoch
    train(command(trained[0], run, track_steps=10))
    for name in ("loss", "learning_rate", "gradient_norm"):
        undisturbed = scalars(trained[1] / "tensorboard/steps", f"step/{name}")
        assert scalars(run / "tensorboard/steps", f"step/{name}") == undisturbed, name
    assert scalars(run / "tensorboard", "valid/rmse") == scalars(trained[1] / "tensorboard", "valid/rmse")


def test_tracking_changes_nothing_that_is_learnt(trained, tmp_path):
    train(command(trained[0], tmp_path / "run", track="", track_steps="none"))
    assert not (tmp_path / "run" / "tensorboard").exists()
    one, other = (load_artifact(run / "model.safetensors").model.state_dict() for run in (trained[1], tmp_path / "run"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_mlflow_without_its_packages_is_one_sentence(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if it were not installed
    argv = command(trained[0], tmp_path / "run", track="tensorboard,mlflow")
    for ask in (train, lambda argv: plan(load_config(TrainConfig, argv[1:], "train"), ALONE)):
        with pytest.raises(InputError, match=r"^track: mlflow needs mlflow: pip install -e '\.\[mlflow\]'"):
            ask(argv)
        assert not (tmp_path / "run").exists()
