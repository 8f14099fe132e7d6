"""The benchmarks of all stages on a small dump, by the script."""

import json
import math
import subprocess
from pathlib import Path

from tests.commands import run_command
from tests.training import ROOT

STAGES = {"prepare", "read", "train", "default", "score", "growth"}


def bench(*arguments: str | Path) -> subprocess.CompletedProcess:
    return run_command([str(ROOT / "scripts" / "bench.py"), *map(str, arguments)], ROOT, seconds=1100)


def test_every_stage_is_measured_and_the_page_is_written(tmp_path):
    results, page = tmp_path / "bench.json", tmp_path / "page.md"
    flags = ("--ratings", "10000", "--repeats", "1", "--work", tmp_path / "work", "--json", results)
    done = bench("all", *flags)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    grown = bench("growth", *flags)
    assert grown.returncode == 0, f"{grown.stdout}\n{grown.stderr}"
    stages = json.loads(results.read_text())["ratings"]["10000"]
    assert set(stages) == STAGES
    for stage, rounds in stages.items():
        assert len(rounds) == 1, stage
        assert all(math.isfinite(value) and value > 0 for value in rounds[0].values()), rounds
    assert "vs_duckdb" in done.stdout
    marks = [line for line in (ROOT / "docs" / "benchmarks.md").read_text().splitlines() if line.startswith("<!--")]
    page.write_text("\n".join(marks) + "\n")
    done = bench("page", "--json", results, "--page", page)
    assert done.returncode == 0, done.stderr
    assert "| default | `vs_gemm` |" in page.read_text()
    assert "| `jobs/prepare.py` |" in page.read_text()
