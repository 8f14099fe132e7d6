"""Cells and tables of the leaderboard's page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from widedeep.reporting.markdown import table

Entry = Mapping[str, Any]

# Metric -> (heading, digits).
METRIC_COLUMNS = {
    "rmse": ("RMSE", 4),
    "mae": ("MAE", 4),
    "r2": ("R2", 3),
    "ndcg_at_10": ("NDCG@10", 4),
    "recall_at_20": ("Recall@20", 4),
    "coverage_at_10": ("coverage@10", 3),
    "map_at_10": ("MAP@10", 4),
    "mrr_at_10": ("MRR@10", 4),
    "novelty_at_10": ("novelty, bits", 2),
    "diversity_at_10": ("diversity", 3),
}


def metric_table(entries: Iterable[Entry], columns: Sequence[str]) -> str:
    """Return a Markdown table of entries by metrics."""
    rows = [[e["label"], *(metric_cell(e, name) for name in columns)] for e in entries]
    return table(["", *(METRIC_COLUMNS[name][0] for name in columns)], rows)


def metric_cell(entry: Entry, key: str) -> str:
    """Return a metric with its standard deviation over seeds."""
    value, digits = entry.get(key), METRIC_COLUMNS[key][1]
    if value is None:
        return ""
    spread = entry.get(f"{key}_sd")
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")


def signed_interval(difference: float, low: float | None, high: float | None) -> str:
    """Return a difference with its interval, if there is one."""
    return f"{difference:+.4f}" + (f" [{low:+.4f}, {high:+.4f}]" if low is not None else "")
