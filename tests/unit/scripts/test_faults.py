"""The list of promises that scripts/faults.py tries."""

import importlib.util
import subprocess
import sys

import pytest

from tests.training import ROOT

SCRIPT = ROOT / "scripts" / "faults.py"
spec = importlib.util.spec_from_file_location("faults", SCRIPT)
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)


def test_every_promise_names_tests_that_exist():
    promises = list(faults.read_promises(faults.PROMISES.read_text()))
    rows = [line for line in faults.PROMISES.read_text().splitlines() if line.startswith("| ") and "`test" in line]
    assert len(promises) == len(rows) > 40
    assert all((ROOT / test.split("::")[0]).exists() for promise in promises for test in promise.tests)


def test_a_promise_without_a_test_is_refused():
    with pytest.raises(ValueError, match="test_that_nobody_wrote, which is no test"):
        list(faults.read_promises("| never fails | `test_that_nobody_wrote` |"))


def test_outcomes_are_counted_by_test_and_the_seed_reaches_them(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_odd.py").write_text(
        "import os, pytest\n"
        "@pytest.mark.parametrize('n', range(4))\n"
        "def test_seed(n):\n"
        "    assert n != int(os.environ['WIDEDEEP_FAULT_SEED'])\n"
        "def test_other():\n"
        "    pytest.skip('not here')\n"
    )
    found = faults.run_once(["tests/test_odd.py"], 2)
    of_seed, other = "tests/test_odd.py::test_seed", "tests/test_odd.py::test_other"
    assert found == {(of_seed, "passed"): 3, (of_seed, "failed"): 1, (other, "skipped"): 1}


def test_it_has_help():
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--repeats" in done.stdout
