"""Curves of a training while it goes on: a JSON line for each epoch, and the boards of the setting `track`.

A board shows curves over epochs, counted from 0, and over steps, counted from 1 over all epochs.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from torch.utils.tensorboard import SummaryWriter  # pyright: ignore[reportPrivateImportUsage]

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.common.files import write_atomically
from widedeep.training.metrics_file import RunMetrics
from widedeep.training.settings import TrainConfig

CURVE_FILE, TENSORBOARD, MLFLOW = "metrics.jsonl", "tensorboard", "mlflow"

Axis = Literal["epoch", "step"]


class Board(Protocol):
    """What shows the curves of a run."""

    def record(self, axis: Axis, number: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve that `values` names, at an epoch or after a step."""
        ...

    def finish(self, values: Mapping[str, float], metrics: RunMetrics) -> None:
        """Add the final metrics; `values` are the numbers among them by name."""
        ...

    def close(self, error: BaseException | None) -> None:
        """Write all that was recorded; `error` is what has ended the training, if it was one."""
        ...


class TensorBoard:
    """Writes `RUN/tensorboard/`, with the curves over steps in a folder `steps` of its own.

    A resumed run tells TensorBoard from which number on it repeats what is there. That goes for all curves of a folder,
    so curves over epochs and over steps cannot share one.
    """

    def __init__(self, config: TrainConfig, first: Mapping[Axis, int]):
        folder, self._settings = config.run_dir / TENSORBOARD, settings_by_name(config)
        self._writers = {
            axis: SummaryWriter(str(folder / "steps" if axis == "step" else folder), purge_step=number)
            for axis, number in first.items()
        }

    def record(self, axis: Axis, number: int, values: Mapping[str, float]) -> None:
        """See `Board`; the point is on the disk then, so that no kill makes a gap."""
        writer = self._writers[axis]
        for name, value in values.items():
            writer.add_scalar(name, value, number)
        writer.flush()

    def finish(self, values: Mapping[str, float], metrics: RunMetrics) -> None:
        """Write the settings beside the final metrics, for the page that compares runs."""
        self._writers["epoch"].add_hparams(self._settings, dict(values), run_name=".")

    def close(self, error: BaseException | None) -> None:
        """See `Board`."""
        for writer in self._writers.values():
            writer.close()


def _open_mlflow(config: TrainConfig, first: Mapping[Axis, int]) -> Board:
    from widedeep.training.mlflow_board import MLflowBoard

    return MLflowBoard(config, settings_by_name(config))


BOARDS: dict[str, Callable[[TrainConfig, Mapping[Axis, int]], Board]] = {
    "tensorboard": TensorBoard,
    "mlflow": _open_mlflow,
}


def require_boards(names: Sequence[str]) -> None:
    """Raise InputError if a board of these names needs packages that are not installed."""
    missing = [name for name in ("mlflow", "sqlalchemy", "alembic") if find_spec(name) is None]
    if "mlflow" in names and missing:
        raise InputError(
            f"track: mlflow needs {', '.join(missing)}: pip install -e '.[mlflow]', or leave it out of --track"
        )


class Tracker:
    """Writes `RUN/metrics.jsonl` and to the boards, in the block of a `with`."""

    def __init__(self, config: TrainConfig, epoch: int, step: int, enabled: bool = True):
        """Begin, or go on.

        Args:
            config: the settings of the run.
            epoch: the first epoch that will be recorded, from 0.
            step: steps done, over all epochs.
            enabled: if not, nothing is written: rank 0 does it for all.

        Raises:
            InputError: a board cannot be opened.

        """
        self._file, self._enabled = config.run_dir / CURVE_FILE, enabled
        self._boards: list[Board] = []
        if not enabled:
            return
        # A resumed run repeats epochs that were recorded after the checkpoint: drop their lines.
        kept = [line for line in self._lines() if _epoch_of(line) < epoch]
        write_atomically(self._file, "".join(line + "\n" for line in kept).encode())
        first: dict[Axis, int] = {"epoch": epoch, "step": step + 1}
        self._boards += [BOARDS[name](config, first) for name in dict.fromkeys(config.track)]

    def _lines(self) -> list[str]:
        text = self._file.read_text() if self._file.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()  # a crash may have truncated the last line

    def record(self, epoch: int, metrics: dict[str, Any]) -> None:
        """Write the metrics of an epoch (counted from 0)."""
        if not self._enabled:
            return
        with self._file.open("a") as stream:
            stream.write(json.dumps({"epoch": epoch, **metrics}) + "\n")
        self._show("epoch", epoch, flatten(metrics))

    def record_step(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write what is tracked of a step (the number of steps done, over all epochs)."""
        self._show("step", step, {f"step/{name}": value for name, value in scalars.items()})

    def _show(self, axis: Axis, number: int, values: Mapping[str, float]) -> None:
        for board in self._boards:
            board.record(axis, number, values)

    def finish(self, metrics: RunMetrics) -> None:
        """Write the metrics of the finished run."""
        values = flatten(metrics.model_dump(include={"test", "reference_models", "ranking"}))
        for board in self._boards:
            board.finish(values, metrics)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for board in self._boards:
            board.close(error)


def _epoch_of(line: str) -> float:
    """Return the epoch that a line is of; infinity if it is damaged."""
    try:
        return int(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        log.warning("%s: a line is damaged and is left out: %r", CURVE_FILE, line[:80])
        return math.inf


def flatten(metrics: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Flatten nested metrics, leaving out all but numbers: {"valid": {"rmse": 1.2}} -> {"valid/rmse": 1.2}."""
    flattened: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flattened |= flatten(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            flattened[f"{prefix}{name}"] = float(value)
    return flattened


def settings_by_name(config: TrainConfig) -> dict[str, str | float | bool]:
    """Return the settings by the names of their flags, such as `optim.lr`; lists and None as text."""

    def leaves(section: Mapping[str, Any], prefix: str) -> dict[str, str | float | bool]:
        found: dict[str, str | float | bool] = {}
        for name, value in section.items():
            if isinstance(value, dict):
                found |= leaves(value, f"{prefix}{name}.")
            elif isinstance(value, list):
                found[prefix + name] = ",".join(map(str, value))
            else:
                found[prefix + name] = "none" if value is None else value
        return found

    return leaves(config.model_dump(mode="json", exclude={"dry_run"}), "")
