"""docs/adding-a-baseline.md, followed to the letter in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import ROOT

GUIDE = (ROOT / "docs" / "adding-a-baseline.md").read_text()
REGISTRY = "widedeep/spark/baseline_fits/registry.py"


def block(language: str) -> str:
    """The guide's one block of code in a language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return text


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of what the contract tests need, with the guide's baseline in it."""
    copy = tmp_path_factory.mktemp("adding") / "checkout"
    unneeded = shutil.ignore_patterns("__pycache__", "conf")
    for folder in ("widedeep", "tests/contracts"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=unneeded)
    for file in (*(ROOT / "tests").glob("*.py"), ROOT / "pyproject.toml"):
        shutil.copy(file, copy / file.relative_to(ROOT))
    (copy / "widedeep" / "baselines" / "item_mean.py").write_text(block("python"))
    lines = [line.removeprefix("+") for line in block("diff").splitlines()]
    assert len(lines) == 2
    registry = (copy / REGISTRY).read_text()
    registry = registry.replace("\nfrom widedeep", f"\n{lines[0]}\nfrom widedeep", 1)
    start, end = registry.split("\n)\n", 1)
    (copy / REGISTRY).write_text(f"{start}\n{lines[1]}\n)\n{end}")
    return copy


def run(copy: Path, *argv: str) -> str:
    """Run Python in the copy; what it printed."""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, *argv], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guides_baseline_passes_the_contract_tests(copy):
    said = run(copy, "-m", "pytest", "-q", "tests/contracts/test_baselines.py", "-k", "item_mean")
    assert re.search(r"\b[89] passed", said), said


def test_the_guides_baseline_has_its_settings_in_help(copy):
    said = run(copy, "-c", "from widedeep.spark.baseline_fits.baselines import main; main(['--help'])")
    assert "--item-mean.dampings" in said
    assert "ease,item_mean" in said


def test_the_guide_names_what_exists():
    for path in re.findall(r"`((?:jobs|tests|widedeep)/[\w/.]+)`", GUIDE):
        assert (ROOT / path).exists(), path
