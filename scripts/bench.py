"""Measure the stages beside yardsticks of the same run: scripts/bench.py all --ratings 1e6 --json bench.json.

Ratios say more than times: what else the machine does meets both sides. `vs_x` is our speed over x's.
"""

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import CORES
from benchmarks.workspace import Workspace
from rich.console import Console
from rich.table import Table

STAGES = ("prepare", "read", "train", "score")
# (stage, figure) -> the goal, and whether more is better.
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


def shown(figure: float) -> str:
    """Three digits, or a whole number with its thousands."""
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.3g}"


def table_of(results: dict[str, dict[str, Any]], title: str) -> Table:
    """All figures, those with a goal first."""
    view = Table(title=title, title_justify="left")
    for name in ("stage", "figure", "measured", "goal", ""):
        view.add_column(name, justify="right" if name in ("measured", "goal") else "left")
    for stage, figures in results.items():
        for name, figure in sorted(figures.items(), key=lambda pair: (stage, pair[0]) not in GOALS):
            goal = GOALS.get((stage, name))
            if goal is None:
                view.add_row(stage, name, shown(figure), "", "")
                continue
            bound, more = goal
            met = figure >= bound if more else figure <= bound
            view.add_row(stage, name, shown(figure), f"{'>=' if more else '<='} {bound:g}", "met" if met else "missed")
    return view


def main() -> None:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=[*STAGES, "all"])
    parser.add_argument("--ratings", type=float, default=1e6, help="size of the dump, 24.3e6 for the official shape")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds; medians are shown")
    parser.add_argument("--work", type=Path, default=Path("data/bench"), help="where data of each size is kept")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    if options.repeats < 1 or options.ratings < 10_000:
        parser.error("--repeats must be 1 or more, --ratings 10000 or more")
    ratings = round(options.ratings)
    console = Console(stderr=True)
    space = Workspace((options.work / str(ratings)).resolve(), ratings)
    results: dict[str, dict[str, Any]] = {}
    for stage in STAGES if options.stage == "all" else (options.stage,):
        console.log(f"{stage}: measuring at {ratings:,} ratings, {options.repeats} round(s)")
        results[stage] = importlib.import_module(f"benchmarks.{stage}").bench(space, options.repeats)
    if options.json:
        machine = {"cores": CORES, "system": platform.platform(), "python": platform.python_version()}
        content = {"machine": machine, "ratings": ratings, "repeats": options.repeats, **results}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    Console(soft_wrap=True).print(table_of(results, f"{ratings:,} ratings on {CORES} cores"))


if __name__ == "__main__":
    sys.exit(main())
