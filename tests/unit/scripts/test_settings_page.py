"""docs/settings.md is what scripts/settings_page.py writes of the settings as they are now, and as --help has them."""

import subprocess
import sys

import pytest

from tests.training import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import settings_page

TEXT = settings_page.PAGE.read_text(encoding="utf-8")


def test_the_page_is_fresh():
    assert settings_page.page() == TEXT, "run python scripts/settings_page.py"


@pytest.mark.parametrize(
    "row",
    [
        "| `--epochs` | `20` | whole number, ≥ 1 | maximal number of passes over the training split |",
        "| `--optim.clip-norm` | `none` | number, > 0 or `none` | "
        "highest gradient norm of the dense layers; none: not clipped |",
        "| `--exclude` | `train,valid,test` | list: `train`, `valid`, `test` | "
        "splits whose items are left out of their raters' lists; train,valid to evaluate on test |",
        "| `--ease.l2` | `50.0,100.0,200.0,400.0` | list: number, > 0 | "
        "penalty of the weights; the best grows with the number of users, to 1000 or more for 270 K |",
    ],
)
def test_a_row_says_what_the_model_says(row):
    assert row in TEXT.splitlines()


def test_the_flags_of_help_are_those_of_the_page():
    """--help shows one architecture; the page shows all of them."""
    argv = [sys.executable, "-m", "widedeep", "train", "--help"]
    said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    flags = {word.rstrip(",") for word in said.split() if word.startswith("--") and not word.startswith("--no-")}
    missing = [flag for flag in flags if f"| `{flag}` |" not in TEXT]
    # Those of every command, and the name that --run-dir had before.
    assert sorted(missing) == ["--config", "--help", "--log-format", "--run"]
