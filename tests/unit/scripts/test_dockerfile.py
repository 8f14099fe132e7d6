"""The Dockerfile, as far as that goes without an engine that builds it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.training import ROOT

LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
INSTRUCTIONS = [tuple(line.split(maxsplit=1)) for line in LINES if line and not line.startswith("#")]


def of(kind: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == kind]


def test_a_linter_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("step", of("RUN"))
def test_every_step_is_good_shell(step):
    assert subprocess.run(["sh", "-n", "-c", step], capture_output=True, text=True).stderr == ""


def test_what_is_copied_from_the_checkout_is_there_and_not_ignored():
    sources = [name for rest in of("COPY") if "--from" not in rest for name in rest.split()[:-1]]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / name).exists() for name in [*sources, *kept])
    assert set(sources) - {"."} <= set(kept)
    # What the build reads of the project besides its packages, and the packages.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    files = {project["project"]["readme"], *project["project"]["license-files"]}
    wanted = {"pyproject.toml", "conf", "widedeep", *files}
    assert wanted <= set(kept)


def test_it_runs_the_command_as_nobody_special_on_a_python_and_a_java_that_fit():
    assert of("ENTRYPOINT") == ['["widedeep"]']
    assert of("USER")[-1] not in ("root", "0")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for image in of("FROM"):
        version = image.split()[0].removeprefix("python:").split("-")[0]
        assert version in SpecifierSet(project["requires-python"])
    assert "openjdk-21-jre-headless" in " ".join(of("RUN"))
