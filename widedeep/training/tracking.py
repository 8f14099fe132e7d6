"""Metrics of a run while it lasts: a JSON line for each epoch, and TensorBoard."""

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter  # pyright: ignore[reportPrivateImportUsage]

from widedeep.common.files import write_atomically


class Tracker:
    """Writes `RUN/metrics.jsonl` and `RUN/tensorboard/`; used by rank 0 alone."""

    def __init__(self, run: Path, first_epoch: int):
        self._file = run / "metrics.jsonl"
        # A resumed run repeats the epoch it was interrupted in: what an earlier try wrote of it goes.
        kept = [line for line in self._lines() if json.loads(line)["epoch"] < first_epoch]
        write_atomically(self._file, "".join(line + "\n" for line in kept).encode())
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=first_epoch)

    def _lines(self) -> list[str]:
        text = self._file.read_text() if self._file.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()  # a crash may have cut the last line short

    def record(self, epoch: int, metrics: dict[str, Any]) -> None:
        """Keep the metrics of an epoch (counted from 0)."""
        with self._file.open("a") as stream:
            stream.write(json.dumps({"epoch": epoch, **metrics}) + "\n")
        for name, value in flat(metrics).items():
            self._board.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Write what is still held."""
        self._board.close()


def flat(metrics: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """{"valid": {"rmse": 1.2}} -> {"valid/rmse": 1.2}; only numbers."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found[f"{prefix}{name}"] = float(value)
    return found
