"""Helpers that follow a guide of docs/ to the letter, in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.training import ROOT


def blocks(guide: str, language: str) -> list[str]:
    """Return a guide's blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)


def copy_checkout(copy: Path) -> Path:
    """Copy the package, its presets and its contract tests to a new folder."""
    for folder in ("widedeep", "conf", "tests/contracts"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*(ROOT / "tests").glob("*.py"), ROOT / "pyproject.toml"):
        shutil.copy(file, copy / file.relative_to(ROOT))
    return copy


def add_lines(file: Path, diff: str, imported_before: str, end: str) -> None:
    """Add the two lines of a diff: an import, and the last entry of the collection that closes with `end`."""
    imported, entry = (line.removeprefix("+") for line in diff.splitlines())
    text = file.read_text().replace(imported_before, f"{imported}\n{imported_before}", 1)
    head, tail = text.split(end, 1)
    file.write_text(f"{head}\n{entry}{end}{tail}")


def run(copy: Path, *argv: str) -> str:
    """Run Python in a copy and return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run([sys.executable, *argv], cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
