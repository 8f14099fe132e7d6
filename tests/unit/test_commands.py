"""The helper that runs commands: it must not hang itself, and must say where a command does."""

import sys

import psutil
import pytest

from tests.commands import run_command

CODE = """
import subprocess, sys
def waits_for_ever():
    waiting.wait()
waiting = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("begun", waiting.pid, flush=True)
waits_for_ever()
"""


def test_a_command_that_hangs_says_where(tmp_path):
    with pytest.raises(AssertionError, match="hangs") as failed:
        run_command([sys.executable, "-c", CODE], tmp_path, seconds=3)
    said = str(failed.value)
    assert "begun" in said
    assert "waits_for_ever" in said
    assert not runs(int(said.split("begun ")[1].split()[0]))


def runs(pid: int) -> bool:
    """Whether a process is there and alive: one that ended without a parent to ask for it stays as a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_command_that_ends_is_handed_on(tmp_path):
    done = run_command([sys.executable, "-c", "import sys; print(1); sys.exit(3)"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "1\n", "")
