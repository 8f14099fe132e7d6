"""The helper that runs commands: it must not hang itself, and must say where a command does."""

import sys

import psutil
import pytest

from tests.commands import run_command

CODE = """
import subprocess, sys
def waits_for_ever():
    subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
print("begun", flush=True)
waits_for_ever()
"""


def test_a_command_that_hangs_says_where(tmp_path):
    with pytest.raises(AssertionError, match="hangs") as failed:
        run_command([sys.executable, "-c", CODE], tmp_path, seconds=3)
    assert "begun" in str(failed.value)
    assert "waits_for_ever" in str(failed.value)
    assert not [child for child in psutil.Process().children(recursive=True) if "sleep(600)" in str(child.cmdline())]


def test_a_command_that_ends_is_handed_on(tmp_path):
    done = run_command([sys.executable, "-c", "import sys; print(1); sys.exit(3)"], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "1\n", "")
