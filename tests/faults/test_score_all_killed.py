"""kill -9 while jobs/score_all.py runs, then the same command again: the same lists, and no block scored twice."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.builders import write_prepared
from tests.draws import drawn
from tests.e2e.test_pipeline import ENVIRONMENT, command
from tests.training import ROOT, train
from tests.training import command as training

USERS = 3_000  # in files of 125, of which two cores score 8 in a block: 3 blocks


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    write_prepared(folder / "prepared", users=USERS, ratings=60_000, features=True)
    train(training(folder / "prepared", folder / "run", epochs=1, ranking_users=0))
    command(f"spark-submit {' '.join(job(folder, folder / 'whole'))}")
    return folder


def job(folder: Path, output: Path) -> list[str]:
    paths = ["--data", str(folder / "prepared"), "--run-dir", str(folder / "run"), "--output", str(output)]
    return ["--master", "local[2]", "jobs/score_all.py", *paths, "--users-per-file", "125"]


def start(argv: list[str]) -> subprocess.Popen:
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(["spark-submit", *argv], cwd=ROOT, env=ENVIRONMENT, start_new_session=True, **streams)


def kill_after_some_blocks(argv: list[str], work: Path) -> int:
    """Start the job, kill it when one of its 3 blocks or two are scored, and return how many are."""
    process = start(argv)
    deadline, wanted = time.monotonic() + 300, drawn("score_all").choice([1, 2])
    while len(list(work.glob("block-*/_finished"))) < wanted:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return len(list(work.glob("block-*/_finished")))


def test_a_killed_job_goes_on_after_its_last_block(trained, tmp_path):
    argv = job(trained, tmp_path / "out")
    done = kill_after_some_blocks(argv, tmp_path / "out.staging.work")
    assert not (tmp_path / "out").exists()
    again = start(argv)
    _, log = again.communicate(timeout=600)
    assert again.returncode == 0, log
    assert log.count("is there already") == done
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "out"]
    lists, expected = (pd.read_parquet(path) for path in (tmp_path / "out", trained / "whole"))
    assert lists["user_id"].nunique() == USERS
    pd.testing.assert_frame_equal(lists, expected)


def test_a_job_with_other_settings_does_not_take_up_what_is_there(trained, tmp_path):
    argv = job(trained, tmp_path / "out")
    kill_after_some_blocks(argv, tmp_path / "out.staging.work")
    other = start([*argv, "--top-n", "3"])
    _, log = other.communicate(timeout=600)
    assert other.returncode == 0, log
    assert "is there already" not in log
    assert pd.read_parquet(tmp_path / "out").groupby("user_id").size().max() == 3
