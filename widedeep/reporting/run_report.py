"""Gather what is known of a finished training: the content of report.json."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from widedeep.reporting.item_map import map_items
from widedeep.schema.manifest import SPLITS
from widedeep.schema.run_report import EpochResult, RunReport, SystemResult, TimePart
from widedeep.scoring.vectors import load_trained
from widedeep.training.metrics_file import Metrics, RunMetrics, TrainingStatistics
from widedeep.training.tracking import CURVE_FILE

THIS_MODEL, MOST_RATED, BIASES, GLOBAL_MEAN = "this model", "most rated items", "user + item biases", "global mean"

# Metric of a SystemResult -> how people write it.
METRICS = {
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R2",
    "ndcg_at_10": "NDCG@10",
    "recall_at_20": "Recall@20",
    "coverage_at_10": "coverage@10",
}


def make_report(run: Path, data: Path, metrics: RunMetrics) -> RunReport:
    """Return the report of a finished run.

    Args:
        run: its directory.
        data: the prepared directory that it was trained on.
        metrics: those of metrics.json.

    Raises:
        InputError: a file of either directory cannot be read, or the model was trained on other data.

    """
    trained = load_trained(run, data)
    manifest, train = trained.manifest, metrics.train
    return RunReport(
        run=run.resolve().name,
        model=trained.artifact.config.name,
        dataset=manifest.dataset.name,
        data_digest=manifest.digest,
        scale=manifest.ratings.scale,
        refit=metrics.refit,
        ratings={split: manifest.ratings.rows(split) for split in SPLITS},
        best_epoch=train.best_epoch,
        ranks=train.ranks,
        device=train.device,
        samples_per_second=train.samples_per_second,
        epochs=tuple(read_epochs((run / CURVE_FILE).read_text().splitlines(), metrics.rates)),
        rating=metrics.rating,
        ranking_users=int(metrics.ranking["model"]["users"]) if metrics.ranking else 0,
        systems=tuple(compared_systems(metrics)),
        item_map=map_items(trained),
        time=tuple(times(train)),
    )


def read_epochs(lines: Iterable[str], rates: bool) -> Iterable[EpochResult]:
    """Yield the epochs of metrics.jsonl, a line each; without RMSEs if the model predicts no ratings."""
    for line in lines:
        epoch: dict[str, Any] = json.loads(line)
        train, valid = epoch["train"], epoch["valid"]
        yield EpochResult(
            epoch=epoch["epoch"] + 1,
            train_rmse=known(train, "rmse") if rates else None,
            train_loss=known(train, "loss"),
            valid_rmse=known(valid, "rmse") if rates else None,
            valid_ndcg_at_10=known(valid, "ndcg_at_10"),
        )


def digits(value: float | None) -> str:
    """1.23456 -> `1.2346`; empty for None."""
    return "" if value is None else f"{value:.4f}"


def known(metrics: Mapping[str, float], name: str) -> float | None:
    """Return a metric; None if it was not measured or is undefined, that is, NaN."""
    value = metrics.get(name, math.nan)
    return None if math.isnan(value) else value


def compared_systems(metrics: RunMetrics) -> Iterable[SystemResult]:
    """Yield the results of the model, and of the reference models that were measured."""
    ranking, references = metrics.ranking, metrics.reference_models
    yield _system(THIS_MODEL, metrics.test if metrics.rates else {}, ranking.get("model", {}))
    if "bias" in references:
        yield _system(BIASES, references["bias"], {})
    if "global_mean" in references:
        yield _system(GLOBAL_MEAN, references["global_mean"], {})
    if "popularity" in ranking:
        yield _system(MOST_RATED, {}, ranking["popularity"])


def _system(name: str, errors: Metrics, ranking: Metrics) -> SystemResult:
    lists = {metric: known(ranking, metric) for metric in ("ndcg_at_10", "recall_at_20", "coverage_at_10")}
    return SystemResult(name=name, **{metric: known(errors, metric) for metric in ("rmse", "mae", "r2")}, **lists)


def times(train: TrainingStatistics) -> Iterable[TimePart]:
    """Yield the parts of the time that a run took, as far as they were counted."""
    waiting = train.seconds * train.data_wait_share
    parts = {
        "training steps": train.seconds - waiting,
        "waiting for data": waiting,
        "validation": train.valid_seconds,
        "checkpoints and model": train.save_seconds,
        "measuring on test": train.measure_seconds,
    }
    return (TimePart(name=name, seconds=seconds) for name, seconds in parts.items() if seconds is not None)
