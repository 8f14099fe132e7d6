"""How fast a training is, and the progress bar of an epoch."""

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple, Self

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from widedeep.common.console import log, stderr
from widedeep.training.limit import MachineLimit

BAR_SECONDS, LOG_SECONDS = 1.0, 10.0  # between two updates on a terminal, and in a log

# Metric -> how it is shown; others are not shown.
RATING_LABELS = {"rmse": "RMSE", "mae": "MAE", "r2": "R2"}
RANKING_LABELS = {"loss": "loss", "ndcg_at_10": "NDCG@10"}


class Effort(NamedTuple):
    """What training has taken, since its beginning or between two moments."""

    samples: int = 0  # ratings trained on, over all ranks
    seconds: float = 0.0  # spent in training steps
    wait_seconds: float = 0.0  # part of `seconds` spent waiting for data

    @property
    def samples_per_second(self) -> float:
        """Training speed over all ranks."""
        return self.samples / max(self.seconds, 1e-9)

    @property
    def wait_share(self) -> float:
        """Share of the training time spent waiting for data."""
        return self.wait_seconds / max(self.seconds, 1e-9)

    def since(self, before: "Effort") -> "Effort":
        """Return what was added since an earlier moment."""
        seconds, waiting = self.seconds - before.seconds, self.wait_seconds - before.wait_seconds
        return Effort(self.samples - before.samples, seconds, waiting)


def format_metrics(metrics: Mapping[str, float], rated: bool = True) -> str:
    """Return metrics as text; those of predicted ratings only if ratings are trained (`rated`)."""
    labels = RATING_LABELS | RANKING_LABELS if rated else RANKING_LABELS
    return "  ".join(f"{label} {metrics[name]:.4f}" for name, label in labels.items() if name in metrics)


class _Bar(Progress):
    """A bar with a line of text below it, so that both fit into 80 columns."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the two lines."""
        return [self.make_tasks_table(self.tasks), *(Text(task.fields["text"]) for task in self.tasks)]


class EpochBar:
    """A progress bar on a terminal; elsewhere a line in the log every few seconds."""

    def __init__(self, label: str, first_step: int, steps: int, effort: Effort, enabled: bool = True):
        """Prepare the bar.

        Args:
            label: stands before the bar.
            first_step: steps of the epoch that are done already.
            steps: steps of the epoch.
            effort: of the training until now.
            enabled: if not, the bar shows nothing.

        """
        self._label, self._first_step, self._steps, self._enabled = label, first_step, steps, enabled
        self._seconds = BAR_SECONDS if stderr.is_terminal else LOG_SECONDS
        self._begun = self._updated = time.monotonic()
        self._effort = effort  # at the last update
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = _Bar(*columns, console=stderr, transient=True, disable=not stderr.is_terminal)
        self._task = self._bar.add_task(label, total=steps, completed=first_step, text="", left="")

    def __enter__(self) -> Self:
        if self._enabled and stderr.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def is_due(self) -> bool:
        """Whether it is time for an update. Only then should the caller fetch metrics from the device."""
        return self._enabled and time.monotonic() - self._updated >= self._seconds

    def update(self, step: int, metrics: Mapping[str, float], effort: Effort, limit: MachineLimit) -> None:
        """Show how far the epoch is.

        Args:
            step: steps done in the epoch.
            metrics: of the epoch so far.
            effort: of the training until now; speed and waiting are shown since the last update.
            limit: of the machine, of which a share is shown if there is one.

        """
        pace = effort.since(self._effort)
        share = limit.share(pace.samples_per_second)
        self._updated, self._effort = time.monotonic(), effort
        seconds = (self._steps - step) * (self._updated - self._begun) / max(1, step - self._first_step)
        left = f"{timedelta(seconds=round(seconds))} left"
        parts = [
            format_metrics(metrics),
            f"{pace.samples_per_second:,.0f} samples/s",
            f"waiting {pace.wait_share:.1%}",
            *([] if share is None else [f"{share:.0%} of GEMM"]),
        ]
        text = "  ".join(parts)
        self._bar.update(self._task, completed=step, text=text, left=left)
        if not stderr.is_terminal:
            log.info("%s  step %d/%d  %s  %s", self._label, step, self._steps, text, left)
