"""docs/adding-a-baseline.md, followed to the letter in a copy of the package."""

import re
from pathlib import Path

import pytest

from tests.guides import add_lines, blocks, copy_checkout, run
from tests.training import ROOT

GUIDE = (ROOT / "docs" / "adding-a-baseline.md").read_text()
REGISTRY = "widedeep/spark/baseline_fits/registry.py"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of what the contract tests need, with the guide's baseline in it."""
    copy = copy_checkout(tmp_path_factory.mktemp("adding") / "checkout")
    (code,), (lines,) = blocks(GUIDE, "python"), blocks(GUIDE, "diff")
    (copy / "widedeep" / "baselines" / "item_mean.py").write_text(code)
    add_lines(copy / REGISTRY, lines, "from widedeep", "\n)\n")
    return copy


def test_the_guides_baseline_passes_the_contract_tests(copy):
    said = run(copy, "-m", "pytest", "-q", "tests/contracts/test_baselines.py", "-k", "item_mean")
    assert re.search(r"\b[89] passed", said), said


def test_the_guides_baseline_has_its_settings_in_help(copy):
    said = run(copy, "-c", "from widedeep.spark.baseline_fits.baselines import main; main(['--help'])")
    assert "--item-mean.dampings" in said
    assert "edlae,item_mean" in said


def test_the_guide_names_what_exists():
    for path in re.findall(r"`((?:jobs|tests|widedeep)/[\w/.]+)`", GUIDE):
        assert (ROOT / path).exists(), path
