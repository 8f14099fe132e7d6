"""Ranks that do not see the same files stop together, each with the name of the rank that is to blame."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.builders import write_prepared
from tests.faults.test_training_killed import children
from tests.faults.test_training_stopped import begin
from tests.training import ROOT, TORCHRUN, command, torchrun
from widedeep.training.checkpoints import newest_first

# Trains as widedeep/train.py does, after a fault on rank 1, which stands for another machine.
FAULTY_RANK = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
if os.environ["RANK"] == "1":
    {fault}
from widedeep.common.command import run_command
from widedeep.train import main
run_command(main)
"""
OWN_DIRECTORY = """sys.argv[sys.argv.index("--run-dir") + 1] += "-of-another-machine" """
UNREADABLE = """
    import widedeep.training.checkpoints as checkpoints
    def unreadable(file):
        raise OSError(5, "Input/output error", str(file))
    checkpoints.sha256_of = unreadable
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks") / "prepared"
    write_prepared(path)
    return path


def start(argv, tmp_path, fault) -> subprocess.CompletedProcess:
    script = tmp_path / "faulty.py"
    script.write_text(FAULTY_RANK.format(root=str(ROOT), fault=fault))
    return torchrun(2, [str(script), *argv[1:]])


def test_ranks_that_do_not_share_the_run_directory_stop_at_the_start(data, tmp_path):
    done = start(command(data, tmp_path / "run"), tmp_path, OWN_DIRECTORY)
    assert done.returncode == 1
    assert done.stderr.count("rank 1 does not see ") == 2  # both say so
    assert "--run-dir must be a directory that all nodes share" in done.stderr
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_one_rank_that_cannot_read_stops_all(data, tmp_path):
    run = tmp_path / "run"
    argv = command(data, run, epochs=2)
    assert torchrun(2, argv).returncode == 0
    (run / "metrics.json").unlink()
    done = start(argv, tmp_path, UNREADABLE)
    assert done.returncode == 1
    assert done.stderr.count("rank 1 cannot read ") == 2
    assert "Input/output error" in done.stderr
    assert not (run / "metrics.json").exists()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the ranks in /proc")
def test_a_rank_that_stands_still_ends_the_job_within_the_timeout(data, tmp_path):
    """As a machine that swaps, or a file system that hangs: the process is there and does not answer."""
    run = tmp_path / "run"
    argv = command(data, run, epochs=10_000, patience="none", timeout_seconds=5)
    process = begin([str(TORCHRUN), "--standalone", "--nproc-per-node", "2", *argv], run)
    silent = children(process.pid)[-1]
    os.kill(silent, signal.SIGSTOP)
    began = time.monotonic()
    _, log = process.communicate(timeout=120)
    assert process.returncode == 1, log
    assert time.monotonic() - began < 60
    assert not Path(f"/proc/{silent}").exists()
    assert newest_first(run / "checkpoints")
