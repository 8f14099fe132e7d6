"""The progress bar of an epoch."""

import time
from collections.abc import Mapping
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from widedeep.common.console import log, stderr

BAR_SECONDS, LOG_SECONDS = 1.0, 10.0  # between two updates on a terminal, and in a log

# Metric -> how it is shown; others are not shown.
RATING_LABELS = {"rmse": "RMSE", "mae": "MAE", "r2": "R2"}
RANKING_LABELS = {"loss": "loss", "ndcg_at_10": "NDCG@10"}


def format_metrics(metrics: Mapping[str, float], rated: bool = True) -> str:
    """Return metrics as text; those of predicted ratings only if ratings are trained (`rated`)."""
    labels = RATING_LABELS | RANKING_LABELS if rated else RANKING_LABELS
    return "  ".join(f"{label} {metrics[name]:.4f}" for name, label in labels.items() if name in metrics)


class EpochBar:
    """A progress bar on a terminal; elsewhere a line in the log every few seconds."""

    def __init__(self, label: str, steps: int, enabled: bool = True):
        """Prepare the bar; if not `enabled`, it shows nothing."""
        self._label, self._steps, self._enabled = label, steps, enabled
        self._seconds = BAR_SECONDS if stderr.is_terminal else LOG_SECONDS
        self._updated = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        speed = TextColumn("{task.fields[text]}")
        self._bar = Progress(*columns, speed, console=stderr, transient=True, disable=not stderr.is_terminal)
        self._task = self._bar.add_task(label, total=steps, text="")

    def __enter__(self) -> Self:
        if self._enabled and stderr.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def is_due(self) -> bool:
        """Whether it is time for an update. Only then should the caller fetch metrics from the device."""
        return self._enabled and time.monotonic() - self._updated >= self._seconds

    def update(self, step: int, metrics: Mapping[str, float], samples_per_second: float, wait_share: float) -> None:
        """Show how far the epoch is."""
        self._updated = time.monotonic()
        text = f"{format_metrics(metrics)}  {samples_per_second:,.0f} samples/s  waiting for data {wait_share:.1%}"
        self._bar.update(self._task, completed=step, text=text)
        if not stderr.is_terminal:
            log.info("%s  step %d/%d  %s", self._label, step, self._steps, text)
