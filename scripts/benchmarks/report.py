"""The results of benchmarks: the file that keeps each round, and the tables of medians and spread beside the goals."""

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


class Result(NamedTuple):
    """What a figure of a stage says."""

    meaning: str
    goal: float | None = None
    at_most: bool = False  # whether the goal is an upper bound


RESULTS = {
    "prepare": {
        "vs_duckdb": Result("speed over that of DuckDB, which does most of the same", 0.25),
        "seconds": Result("the whole command"),
        "duckdb_seconds": Result("the same work by DuckDB"),
        "peak_bytes": Result("memory of all its processes"),
        "ratings_per_second": Result("ratings of the dump / seconds"),
    },
    "read": {
        "vs_pyarrow": Result("speed of petastorm over a plain pyarrow scan", 0.7),
        "pyarrow_reader_vs_pyarrow": Result("the same of `--loader.reader pyarrow`"),
        "rows_per_second": Result("by petastorm"),
        "pyarrow_reader_rows_per_second": Result("by `--loader.reader pyarrow`"),
        "pyarrow_rows_per_second": Result("by the plain scan"),
    },
    "train": {
        "vs_gemm": Result("time of the matrix products alone over the time taken", 0.5),
        "vs_sparse_adam_1k": Result("speed over plain PyTorch, SparseAdam, batch 1,024", 3.0),
        "two_ranks_vs_one": Result("speed of two gloo ranks over one process", 0.8),
        "data_wait_share": Result("share of the time that waits for data, resident", 0.02, at_most=True),
        "stream_data_wait_share": Result("the same, `--loader.mode stream`", 0.02, at_most=True),
        "samples_per_second": Result("resident ratings, batch 8,192"),
        "vs_dense_adam": Result("speed over plain PyTorch, dense Adam, batch 8,192"),
        "vs_sparse_adam": Result("speed over plain PyTorch, SparseAdam, batch 8,192"),
        "batch_1k_vs_sparse_adam_1k": Result("the same, both with batch 1,024"),
        "stream_samples_per_second": Result("`--loader.mode stream`"),
        "gemm_flops": Result("FLOP/s of products of this machine, 2,048 x 2,048"),
        "flops_per_sample": Result("products of a rating, forward and backward"),
        "peak_bytes": Result("memory of all processes, resident"),
        "stream_peak_bytes": Result("the same, `--loader.mode stream`"),
        "test_rmse": Result("after only the one epoch that is timed, resident"),
        "stream_test_rmse": Result("the same, `--loader.mode stream`"),
        "two_ranks_test_rmse": Result("the same, two ranks"),
    },
    "default": {
        "vs_gemm": Result("time of the matrix products alone over the time taken", 0.35),
        "rank_per_core_vs_one": Result("speed of a gloo rank on each core over one process", 0.8),
        "samples_per_second": Result("ratings in the histories of its batches, one process"),
    },
    "score": {
        "vs_gemm": Result("time of the matrix products alone over the time taken", 0.9),
        "vs_als": Result("pairs a second over those of MLlib's ALS, rank 32", 1.0),
        "two_stage_speedup": Result("pairs a second of `--method two_stage` over those of `exact`", 8.0),
        "default_users_per_second": Result("lists of the default model; 450 are 270 K users in 10 minutes", 450.0),
        "two_stage_recall": Result("share of the exact lists that `two_stage` finds", 0.99),
        "pairs_per_second": Result("`wide_deep`, exact, in Spark"),
        "two_stage_pairs_per_second": Result("`wide_deep`, `two_stage`, in Spark"),
        "als_pairs_per_second": Result("MLlib's `recommendForUserSubset`"),
        "gemm_pairs_per_second": Result("the products alone"),
        "users": Result("users scored exactly; `two_stage` has up to three times as many"),
        "items": Result("all of them, scored for each user"),
        "als_items": Result("those that ALS knows"),
    },
    "growth": {
        "prepare_seconds": Result("`jobs/prepare.py`"),
        "prepare_peak_bytes": Result("memory of all its processes"),
        "train_seconds": Result("`widedeep/train.py --config wide_deep`, one epoch, resident"),
        "train_epoch_seconds": Result("its epoch alone"),
        "train_peak_bytes": Result("memory of all its processes"),
        "stream_seconds": Result("the same with `--loader.mode stream`"),
        "stream_epoch_seconds": Result("its epoch alone"),
        "stream_peak_bytes": Result("memory of all its processes"),
        "score_seconds": Result("`jobs/score_all.py --method two_stage`, all users"),
        "score_peak_bytes": Result("memory of all its processes"),
    },
}
BEGIN, END = "<!-- the {} below is written by scripts/bench.py page -->", "<!-- end of the {} -->"
SECONDS, MILLION = "_seconds", 1e6
Stages = dict[str, list[Round]]
Sizes = dict[int, Stages]  # by the number of ratings of the dump


class Figure(NamedTuple):
    """A result over all rounds."""

    stage: str
    name: str
    median: float
    lowest: float
    highest: float

    @property
    def result(self) -> Result:
        """What it says."""
        return RESULTS[self.stage][self.name]

    @property
    def goal(self) -> str:
        """What is wanted; empty without a goal."""
        _, bound, at_most = self.result
        return "" if bound is None else f"{'<=' if at_most else '>='} {bound:g}"

    @property
    def verdict(self) -> str:
        """Whether the median meets the goal; empty without one."""
        _, bound, at_most = self.result
        if bound is None:
            return ""
        met = self.median <= bound if at_most else self.median >= bound
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
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def write_results(file: Path, ratings: int, stages: Stages) -> None:
    """Write every round and the machine. Other stages and sizes of the same machine stay."""
    machine, sizes = describe_machine(), {}
    if file.exists():
        before, sizes = read_results(file)
        if before != machine:
            sizes = {}
    sizes[ratings] = sizes.get(ratings, {}) | stages
    content = {"machine": machine, "ratings": {str(size): sizes[size] for size in sorted(sizes)}}
    file.write_text(json.dumps(content, indent=1) + "\n")


def read_results(file: Path) -> tuple[dict[str, str | int], Sizes]:
    """Return the machine, and the rounds of each size, the smallest first."""
    content = json.loads(file.read_text())
    if not isinstance(content.get("ratings"), dict):
        raise SystemExit(f"{file} holds no results of this version of bench.py: give another file to --json")
    return content["machine"], {int(size): stages for size, stages in content["ratings"].items()}


def figures_of(stages: Stages) -> list[Figure]:
    """Return all results of one size, in the order of RESULTS."""
    found = []
    for stage, rounds in stages.items():
        for name in sorted(rounds[0], key=list(RESULTS[stage]).index):
            values = [one[name] for one in rounds]
            found.append(Figure(stage, name, median(values), min(values), max(values)))
    return found


def write_page(results: Path, page: Path) -> None:
    """Put each table of the results between its two marks in a page."""
    machine, sizes = read_results(results)
    text = page.read_text()
    for name, content in (("table of results", _results(machine, sizes)), ("table of growth", _growth(sizes))):
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{page} lacks the marks of the {name}: {begin} and {end}")
        text = f"{before}{begin}\n\n{content}\n\n{end}{after}"
    page.write_text(text)


def _results(machine: dict[str, str | int], sizes: Sizes) -> str:
    """Return a table with a column for each size; the verdict is that of the largest."""
    compared = {
        size: {stage: rounds for stage, rounds in stages.items() if stage != "growth"} for size, stages in sizes.items()
    }
    compared = {size: stages for size, stages in compared.items() if stages}
    figures = [{(one.stage, one.name): one for one in figures_of(stages)} for stages in compared.values()]
    rounds = sorted({len(rounds) for stages in compared.values() for rounds in stages.values()})
    head = (
        f"{' and '.join(map(str, rounds))} round(s) on {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gib']} GiB; Python {machine['python']}, {machine['versions']}. Medians, and the lowest and "
        "the highest of the rounds; the verdict is that of the largest dump."
    )
    rows = []
    for stage, name in ((stage, name) for stage, names in RESULTS.items() for name in names):
        found = [of_size.get((stage, name)) for of_size in figures]
        known = [figure for figure in found if figure]
        if known:
            cells = [figure and shown(figure.median) + (figure.spread and f" ({figure.spread})") for figure in found]
            verdict = f"**{known[-1].verdict}**" if known[-1].verdict == "missed" else known[-1].verdict
            rows.append((stage, code(name), known[-1].result.meaning, *cells, known[-1].goal, verdict))
    columns = [f"{size:,} ratings" for size in compared]
    return f"{head}\n\n{table(('stage', 'result', 'what it is', *columns, 'goal', ''), rows)}"


def _growth(sizes: Sizes) -> str:
    """Return a table of whole commands with a column for each size; seconds also for a million ratings."""
    grown = {size: stages["growth"] for size, stages in sizes.items() if "growth" in stages}
    rows = []
    for name, result in RESULTS["growth"].items():
        medians = {size: median(one[name] for one in rounds) for size, rounds in grown.items()}
        if name.endswith(SECONDS):
            rows.append((result.meaning, *(f"{shown(value)} s" for value in medians.values())))
            each = (value * MILLION / size for size, value in medians.items())
            rows.append(("a million ratings", *(f"{shown(value)} s" for value in each)))
        else:
            rows.append((result.meaning, *(f"{shown(value)}B" for value in medians.values())))
    return table(("command", *(f"{size:,} ratings" for size in grown)), rows)
