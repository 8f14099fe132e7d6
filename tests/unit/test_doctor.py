"""What `widedeep doctor` and the start of a job say of a machine."""

import os
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from widedeep import doctor
from widedeep.common.machine import JAVA_VERSIONS, find_java, java_mistake


def run_doctor(**environment: str) -> subprocess.CompletedProcess:
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-m", "widedeep", "doctor"], env=env, capture_output=True, text=True)


def test_this_machine_is_well():
    done = run_doctor(COLUMNS="200")
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith("nothing is wrong")
    needed = [Requirement(line) for line in requires("widedeep") or []]
    assert all(one.name in done.stdout for one in needed if not one.marker)


def test_a_missing_java_ends_with_1_and_says_where_it_was_looked_for(tmp_path):
    done = run_doctor(JAVA_HOME=str(tmp_path), COLUMNS="200")
    assert done.returncode == 1
    assert f"Java: JAVA_HOME ({tmp_path}) has no Java: install Java 17 or 21" in done.stdout


@pytest.fixture
def java_says(tmp_path, monkeypatch):
    """Put a Java of some version into JAVA_HOME; returns its path."""

    def put(version: str) -> Path:
        file = tmp_path / "bin" / "java"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
        file.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        return file

    return put


@pytest.mark.parametrize(("said", "version"), [("17.0.15", 17), ("21", 21), ("1.8.0_392", 8), ("11.0.2", 11)])
def test_the_version_of_a_java_is_read_and_judged(java_says, said, version):
    path = java_says(said)
    found = find_java()
    assert (found.path, found.version) == (str(path), version)
    mistake = java_mistake(found)
    assert (mistake is None) == (version in JAVA_VERSIONS)
    assert mistake is None or mistake.startswith(f"{path} is Java {version}, Spark needs 17 or 21")


def test_a_job_that_finds_no_java_for_it_ends_with_2(java_says, tmp_path):
    java_says("11.0.2")
    argv = [sys.executable, "-m", "widedeep", "synthesize", "--ratings", "1000", "--output", str(tmp_path / "raw")]
    env = {name: value for name, value in os.environ.items() if name != "PYSPARK_GATEWAY_PORT"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert "is Java 11, Spark needs 17 or 21" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_of_another_version_is_named_with_what_is_needed(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda name: ["numpy>=99", "no-such-thing>=1", "rich>=1; extra == 'x'"])
    found = {one.name: one for one in doctor.packages()}
    assert found["numpy"].mistake == ">=99 is needed: pip install 'numpy>=99'"
    assert found["no-such-thing"] == doctor.Finding("no-such-thing", "missing", "pip install 'no-such-thing>=1'")
    assert "rich" not in found


def test_space_is_measured_where_the_data_will_be(tmp_path):
    assert str(tmp_path) in doctor.space(tmp_path / "not" / "yet" / "there").found
