"""kill -9 while jobs/prepare.py runs, then the same command again: the same data, and nothing left over."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.draws import drawn
from tests.e2e.test_pipeline import ENVIRONMENT
from tests.training import ROOT
from widedeep.schema.manifest import read_manifest

# What must be there before the kill: a step that is done, shards, feature tables.
MOMENTS = ("out.staging.work/ratings/_finished", "out.staging/ratings", "out.staging/users")
LATER = 0.5  # seconds at most after that


def start(dump: Path, output: Path) -> subprocess.Popen:
    """Start prepare in a process group of its own, which has the JVM, too."""
    argv = ["spark-submit", "jobs/prepare.py", "--input", str(dump), "--output", str(output)]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(argv, cwd=ROOT, env=ENVIRONMENT, start_new_session=True, **streams)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_prepare_ends_as_an_undisturbed_one(dump, prepared, tmp_path, moment):
    output = tmp_path / "out"
    process = start(dump, output)
    deadline = time.monotonic() + 300
    while not (tmp_path / moment).exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(drawn(f"prepare {moment}").uniform(0, LATER))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not output.exists()
    again = start(dump, output)
    _, log = again.communicate(timeout=600)
    assert again.returncode == 0, log
    assert "resuming an interrupted run" in log
    assert read_manifest(output).digest == read_manifest(prepared).digest
    if moment.endswith("_finished"):
        assert "ratings …" not in log
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "out"]
