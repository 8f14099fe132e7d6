"""Metrics of each epoch while a run goes on: a JSON line, and TensorBoard."""

import json
import math
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter  # pyright: ignore[reportPrivateImportUsage]

from widedeep.common.console import log
from widedeep.common.files import write_atomically

CURVE_FILE, TENSORBOARD = "metrics.jsonl", "tensorboard"


class Tracker:
    """Writes `RUN/metrics.jsonl` and `RUN/tensorboard/`; only rank 0 has one."""

    def __init__(self, run: Path, first_epoch: int):
        self._file = run / CURVE_FILE
        # A resumed run repeats epochs that were recorded after the checkpoint: drop their lines.
        kept = [line for line in self._lines() if _epoch_of(line) < first_epoch]
        write_atomically(self._file, "".join(line + "\n" for line in kept).encode())
        self._board = SummaryWriter(str(run / TENSORBOARD), purge_step=first_epoch)

    def _lines(self) -> list[str]:
        text = self._file.read_text() if self._file.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()  # a crash may have truncated the last line

    def record(self, epoch: int, metrics: dict[str, Any]) -> None:
        """Write the metrics of an epoch (counted from 0)."""
        with self._file.open("a") as stream:
            stream.write(json.dumps({"epoch": epoch, **metrics}) + "\n")
        for name, value in flatten(metrics).items():
            self._board.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Flush to disk and close."""
        self._board.close()


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
