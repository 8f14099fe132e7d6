"""A lock keeps others out until its owner is done or gone."""

import os
import subprocess
import sys

import pytest

from tests.training import ROOT
from widedeep.common.errors import InputError
from widedeep.common.lock import Lock

HOLD = "import sys, time; from pathlib import Path; from widedeep.common.lock import Lock; "
HOLD += "lock = Lock(Path(sys.argv[1]), 'it', 'wait'); print('held', flush=True); time.sleep(600)"


def test_the_second_is_told_who_has_it(tmp_path):
    file = tmp_path / "lock"
    with (
        Lock(file, "runs/x", "wait"),
        pytest.raises(InputError, match=rf"^runs/x is in use by process {os.getpid()} on "),
    ):
        Lock(file, "runs/x", "wait")
    Lock(file, "runs/x", "wait").close()


def test_it_does_not_outlive_its_owner(tmp_path):
    """Not even one that is killed, and says nothing more."""
    file = tmp_path / "lock"
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"in use by process {owner.pid} on "):
        Lock(file, "it", "wait")
    owner.kill()
    owner.wait()
    with Lock(file, "it", "wait"):
        pass


def test_a_command_that_fails_does_not_keep_it(tmp_path):
    def fail() -> None:
        lock = Lock(tmp_path / "lock", "it", "wait")
        raise OSError(lock)

    with pytest.raises(OSError, match="Lock"):
        fail()
    with Lock(tmp_path / "lock", "it", "wait"):
        pass
