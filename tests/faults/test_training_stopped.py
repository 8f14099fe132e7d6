"""SIGTERM and SIGUSR1: a checkpoint at the next step, a documented exit code, and the same command goes on."""

import os
import signal
import subprocess
import sys

import pytest

from tests.builders import write_prepared
from tests.faults.test_training_killed import FLAGS, assert_same_end, children, place_of, start, wait_for
from tests.training import TORCHRUN, command, python, torchrun, train, widedeep
from widedeep.common.command import EXIT_STOPPED
from widedeep.training.checkpoints import newest_first

RARE = {**FLAGS, "checkpoint_seconds": 1000}  # so that a checkpoint within an epoch is the signal's


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("stopped") / "prepared"
    write_prepared(path, ratings=8001)
    return path


def begin(argv, run) -> subprocess.Popen:
    """Start a training and return when its first epoch is done."""
    process = start(argv)
    wait_for(process, run, (1, 0))
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_a_stopped_run_ends_as_an_undisturbed_one(data, tmp_path, mode, number):
    flags = {**RARE, "epochs": 4, "loader__mode": mode}
    train(command(data, tmp_path / "whole", **flags))
    run = tmp_path / "run"
    argv = command(data, run, **flags)
    process = begin([sys.executable, *argv], run)
    process.send_signal(number)
    _, log = process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED, log
    epoch, step = place_of(run)
    assert f"stopped by {number.name} after a checkpoint at epoch {epoch + 1}, step {step}" in log
    assert "Traceback" not in log
    again = python(argv)
    assert again.returncode == 0, again.stderr
    assert f"resumed from {newest_first(run / 'checkpoints')[-1].parent}" in again.stderr
    assert_same_end(run, tmp_path / "whole")


def test_ranks_that_are_stopped_stop_at_the_same_step(data, tmp_path):
    """The scheduler signals the launcher, which signals the ranks, one after the other."""
    flags = {**RARE, "epochs": 4, "model__dropout": 0.0, "model__embedding_dropout": 0.0}
    done = torchrun(2, command(data, tmp_path / "whole", **flags))
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    argv = command(data, run, **flags)
    launcher = [str(TORCHRUN.with_name("widedeep")), "train", "--nproc-per-node", "2", "--", *argv[1:]]
    process = begin(launcher, run)
    process.terminate()
    _, log = process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED, log
    epoch, step = place_of(run)
    assert (step % 8 == 0) or (epoch, step) == (4, 0)
    assert f"at epoch {epoch + 1}, step {step}" in log
    again = widedeep(2, argv)
    assert again.returncode == 0, again.stderr
    assert_same_end(run, tmp_path / "whole")


def test_a_signal_to_one_rank_stops_all(data, tmp_path):
    run = tmp_path / "run"
    argv = command(data, run, **{**RARE, "epochs": 50})
    process = begin([str(TORCHRUN), "--standalone", "--nproc-per-node", "2", *argv], run)
    os.kill(children(process.pid)[-1], signal.SIGUSR1)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 1  # torchrun's own
    assert log.count("stopped by SIGUSR1 after a checkpoint") == 2  # both ranks say so
    assert place_of(run) < (50, 0)


def test_a_stream_goes_on_with_other_ranks_only_from_the_end_of_an_epoch(data, tmp_path):
    """Within an epoch the ranks have read some of their files; with other ranks each would have other files."""
    run = tmp_path / "run"
    argv = command(data, run, **{**FLAGS, "loader__mode": "stream", "keep_checkpoints": 100})
    process = start([sys.executable, *argv])
    wait_for(process, run, (1, 64))
    process.kill()
    process.wait()
    within, *earlier = newest_first(run / "checkpoints")
    refused = torchrun(2, argv)
    assert f"checkpoint {within} was written by 1 ranks within an epoch of streamed shards" in refused.stderr
    assert refused.returncode == 1
    end_of_epoch = next(checkpoint for checkpoint in earlier if checkpoint.name.endswith("-step-00000000"))
    done = torchrun(2, [*argv, "--resume", str(end_of_epoch)])
    assert done.returncode == 0, done.stderr
