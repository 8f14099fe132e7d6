"""Checkpoints: all that resuming needs, written atomically, read without running code."""

import io
import re
from pathlib import Path
from typing import Any

import torch

from widedeep.cli import log
from widedeep.errors import InputError
from widedeep.tracking import write_atomically

PATTERN = re.compile(r"step-(\d{10})\.pt")


def save_checkpoint(directory: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write the state after `step` steps and delete all but the newest `keep` checkpoints."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"step-{step:010d}.pt"
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(file, buffer.getbuffer())  # pyright: ignore[reportArgumentType]
    for old in newest_first(directory)[keep:]:
        old.unlink()
    return file


def newest_first(directory: Path) -> list[Path]:
    """The checkpoints of a run."""
    found = [file for file in directory.glob("step-*.pt") if PATTERN.fullmatch(file.name)]
    return sorted(found, reverse=True)


def load_checkpoint(run: Path, resume: str) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint to go on from, or None to start anew.

    Args:
        run: the run's directory.
        resume: auto (the newest that can be read), never, or a path.

    Raises:
        InputError: a checkpoint named by its path cannot be read.

    """
    if resume == "never":
        return None
    if resume != "auto":
        try:
            return Path(resume), _read(Path(resume))
        except Exception as error:
            raise InputError(
                f"resume: cannot read checkpoint {resume} ({error}); give auto, never or the path of a checkpoint"
            ) from None
    for file in newest_first(run / "checkpoints"):
        try:
            return file, _read(file)
        except Exception as error:
            log.warning("checkpoint %s cannot be read (%s); trying the one before", file, error)
    return None


def _read(file: Path) -> dict[str, Any]:
    return torch.load(file, map_location="cpu", weights_only=True)
