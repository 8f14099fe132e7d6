"""Shell scripts are without what a linter finds."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import ROOT

FILES = [*sorted((ROOT / "scripts").glob("*.sh")), *sorted((ROOT / "examples").rglob("*.sh")), ROOT / ".ci/run"]
FILES += sorted((ROOT / "examples").rglob("*.sbatch"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_shellcheck_finds_nothing(file):
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, "--external-sources", file], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
