"""Checkpoints: everything that resuming needs, checked before it is used, read without running code.

checkpoints/epoch-0002-step-00000064/
  rank-0.pt        the state of rank 0; the only part unless tables are sharded
  rank-1.pt        the part of rank 1, if they are
  manifest.json    written last: the run, the number of ranks, and size and digest of each part

A directory without a manifest is a draft that a crash has left; the next checkpoint sweeps it away.
"""

import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from widedeep.common.console import log
from widedeep.common.errors import InputError, WriteError
from widedeep.common.files import HashingStream, sha256_of, sync, write_atomically
from widedeep.parallel.world import ALONE, World
from widedeep.schema.manifest import MANIFEST
from widedeep.schema.records import Record, SealedRecord
from widedeep.training.run_identity import RunIdentity

CHECKPOINTS = "checkpoints"  # directory of a run
NAME = re.compile(r"epoch-(\d+)-step-(\d+)")

Place = tuple[int, int]  # epochs that are done, and steps of the one after them
State = dict[str, Any]  # plain types and tensors


class Part(Record):
    """A file of a checkpoint."""

    bytes: int
    sha256: str


class CheckpointManifest(SealedRecord):
    """`manifest.json` of a checkpoint."""

    kind: ClassVar[str] = "checkpoint"
    written_format: ClassVar[int] = 2
    written_by: ClassVar[str] = "widedeep/train.py"

    identity: RunIdentity
    ranks: int  # that trained; any number may go on, but for streams within an epoch
    parts: tuple[Part, ...]  # by rank; one unless tables are sharded


class Checkpointer:
    """Writes the checkpoints of a run.

    If tables are sharded, `shard_group` is all ranks, and each writes its part. Otherwise only rank 0 writes.
    """

    def __init__(self, run: Path, identity: RunIdentity, seconds: float, keep: int, world: World, shard_group: World):
        self._directory, self._identity, self._seconds, self._keep = run / CHECKPOINTS, identity, seconds, keep
        self._world, self._shard_group = world, shard_group
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether `seconds` have passed since the last checkpoint; all ranks of a shard group get rank 0's answer."""
        return self._shard_group.broadcast(time.monotonic() - self._saved > self._seconds)

    def save(self, place: Place, state: Callable[[], State]) -> None:
        """Write a checkpoint; called by all ranks together.

        Raises:
            WriteError: the disk does not take it. The checkpoints before it are still there.

        """
        target = self._directory / "epoch-{:04d}-step-{:08d}".format(*place)
        if self._world.is_main:
            (target / MANIFEST).unlink(missing_ok=True)
        self._shard_group.barrier()
        writes = self._world.is_main or self._shard_group.size > 1
        parts = self._shard_group.gather(self._write_part(target, state()) if writes else None)
        if self._world.is_main:
            manifest = CheckpointManifest(identity=self._identity, ranks=self._world.size, parts=tuple(parts))
            write_atomically(target / MANIFEST, manifest.seal().encode())
            _delete_others(target, self._keep)
        self._saved = time.monotonic()

    def _write_part(self, target: Path, state: State) -> Part:
        try:
            target.mkdir(parents=True, exist_ok=True)
            return write_part(target / part_name(self._shard_group.rank), state)
        except (OSError, RuntimeError) as error:  # torch reports what its writer could not write as a RuntimeError
            shutil.rmtree(target, ignore_errors=True)
            raise WriteError(
                f"checkpoint {target} could not be written ({error}): free space or name another --run-dir; "
                "the same command goes on from the checkpoint before"
            ) from error


def part_name(rank: int) -> str:
    """Return the name of a rank's file in a checkpoint."""
    return f"rank-{rank}.pt"


def write_part(file: Path, state: State) -> Part:
    """Write a rank's state to the disk."""
    with file.open("wb") as stream:
        hashing = HashingStream(stream)
        torch.save(state, hashing)  # pyright: ignore[reportArgumentType]
        sync(stream)
    return Part(bytes=hashing.bytes, sha256=hashing.sha256)


def _delete_others(newest: Path, keep: int) -> None:
    """Delete all checkpoints but `keep`: the newest and those before it. What is further was passed over as damaged."""
    directory = newest.parent
    ordered = newest_first(directory)
    kept = ordered[ordered.index(newest) :][:keep]
    for old in directory.iterdir():
        if NAME.fullmatch(old.name) and old not in kept:
            (old / MANIFEST).unlink(missing_ok=True)  # first, so that no half of it looks whole
            shutil.rmtree(old, ignore_errors=True)


def newest_first(directory: Path) -> list[Path]:
    """List the checkpoints of a directory, the furthest in the training first."""
    named = [(NAME.fullmatch(path.name), path) for path in directory.glob("epoch-*") if (path / MANIFEST).exists()]
    places = [((int(name[1]), int(name[2])), path) for name, path in named if name]
    return [path for _, path in sorted(places, reverse=True)]


# --- reading -------------------------------------------------------------------------------------


def load_checkpoint(
    run: Path, resume: str, identity: RunIdentity, world: World = ALONE, shard_group: World = ALONE
) -> tuple[Path, CheckpointManifest, list[State]] | None:
    """Return the checkpoint to resume from, or None to start anew. Rank 0 chooses it, and all ranks read the same.

    Of a checkpoint that as many ranks have written, each rank reads its own part, else all parts.

    Args:
        run: the run's directory.
        resume: auto (the newest that is whole), never, or a path.
        identity: of the run that wants to go on.
        world: all ranks.
        shard_group: the ranks that each have a part of their own.

    Raises:
        InputError: the checkpoint that `resume` names is damaged or of another run; or there are some in the run's
            directory and all are; or not all ranks can read the one that rank 0 reads.

    """
    if resume == "never":
        return None
    candidates = world.broadcast(newest_first(run / CHECKPOINTS) if resume == "auto" else [Path(resume)])
    for checkpoint in candidates:
        try:
            found, problem = _read(checkpoint, identity, shard_group), None
        except InputError as error:
            found, problem = None, str(error)
        problems = world.gather(problem)
        if found and not any(problems):
            return checkpoint, *found
        _require_one_view(checkpoint, problems, shard_group)
        first = next(filter(None, problems))
        if resume != "auto":
            raise InputError(f"resume: {first}; give auto, never or the path of a checkpoint")
        if world.is_main:
            log.warning("%s: trying the one before", first)
    if candidates:
        raise InputError(
            f"none of the {len(candidates)} checkpoints in {run / CHECKPOINTS} can be used: put one back from a copy, "
            "or give --resume never, which deletes the run and starts it anew"
        )
    return None


def _require_one_view(checkpoint: Path, problems: Sequence[str | None], shard_group: World) -> None:
    """Raise InputError if some ranks can read what others cannot, though all read the same files."""
    if shard_group.size == 1 and not all(problems):
        rank = next(rank for rank, problem in enumerate(problems) if problem)
        raise InputError(
            f"rank {rank} cannot read {checkpoint}, which other ranks can ({problems[rank]}): --run-dir must be a "
            "directory that all nodes share"
        )


def _read(checkpoint: Path, identity: RunIdentity, shard_group: World) -> tuple[CheckpointManifest, list[State]]:
    """Return the parts of a checkpoint that a rank needs, checked; raises InputError."""
    manifest = read_checkpoint_manifest(checkpoint)
    different = manifest.identity.differences(identity)
    if different:
        raise InputError(f"checkpoint {checkpoint} is of a run that differs in {different}")
    if not manifest.parts:
        raise InputError(f"checkpoint {checkpoint} has no parts")
    if len(manifest.parts) == shard_group.size:
        return manifest, [_read_part(checkpoint, manifest, shard_group.rank)]
    # Mapped: a rank needs some rows of each, and all together may be more than its memory.
    return manifest, [_read_part(checkpoint, manifest, rank, mmap=True) for rank in range(len(manifest.parts))]


def _read_part(checkpoint: Path, manifest: CheckpointManifest, rank: int, mmap: bool = False) -> State:
    """Return a part of a checkpoint, checked; raises InputError."""
    file, expected = checkpoint / part_name(rank), manifest.parts[rank]
    try:
        actual = Part(bytes=file.stat().st_size, sha256=sha256_of(file))
        if actual != expected:
            raise InputError(f"checkpoint {file} is damaged: it has {actual}, the manifest says {expected}")
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except InputError:
        raise
    except Exception as error:  # torch does not say what it may raise
        raise InputError(f"checkpoint {file} cannot be read ({error})") from None


def read_checkpoint_manifest(checkpoint: Path) -> CheckpointManifest:
    """Read the manifest of a checkpoint; raises InputError if there is none that this release can read."""
    file = checkpoint / MANIFEST
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{checkpoint} is no checkpoint: {file} cannot be read ({error})") from None
    return CheckpointManifest.unseal(text, str(file))
