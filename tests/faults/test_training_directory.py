"""The run directory: who may use it, and what a second command does to it."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.builders import write_prepared
from tests.spoil import spoil
from tests.training import ROOT, command, curve, learnt, metrics, python, train
from widedeep.common.errors import InputError
from widedeep.data.feature_tables import Tables
from widedeep.models.artifact import load_artifact, save_artifact
from widedeep.schema.manifest import read_manifest
from widedeep.training.checkpoints import newest_first


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("directory") / "prepared"
    write_prepared(path)
    return path


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    train(command(data, run, epochs=2))
    return run


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A finished run of two epochs."""
    return shutil.copytree(finished, tmp_path / "run")


def content(directory: Path) -> dict[str, bytes]:
    """All files but TensorBoard's."""
    files = (path for path in directory.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_other_settings_are_refused_by_name_and_change_nothing(data, run):
    before = content(run)
    done = python(command(data, run, epochs=2, optim__lr=0.02, model__hidden="8"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "optim.lr (0.01 there, 0.02 now)" in done.stderr
    assert "model.hidden ([16, 8] there, [8] now)" in done.stderr
    assert "--resume never" in done.stderr
    assert content(run) == before


def test_other_data_is_refused(run, tmp_path):
    write_prepared(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match=r"differs in .*manifest_digest"):
        train(command(tmp_path / "other", run, epochs=2))


def test_a_finished_run_is_shown_and_not_trained_again(data, run, capsys):
    before = content(run)
    # Settings that change nothing of what is learnt may differ.
    train(command(data, run, epochs=2, eval_batch_size=100, keep_checkpoints=1, checkpoint_seconds=1))
    assert content(run) == before
    assert f"{metrics(run)['test']['rmse']:.4f}" in capsys.readouterr().out


def test_resume_never_starts_anew_whatever_is_there(data, run):
    of_a_longer_run = run / "checkpoints" / "epoch-0009-step-00000000"
    newest_first(run / "checkpoints")[0].rename(of_a_longer_run)
    train(command(data, run, epochs=1, seed=5, resume="never"))
    fresh = run.with_name("fresh")
    train(command(data, fresh, epochs=1, seed=5))
    assert learnt(metrics(run)) == learnt(metrics(fresh))
    assert [line["epoch"] for line in curve(run)] == [0]
    assert content(run).keys() == content(fresh).keys()


def test_resuming_from_a_named_checkpoint_goes_on_from_it(data, run):
    first = learnt(metrics(run))
    (run / "metrics.json").unlink()
    oldest = newest_first(run / "checkpoints")[-1]
    assert learnt(train(command(data, run, epochs=2, resume=oldest))) == first


def test_a_checkpoint_of_another_run_is_refused_by_name(data, run, tmp_path):
    other = newest_first(run / "checkpoints")[0]
    with pytest.raises(InputError, match=r"checkpoint .*step-\d+ is of a run that differs in .*model\.hidden"):
        train(command(data, tmp_path / "wider", epochs=2, model__hidden="32", resume=other))


def test_a_directory_with_other_files_is_left_alone(data, tmp_path):
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    for resume in ("auto", "never"):
        with pytest.raises(InputError, match=r"home holds files but no run\.json.*choose another --run-dir"):
            train(command(data, precious, resume=resume))
    assert content(precious) == {"thesis.txt": b"years of work"}


def test_a_directory_that_was_not_prepared_ends_with_2(tmp_path):
    (tmp_path / "raw").mkdir()
    done = python(command(tmp_path / "raw", tmp_path / "run"))
    assert done.returncode == 2
    assert f"{tmp_path / 'raw'} holds no manifest.json" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_damaged_shard_ends_with_1_by_name_before_anything_is_trained(tmp_path, split):
    manifest = write_prepared(tmp_path / "prepared", ratings=1000)
    file = tmp_path / "prepared" / manifest.ratings.shards[split][1].path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = python(command(tmp_path / "prepared", tmp_path / "run"))
    assert done.returncode == 1
    assert f"shard {file} has sha256" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_training_that_diverges_says_where_and_keeps_the_best_model(data, tmp_path):
    """The rate climbs until the weights overflow, after an epoch that went well."""
    run = tmp_path / "run"
    argv = command(data, run, epochs=30, optim__name="sgd", optim__lr=8, optim__warmup=1, checkpoint_seconds=1e-6)
    with pytest.raises(InputError, match=r"diverged in epoch \d+, step \d+ of \d+: .* of the users with index"):
        train(argv)
    best = min(line["valid"]["rmse"] for line in curve(run))
    assert best < 2
    assert all(
        weight.isfinite().all() for weight in load_artifact(run / "model.safetensors").model.state_dict().values()
    )
    assert not (run / "metrics.json").exists()
    for checkpoint in newest_first(run / "checkpoints"):
        state = torch.load(checkpoint / "rank-0.pt", weights_only=True)
        assert all(weight.isfinite().all() for weight in state["model"].values())


def test_a_training_that_diverges_without_a_valid_split_is_noticed(tmp_path):
    write_prepared(tmp_path / "prepared", ratings=1000, shards={"train": 4, "test": 2})
    with pytest.raises(InputError, match="diverged in epoch"):
        train(command(tmp_path / "prepared", tmp_path / "run", epochs=30, optim__name="sgd", optim__lr=1e6))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_checkpoint_of_nothing_but_damage_is_no_reason_to_start_from_zero(data, run):
    (run / "metrics.json").unlink()
    best = (run / "model.safetensors").read_bytes()
    for checkpoint in newest_first(run / "checkpoints"):
        spoil(checkpoint / "rank-0.pt", "flipped")
    done = python(command(data, run, epochs=2))
    assert done.returncode == 2
    assert "none of the 2 checkpoints" in done.stderr
    assert (run / "model.safetensors").read_bytes() == best


def test_a_model_that_is_newer_than_the_checkpoint_keeps_its_own_metrics(data, run):
    """As after a crash between the model of an epoch and its checkpoint, and the epoch is repeated a hair worse."""
    first = learnt(metrics(run))
    assert first["train"]["best_epoch"] == 2
    (run / "metrics.json").unlink()
    shutil.rmtree(newest_first(run / "checkpoints")[0])
    changed = load_artifact(run / "model.safetensors")
    better = changed.best.model_copy(update={"value": changed.best.value - 1e-6})
    manifest = read_manifest(data)
    save_artifact(run / "model.safetensors", changed.model, manifest, Tables(data, manifest), best=better)
    assert learnt(train(command(data, run, epochs=2))) == first


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_model_is_replaced_by_that_of_the_next_epoch(data, run, damage, caplog):
    (run / "metrics.json").unlink()
    shutil.rmtree(newest_first(run / "checkpoints")[0])
    spoil(run / "model.safetensors", damage)
    again = train(command(data, run, epochs=2))
    assert again["train"]["best_epoch"] == 2
    assert load_artifact(run / "model.safetensors").best.epoch == 1


def test_a_damaged_model_of_a_finished_training_is_an_error(data, run):
    (run / "metrics.json").unlink()
    spoil(run / "model.safetensors", "flipped")
    with pytest.raises(InputError, match=r"model .*model\.safetensors is damaged"):
        train(command(data, run, epochs=2))


@pytest.mark.parametrize("line", ["", "{", "null", '{"epoch": "one"}'])
def test_a_damaged_line_of_the_curve_is_left_out(data, run, line):
    first = curve(run)
    (run / "metrics.json").unlink()
    file = run / "metrics.jsonl"
    file.write_text(f"{line}\n{file.read_text()}")
    train(command(data, run, epochs=2))
    assert curve(run) == first


def test_a_second_command_is_refused_while_the_first_one_trains(data, tmp_path):
    run = tmp_path / "run"
    flags = {"epochs": 400, "patience": "none"}
    first = subprocess.Popen([sys.executable, *command(data, run, **flags)], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not newest_first(run / "checkpoints"):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for resume in ("auto", "never"):
            second = python(command(data, run, resume=resume, **flags))
            assert second.returncode == 2
            assert f"run is in use by process {first.pid} on " in second.stderr
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()


def test_starting_anew_happens_once_however_often_torchrun_restarts(data, run, monkeypatch):
    """`--max-restarts` runs the same command again: `--resume never` must not delete what the first try has done."""
    (run / "metrics.json").unlink()
    newest = newest_first(run / "checkpoints")[0]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    done = python(command(data, run, epochs=2, resume="never"))
    assert done.returncode == 0, done.stderr
    assert f"resumed from {newest}" in done.stderr
