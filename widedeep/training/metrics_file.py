"""The final metrics of a run: metrics.json, and the summary that is printed."""

import json
from pathlib import Path

from pydantic import ValidationError

from widedeep.common.console import print_table, say
from widedeep.common.errors import InputError
from widedeep.common.files import write_atomically
from widedeep.schema.evaluation import RatingMetrics
from widedeep.schema.records import Record

METRICS_FILE = "metrics.json"
Metrics = dict[str, float | int]  # name -> value; counts are integers


class TrainingStatistics(Record):
    """What the training took."""

    samples_per_second: float
    seconds: float  # spent in training steps, over all resumed parts of the run
    data_wait_share: float  # share of `seconds` spent waiting for data
    samples: int  # ratings trained on, over all ranks
    epochs: int
    best_epoch: int  # counted from 1
    steps_per_epoch: int
    dropped_per_epoch: int
    ranks: int
    device: str
    seed: int
    # Seconds; None: written by a release that did not count them.
    valid_seconds: float | None = None  # measuring the valid split, over all resumed parts of the run
    save_seconds: float | None = None  # writing checkpoints and the best model, likewise
    measure_seconds: float | None = None  # measuring the best model and the reference models at the end


# What of them depends on the machine and the moment; the same training gives the rest again.
TIMED = frozenset(
    ("samples_per_second", "seconds", "data_wait_share", "valid_seconds", "save_seconds", "measure_seconds")
)


class RunMetrics(Record):
    """The content of metrics.json. All errors are those of the best epoch's model."""

    scale: tuple[float, float]  # lowest and highest rating
    rates: bool  # whether the loss trained ratings; if not, `valid` and `test` are errors of affinities
    refit: bool = False  # whether the model has learnt from valid, too; `valid` is then empty
    valid: Metrics
    test: Metrics
    reference_models: dict[str, Metrics]  # empty if the data have no ratings
    ranking: dict[str, Metrics]  # empty if not measured
    train: TrainingStatistics
    # Of test, by how much is known and by predicted rating. None: it predicts no ratings, or an older release wrote it.
    rating: RatingMetrics | None = None


def counts_of(metrics: RunMetrics) -> dict[str, int]:
    """Return how many ratings were trained on, over all epochs, and how many each split was measured on."""
    counts = {"ratings_trained_on": metrics.train.samples, "epochs": metrics.train.epochs}
    splits = {"ratings_valid": metrics.valid, "ratings_test": metrics.test}
    return counts | {name: int(split["ratings"]) for name, split in splits.items() if "ratings" in split}


def write_metrics(run: Path, metrics: RunMetrics) -> None:
    """Write metrics.json, which marks the run as finished."""
    write_atomically(run / METRICS_FILE, json.dumps(metrics.model_dump(mode="json"), indent=1).encode())


def read_metrics(run: Path) -> RunMetrics | None:
    """Return the metrics of a finished run, or None if the run is not finished.

    Raises:
        InputError: metrics.json is damaged or from another release.

    """
    file = run / METRICS_FILE
    if not file.exists():
        return None
    try:
        return RunMetrics.model_validate(json.loads(file.read_text()))
    except (json.JSONDecodeError, ValidationError):
        raise InputError(
            f"{file} is damaged or of another release: choose another --run-dir, or start it anew with --resume never"
        ) from None


def show_summary(metrics: RunMetrics, run: Path) -> None:
    """Print the test errors beside those of the reference models, the ranking metrics, and the training speed."""
    if metrics.reference_models:
        _show_errors(metrics, run)
    if metrics.ranking:
        lists = {"most rated": metrics.ranking["popularity"], "this model": metrics.ranking["model"]}
        columns = ("", "NDCG@10", "Recall@20", "coverage@10")
        rows = _rows(lists, ("ndcg_at_10", "recall_at_20", "coverage_at_10"))
        print_table(f"ranking of unseen items ({run})", columns, rows)
    train = metrics.train
    say(
        f"{train.epochs} epochs (best: {train.best_epoch}), {train.samples_per_second:,.0f} samples/s, "
        f"{train.seconds:.1f} s training, {train.data_wait_share:.1%} of it waiting for data"
    )


def _show_errors(metrics: RunMetrics, run: Path) -> None:
    low, high = metrics.scale
    models = {
        "global mean": metrics.reference_models["global_mean"],
        "user + item bias": metrics.reference_models["bias"],
    }
    rows = _rows(models | ({"this model": metrics.test} if metrics.rates else {}), ("rmse", "mae", "r2"))
    if not metrics.rates:
        rows.append(("this model ranks only", "", "", ""))
    fitted = ", refit on train and valid" if metrics.refit else ""
    print_table(f"test ratings never seen, {low:g}-{high:g} scale ({run}{fitted})", ("", "RMSE", "MAE", "R2"), rows)


def _rows(metrics: dict[str, Metrics], names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [(label, *(f"{values[name]:.4f}" for name in names)) for label, values in metrics.items()]
