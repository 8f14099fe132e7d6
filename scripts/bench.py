"""Measure each stage and a yardstick for it in the same run: scripts/bench.py all --ratings 1e6 --json bench.json.

Ratios tell more than times, since other load on the machine slows both sides. `vs_x` is our speed divided by x's.
"""

import argparse
import importlib
import json
import platform
from pathlib import Path
from typing import Any

from benchmarks.measure import CORES
from benchmarks.workspace import Workspace

from widedeep.common.console import print_table, stderr

STAGES = ("prepare", "read", "train", "score")
# (stage, result) -> the goal, and whether higher is better.
GOALS = {
    ("prepare", "vs_duckdb"): (0.2, True),
    ("read", "vs_pyarrow"): (0.7, True),
    ("train", "vs_gemm"): (0.25, True),
    ("train", "vs_sparse_adam_1k"): (3.0, True),
    ("train", "two_ranks_vs_one"): (0.8, True),
    ("train", "data_wait_share"): (0.02, False),
    ("train", "stream_data_wait_share"): (0.02, False),
    ("score", "vs_gemm"): (0.8, True),
    ("score", "vs_als"): (1.0, True),
    ("score", "two_stage_speedup"): (8.0, True),
    ("score", "two_stage_recall"): (0.99, True),
}


def formatted(value: float) -> str:
    """Return a number with three digits, or a whole number with thousands separators."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def print_results(results: dict[str, dict[str, Any]], title: str) -> None:
    """Print all results, those with a goal first in each stage."""
    rows = []
    for stage, values in results.items():
        for name, value in sorted(values.items(), key=lambda pair: (stage, pair[0]) not in GOALS):
            rows.append((stage, name, formatted(value), *compared_with_goal(stage, name, value)))
    print_table(title, ("stage", "result", "measured", "goal", ""), rows, text=("stage", "result", ""))


def compared_with_goal(stage: str, name: str, value: float) -> tuple[str, str]:
    """Return the goal of a result and whether it is met; empty texts without a goal."""
    if (stage, name) not in GOALS:
        return "", ""
    bound, higher_is_better = GOALS[stage, name]
    met = value >= bound if higher_is_better else value <= bound
    return f"{'>=' if higher_is_better else '<='} {bound:g}", "met" if met else "missed"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=[*STAGES, "all"])
    parser.add_argument("--ratings", type=float, default=1e6, help="size of the dump, 24.3e6 for the official shape")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds; the results are medians")
    parser.add_argument(
        "--work", type=Path, default=Path("data/bench"), help="directory that keeps the data of each size"
    )
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    if options.repeats < 1 or options.ratings < 10_000:
        parser.error("--repeats must be 1 or more, --ratings 10000 or more")
    ratings = round(options.ratings)
    workspace = Workspace((options.work / str(ratings)).resolve(), ratings)
    results: dict[str, dict[str, Any]] = {}
    for stage in STAGES if options.stage == "all" else (options.stage,):
        stderr.log(f"{stage}: measuring at {ratings:,} ratings, {options.repeats} round(s)")
        results[stage] = importlib.import_module(f"benchmarks.{stage}").bench(workspace, options.repeats)
    if options.json:
        machine = {"cores": CORES, "system": platform.platform(), "python": platform.python_version()}
        content = {"machine": machine, "ratings": ratings, "repeats": options.repeats, **results}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    print_results(results, f"{ratings:,} ratings on {CORES} cores")


if __name__ == "__main__":
    main()
