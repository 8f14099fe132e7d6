"""The results of a benchmark: the file that keeps each round, and the table of medians and spread beside the goals."""

import json
import platform
from pathlib import Path
from statistics import median
from typing import NamedTuple

import duckdb
import psutil
import pyarrow
import pyspark
import torch

from benchmarks.measure import CORES, Round
from widedeep.reporting.markdown import code, table

# (stage, result) -> the goal, and whether higher is better.
GOALS = {
    ("prepare", "vs_duckdb"): (0.25, True),
    ("read", "vs_pyarrow"): (0.7, True),
    ("train", "vs_gemm"): (0.5, True),
    ("train", "vs_sparse_adam_1k"): (3.0, True),
    ("train", "two_ranks_vs_one"): (0.8, True),
    ("train", "data_wait_share"): (0.02, False),
    ("train", "stream_data_wait_share"): (0.02, False),
    ("default", "vs_gemm"): (0.35, True),
    ("default", "rank_per_core_vs_one"): (0.8, True),
    ("score", "vs_gemm"): (0.9, True),
    ("score", "vs_als"): (1.0, True),
    ("score", "two_stage_speedup"): (8.0, True),
    ("score", "two_stage_recall"): (0.99, True),
    ("score", "default_users_per_second"): (450.0, True),  # 270 K users in 10 minutes
}
BEGIN, END = "<!-- the table below is written by scripts/bench.py page -->", "<!-- end of the table -->"


class Figure(NamedTuple):
    """A result over all rounds."""

    stage: str
    name: str
    median: float
    lowest: float
    highest: float

    @property
    def goal(self) -> str:
        """What is wanted; empty without a goal."""
        if (self.stage, self.name) not in GOALS:
            return ""
        bound, higher_is_better = GOALS[self.stage, self.name]
        return f"{'>=' if higher_is_better else '<='} {bound:g}"

    @property
    def verdict(self) -> str:
        """Whether the median meets the goal; empty without one."""
        if not self.goal:
            return ""
        bound, higher_is_better = GOALS[self.stage, self.name]
        met = self.median >= bound if higher_is_better else self.median <= bound
        return "met" if met else "missed"

    @property
    def spread(self) -> str:
        """The lowest and the highest of the rounds; empty for one."""
        return "" if self.lowest == self.highest else f"{shown(self.lowest)} to {shown(self.highest)}"


def shown(value: float) -> str:
    """Return a number with three digits, large ones as thousands (K), millions (M) or billions (G)."""
    for unit, sign in ((1e9, " G"), (1e6, " M"), (1e3, " K")):
        if value >= 0.9995 * unit:
            return f"{value / unit:,.3g}{sign}"
    return f"{value:.3g}"


def describe_machine() -> dict[str, str | int]:
    """Return what the figures depend on beside the project."""
    models = [line.split(":")[1].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in (pyspark, torch, pyarrow, duckdb))
    return {
        "cores": CORES,
        "processor": models[0] if models else platform.machine(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def write_results(file: Path, ratings: int, stages: dict[str, list[Round]]) -> None:
    """Write every round, the size of the data, and the machine. Other stages of the same size and machine stay."""
    content = {"machine": describe_machine(), "ratings": ratings}
    before = json.loads(file.read_text()) if file.exists() else {}
    same = all(before.get(name) == value for name, value in content.items())
    content["stages"] = (before["stages"] if same else {}) | stages
    file.write_text(json.dumps(content, indent=1) + "\n")


def figures_of(stages: dict[str, list[Round]]) -> list[Figure]:
    """Return all results, those with a goal first in each stage."""
    found = []
    for stage, rounds in stages.items():
        for name in sorted(rounds[0], key=lambda name: (stage, name) not in GOALS):
            values = [one[name] for one in rounds]
            found.append(Figure(stage, name, median(values), min(values), max(values)))
    return found


def write_page(results: Path, page: Path) -> None:
    """Put the table of the results between its two marks in a page."""
    content = json.loads(results.read_text())
    before, _, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{page} lacks the marks of the table: {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{_table(content)}\n\n{END}{after}")


def _table(content: dict) -> str:
    machine, stages = content["machine"], content["stages"]
    rounds = max(len(found) for found in stages.values())
    head = (
        f"{content['ratings']:,} ratings, {rounds} round(s) on {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gib']} GiB; Python {machine['python']}, {machine['versions']}."
    )
    rows = [
        (
            *(one.stage, code(one.name), shown(one.median), one.spread, one.goal),
            f"**{one.verdict}**" if one.verdict == "missed" else one.verdict,
        )
        for one in figures_of(stages)
    ]
    return f"{head}\n\n{table(('stage', 'result', 'median', 'lowest to highest', 'goal', ''), rows)}"
