"""kill -9, then the same command again: the result equals that of an uninterrupted run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.builders import write_prepared
from tests.draws import drawn
from tests.spoil import spoil
from tests.training import ROOT, TORCHRUN, command, curve, learnt, metrics, python, torchrun, train
from widedeep.models.artifact import load_artifact
from widedeep.training.checkpoints import newest_first

# Many steps to have time for the kill, dropout to use the random state, and checkpoints as often as possible.
FLAGS = {
    "epochs": 2,
    "batch_size": 16,
    "model__dropout": 0.2,
    "model__embedding_dropout": 0.1,
    "checkpoint_seconds": 1e-6,
    "loader__shuffle_buffer": 1000,
}
MOST_STEPS = 320  # of 400 of an epoch: those behind leave time for the kill


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("killed") / "prepared"
    assert write_prepared(path, ratings=8001).ratings.rows("train") % 2 == 0  # 2 ranks drop none
    return path


def place_of(run: Path) -> tuple[int, int]:
    """Return the epoch and step of the newest checkpoint."""
    found = newest_first(run / "checkpoints")
    _, epoch, _, step = found[0].name.split("-") if found else ("", "0", "", "0")
    return int(epoch), int(step)


def wait_for(process: subprocess.Popen, run: Path, place: tuple[int, int]) -> None:
    deadline = time.monotonic() + 120
    while place_of(run) < place:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "it does not come to its checkpoint"
        time.sleep(0.002)


def start(argv: list[str]) -> subprocess.Popen:
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def untimed(run: Path) -> list[dict]:
    lines = curve(run)
    for line in lines:
        del line["train"]["samples_per_second"]
    return lines


def assert_same_end(run: Path, undisturbed: Path) -> None:
    assert learnt(metrics(run)) == learnt(metrics(undisturbed))
    assert untimed(run) == untimed(undisturbed)
    models = [load_artifact(path / "model.safetensors").model.state_dict() for path in (run, undisturbed)]
    assert all(torch.equal(one, two) for one, two in zip(*(model.values() for model in models), strict=True))


@pytest.mark.parametrize(("mode", "epochs_before"), [("resident", 0), ("stream", 1)])
def test_a_killed_run_ends_as_an_undisturbed_one(data, tmp_path, mode, epochs_before):
    whole = tmp_path / "whole"
    train(command(data, whole, loader__mode=mode, **FLAGS))
    argv = command(data, tmp_path / "run", loader__mode=mode, **FLAGS)
    process = start([sys.executable, *argv])
    wait_for(process, tmp_path / "run", (epochs_before, drawn(f"training {mode}").randrange(64, MOST_STEPS)))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert place_of(tmp_path / "run")[1] > 0  # in the middle of an epoch
    again = python(argv)
    assert again.returncode == 0, again.stderr
    assert f"resumed from {tmp_path / 'run' / 'checkpoints'}" in again.stderr
    assert_same_end(tmp_path / "run", whole)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the ranks in /proc")
def test_a_rank_that_dies_takes_the_job_along_and_the_next_try_goes_on(data, tmp_path):
    flags = {**FLAGS, "model__dropout": 0.0, "model__embedding_dropout": 0.0}
    argv = command(data, tmp_path / "run", **flags)
    process = start([str(TORCHRUN), "--standalone", "--nproc-per-node", "2", *argv])
    wait_for(process, tmp_path / "run", (0, 64))
    ranks = children(process.pid)
    os.kill(ranks[-1], signal.SIGKILL)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 1, log
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    again = torchrun(2, argv)
    assert again.returncode == 0, again.stderr
    assert "resumed from" in again.stderr
    # Against one process: 2 ranks walk the same batches.
    alone = train(command(data, tmp_path / "alone", **flags))
    assert metrics(tmp_path / "run")["valid"] == pytest.approx(alone["valid"], rel=1e-4)


def test_the_seed_decides_everything(data, tmp_path):
    flags = {**FLAGS, "epochs": 1}
    runs = [tmp_path / name for name in ("one", "two", "other")]
    for run, seed in zip(runs, (7, 7, 8), strict=True):
        train(command(data, run, seed=seed, **flags))
    assert_same_end(runs[1], runs[0])
    assert metrics(runs[2])["test"]["rmse"] != metrics(runs[0])["test"]["rmse"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "missing"])
def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(data, tmp_path, damage):
    run = tmp_path / "run"
    argv = command(data, run, **FLAGS)
    first = learnt(train(argv))
    spoil(newest_first(run / "checkpoints")[0] / "rank-0.pt", damage)
    (run / "metrics.json").unlink()
    assert learnt(train(argv)) == first
