"""Checkpoints: all that resuming needs, written atomically, read without running code.

step-0000000064.pt            what rank 0 holds, which is all there is unless tables are sharded
step-0000000064.rank-1.pt     what rank 1 holds, if they are; written before rank 0's, which makes the checkpoint whole
"""

import io
import re
from pathlib import Path
from typing import Any

import torch

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.common.files import write_atomically
from widedeep.parallel.world import ALONE, World

PATTERN = re.compile(r"(step-\d{10})(\.rank-\d+)?\.pt")


def save_checkpoint(directory: Path, step: int, state: dict[str, Any], keep: int, rank: int = 0) -> Path:
    """Write a rank's state after `step` steps; rank 0, the last, deletes all but the newest `keep` checkpoints."""
    directory.mkdir(parents=True, exist_ok=True)
    file = part_of(directory / f"step-{step:010d}.pt", rank)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(file, buffer.getbuffer())  # pyright: ignore[reportArgumentType]
    if rank == 0:
        kept = {file.stem for file in newest_first(directory)[:keep]}
        for old in sorted(directory.glob("step-*.pt")):  # rank 0's before the others', which are nothing without it
            named = PATTERN.fullmatch(old.name)
            if named and named[1] not in kept:
                old.unlink()
    return file


def part_of(checkpoint: Path, rank: int) -> Path:
    """The file that holds a rank's part of a checkpoint; the checkpoint is named by rank 0's."""
    return checkpoint.with_suffix(f".rank-{rank}.pt") if rank else checkpoint


def newest_first(directory: Path) -> list[Path]:
    """The checkpoints of a run."""
    named = [PATTERN.fullmatch(file.name) for file in directory.glob("step-*.pt")]
    return sorted((directory / n[0] for n in named if n and not n[2]), reverse=True)


def load_checkpoint(run: Path, resume: str, holders: World = ALONE) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint to go on from, or None to start anew.

    Args:
        run: the run's directory.
        resume: auto (the newest that can be read), never, or a path.
        holders: the ranks that wrote a part each and now read it, all of the same checkpoint.

    Raises:
        InputError: a checkpoint named by its path cannot be read.

    """
    if resume == "never":
        return None
    if resume != "auto":
        try:
            return Path(resume), _read(part_of(Path(resume), holders.rank))
        except Exception as error:
            raise InputError(
                f"resume: cannot read checkpoint {resume} ({error}); give auto, never or the path of a checkpoint"
            ) from None
    for file in holders.share(newest_first(run / "checkpoints")):
        state = _read_or_warn(part_of(file, holders.rank))
        if all(holders.gather(state is not None)):
            assert state is not None
            return file, state
    return None


def _read_or_warn(file: Path) -> dict[str, Any] | None:
    try:
        return _read(file)
    except Exception as error:
        log.warning("checkpoint %s cannot be read (%s); trying the one before", file, error)
        return None


def _read(file: Path) -> dict[str, Any]:
    return torch.load(file, map_location="cpu", weights_only=True)
