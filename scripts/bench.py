#!/usr/bin/env python3
"""Measure each stage and a yardstick for it in the same run: scripts/bench.py all --ratings 1e6 --json bench.json.

Ratios tell more than times, since other load on the machine slows both sides. `vs_x` is our speed divided by x's.
`growth` times whole commands, and is no part of `all`: call it for several sizes with the same --json.
`scripts/bench.py page --json FILE` writes the tables of docs/benchmarks.md from a file of results.
"""

import argparse
import importlib
from pathlib import Path

from benchmarks.measure import CORES
from benchmarks.report import Stages, figures_of, shown, write_page, write_results
from benchmarks.workspace import Workspace

from widedeep.common.console import print_table, stderr

STAGES = ("prepare", "read", "train", "default", "score")


def print_results(stages: Stages, title: str) -> None:
    """Print all results, those with a goal first in each stage."""
    rows = [(one.stage, one.name, shown(one.median), one.spread, one.goal, one.verdict) for one in figures_of(stages)]
    head = ("stage", "result", "median", "lowest to highest", "goal", "")
    print_table(title, head, rows, text=("stage", "result", ""))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=[*STAGES, "growth", "all", "page"])
    parser.add_argument("--ratings", type=float, default=1e6, help="size of the dump, 24.3e6 for the official shape")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds; the results are medians")
    parser.add_argument(
        "--work", type=Path, default=Path("data/bench"), help="directory that keeps the data of each size"
    )
    parser.add_argument(
        "--json",
        type=Path,
        help="file of results: each stage is written beside other stages and sizes; `page` reads it",
    )
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"), help="where `page` writes the tables")
    options = parser.parse_args()
    if options.stage == "page":
        if options.json is None:
            parser.error("page needs --json")
        write_page(options.json, options.page)
        return
    if options.repeats < 1 or options.ratings < 10_000:
        parser.error("--repeats must be 1 or more, --ratings 10000 or more")
    ratings = round(options.ratings)
    workspace = Workspace((options.work / str(ratings)).resolve(), ratings)
    stages: Stages = {}
    for stage in STAGES if options.stage == "all" else (options.stage,):
        stderr.log(f"{stage}: measuring at {ratings:,} ratings, {options.repeats} round(s)")
        stages[stage] = importlib.import_module(f"benchmarks.{stage}").bench(workspace, options.repeats)
        if options.json:
            write_results(options.json, ratings, stages)
    print_results(stages, f"{ratings:,} ratings on {CORES} cores")


if __name__ == "__main__":
    main()
