"""Checkpoints: everything that resuming needs, written atomically, read without running code.

step-0000000064.pt            the state of rank 0; the only file unless tables are sharded
step-0000000064.rank-1.pt     the part of rank 1, if they are. Rank 0 writes last, which completes the checkpoint
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.common.files import atomic_file
from widedeep.parallel.world import ALONE, World

CHECKPOINTS = "checkpoints"  # directory of a run
PATTERN = re.compile(r"(step-\d{10})(\.rank-\d+)?\.pt")


class Checkpointer:
    """Writes the checkpoints of a run.

    If tables are sharded, `shard_group` is all ranks, and each writes its part. Otherwise only rank 0 writes.
    """

    def __init__(self, run: Path, seconds: float, keep: int, world: World, shard_group: World):
        self._directory, self._seconds, self._keep = run / CHECKPOINTS, seconds, keep
        self._world, self._shard_group = world, shard_group
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether `seconds` have passed since the last checkpoint; all ranks of a shard group get rank 0's answer."""
        return self._shard_group.broadcast(time.monotonic() - self._saved > self._seconds)

    def save(self, step: int, state_dict: Callable[[], dict[str, Any]]) -> None:
        """Write a checkpoint after `step` steps; called by all ranks together."""
        if not self._shard_group.is_main:
            self._write(step, state_dict())
        self._shard_group.barrier()
        if self._world.is_main:
            self._write(step, state_dict())
        self._saved = time.monotonic()

    def _write(self, step: int, state: dict[str, Any]) -> None:
        save_checkpoint(self._directory, step, state, self._keep, self._shard_group.rank)


def save_checkpoint(directory: Path, step: int, state: dict[str, Any], keep: int, rank: int = 0) -> Path:
    """Write a rank's state after `step` steps. Rank 0 then deletes all but the newest `keep` checkpoints."""
    directory.mkdir(parents=True, exist_ok=True)
    file = part_of(directory / f"step-{step:010d}.pt", rank)
    with atomic_file(file) as stream:
        torch.save(state, stream)
    if rank == 0:
        _delete_old(directory, keep)
    return file


def _delete_old(directory: Path, keep: int) -> None:
    kept = {file.stem for file in newest_first(directory)[:keep]}
    # In this order rank 0's file goes first, so that no incomplete checkpoint looks complete.
    for old in sorted(directory.glob("step-*.pt")):
        named = PATTERN.fullmatch(old.name)
        if named and named[1] not in kept:
            old.unlink()


def part_of(checkpoint: Path, rank: int) -> Path:
    """Return the file with a rank's part of the checkpoint; rank 0's file names the checkpoint."""
    return checkpoint.with_suffix(f".rank-{rank}.pt") if rank else checkpoint


def newest_first(directory: Path) -> list[Path]:
    """List the checkpoints of a directory, newest first."""
    named = [PATTERN.fullmatch(file.name) for file in directory.glob("step-*.pt")]
    return sorted((directory / n[0] for n in named if n and not n[2]), reverse=True)


def load_checkpoint(run: Path, resume: str, shard_group: World = ALONE) -> tuple[Path, dict[str, Any]] | None:
    """Return the checkpoint to resume from, as path and state, or None to start anew.

    Args:
        run: the run's directory.
        resume: auto (the newest readable checkpoint), never, or a path.
        shard_group: the ranks that each read a part, all of the same checkpoint.

    Raises:
        InputError: the checkpoint that `resume` names cannot be read.

    """
    if resume == "never":
        return None
    if resume != "auto":
        try:
            return Path(resume), _read(part_of(Path(resume), shard_group.rank))
        except Exception as error:
            raise InputError(
                f"resume: cannot read checkpoint {resume} ({error}); give auto, never or the path of a checkpoint"
            ) from None
    for file in shard_group.broadcast(newest_first(run / CHECKPOINTS)):
        state = _read_or_warn(part_of(file, shard_group.rank))
        readable = shard_group.gather(state is not None)
        if state is not None and all(readable):
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
