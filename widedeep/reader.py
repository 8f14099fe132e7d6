"""Ratings from the prepared shards as tensors. The only importer of petastorm.

Legend: N ratings of a split, R ranks, B ratings of a global batch, b = B / R of a rank's.
"""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from widedeep.schema import DataFile, Manifest
from widedeep.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    from petastorm import make_batch_reader


class Batch(NamedTuple):
    """Ratings in columns; one tensor of each, all of the same length."""

    user: torch.Tensor  # [n] int32, position in the users' table
    item: torch.Tensor  # [n] int32, position in the items' table
    rating: torch.Tensor  # [n] float32, 1 to 10

    def __len__(self) -> int:
        return len(self.rating)

    def take(self, rows: torch.Tensor | slice) -> "Batch":
        """The ratings at some positions."""
        return Batch(self.user[rows], self.item[rows], self.rating[rows])

    def to(self, device: torch.device) -> "Batch":
        """The same ratings on another device."""
        return Batch(*(column.to(device, non_blocking=True) for column in self))


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches, one after the other, as one."""
    return Batch(*(torch.cat(columns) for columns in zip(*batches, strict=True)))


class Loader(Protocol):
    """What feeds the trainer. Every rank has the same number of steps, all of the same local size but the last."""

    batch: int  # b
    steps: int  # steps of an epoch
    dropped: int  # ratings of the training split left out of an epoch, over all ranks

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield this rank's batches of an epoch, from a step on; the order depends on seed and number alone."""
        ...

    def rows(self, split: str) -> Iterator[Batch]:
        """Yield this rank's share of a split in a fixed order; over all ranks each row comes exactly once."""
        ...


class ShardError(RuntimeError):
    """A shard is not what the manifest says: damaged, replaced or cut short."""


def check_shards(data: Path, shards: Sequence[DataFile], verify: bool) -> None:
    """Compare sizes and (if `verify`) digests of shards with the manifest.

    pyarrow 14 checks no page checksums, so flipped bits could pass for ratings.

    Raises:
        ShardError: naming the file, what was expected and what was found.

    """
    for shard in shards:
        file = data / shard.path
        remedy = "copy the prepared directory again, or run jobs/prepare.py again"
        if not file.is_file():
            raise ShardError(f"shard {file} is missing: {remedy}")
        size = file.stat().st_size
        if size != shard.bytes:
            raise ShardError(f"shard {file} has {size} bytes, the manifest says {shard.bytes}: {remedy}")
        if verify:
            with file.open("rb") as stream:
                digest = _sha256(stream)
            if digest != shard.sha256:
                raise ShardError(f"shard {file} has sha256 {digest}, the manifest says {shard.sha256}: {remedy}")


def _sha256(stream) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 22):
        digest.update(block)
    return digest.hexdigest()


def read_row_groups(data: Path, shards: Sequence[DataFile], seed: int | None) -> Iterator[Batch]:
    """Every row of the shards, a row group (that is, a shard) at a time.

    Args:
        data: the prepared directory.
        shards: what to read; one row group each.
        seed: order of the row groups; None: as listed.

    Raises:
        ShardError: fewer or more rows arrived than the manifest promises.

    """
    if not shards:
        return
    # petastorm does not unquote URLs, so the path goes in as it is.
    urls = [f"file://{(data / shard.path).resolve().as_posix()}" for shard in shards]
    expected, got = sum(shard.rows for shard in shards), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        # One worker thread: more are no faster, and the order then depends on luck.
        with make_batch_reader(
            urls,
            reader_pool_type="thread",
            workers_count=1,
            schema_fields=list(Batch._fields),
            shuffle_row_groups=seed is not None,
            seed=seed,
            num_epochs=1,
        ) as reader:
            for group in reader:
                got += len(group.rating)
                if got > expected:
                    break
                yield Batch(*(_tensor(getattr(group, name)) for name in Batch._fields))
    if got != expected:
        raise ShardError(f"{got} rows arrived from {len(shards)} shards of {data}, the manifest says {expected}")


def _tensor(column: np.ndarray) -> torch.Tensor:
    """A column without a copy; Arrow's memory is read-only, which torch would warn about, so it is copied."""
    return torch.from_numpy(column if column.flags.writeable else column.copy())


class ResidentLoader:
    """All ratings in (device) memory, 12 bytes each; the global order is the same for any number of ranks."""

    def __init__(self, data: Path, manifest: Manifest, world: World, batch_size: int, seed: int, verify: bool):
        self._data, self._manifest, self._world, self._seed = data, manifest, world, seed
        self._splits: dict[str, torch.Tensor] = {}
        self.batch = batch_size // world.size
        self._count = manifest.ratings.rows("train") // world.size  # a rank's rows of an epoch
        self.steps = -(-self._count // self.batch)
        self.dropped = manifest.ratings.rows("train") % world.size
        for shards in manifest.ratings.shards.values():  # now: a damaged test shard is no news for the end of a run
            check_shards(data, shards, verify)
        self._split("train")  # read now, so that no step waits for it

    def _split(self, name: str) -> torch.Tensor:
        """[N, 3] int32: user, item and the bits of the rating side by side, so that a row is one access."""
        if name not in self._splits:
            shards = self._manifest.ratings.shards[name]
            rows = torch.empty(sum(shard.rows for shard in shards), 3, dtype=torch.int32)
            low = 0
            for group in read_row_groups(self._data, shards, seed=None):
                for column, values in enumerate(group):
                    rows[low : low + len(group), column] = values.view(torch.int32)
                low += len(group)
            self._splits[name] = rows.to(self._world.device)
        return self._splits[name]

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield this rank's slice of every global batch of one permutation, drawn from the seed and the epoch."""
        ratings, device, size = self._split("train"), self._world.device, self._world.size
        generator = torch.Generator(device).manual_seed(self._seed * 1_000_003 + number)
        kind = torch.int32 if len(ratings) < 2**31 else torch.int64
        order = torch.randperm(len(ratings), generator=generator, device=device, dtype=kind)
        for step in range(first_step, self.steps):
            local = min(self.batch, self._count - step * self.batch)
            start = step * self.batch * size + self._world.rank * local
            yield unpacked(ratings.index_select(0, order[start : start + local]))

    def rows(self, split: str) -> Iterator[Batch]:
        """A contiguous share of the split, as one batch."""
        ratings, world = self._split(split), self._world
        low, high = (len(ratings) * r // world.size for r in (world.rank, world.rank + 1))
        yield unpacked(ratings[low:high])


def unpacked(rows: torch.Tensor) -> Batch:
    """[n, 3] int32 rows as columns, without a copy."""
    return Batch(rows[:, 0], rows[:, 1], rows[:, 2].view(torch.float32))


class StreamLoader:
    """Ratings streamed from the shards through a bounded buffer: memory stays flat, whatever their number."""

    def __init__(
        self, data: Path, manifest: Manifest, world: World, batch_size: int, seed: int, buffer: int, verify: bool
    ):
        self._data, self._manifest, self._world, self._seed, self._buffer = data, manifest, world, seed, buffer
        self.batch = batch_size // world.size
        counts = [sum(s.rows for s in self._shards("train", rank)) for rank in range(world.size)]
        self._count = min(counts)  # all ranks stop together
        self.steps = -(-self._count // self.batch)
        self.dropped = sum(counts) - self._count * world.size
        for split in manifest.ratings.shards:
            check_shards(data, self._shards(split, world.rank), verify)

    def _shards(self, split: str, rank: int) -> list[DataFile]:
        return list(self._manifest.ratings.shards[split][rank :: self._world.size])

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield this rank's shards in an order drawn from seed and epoch, shuffled over a buffer of rows."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        groups = read_row_groups(self._data, self._shards("train", self._world.rank), seed=self._seed + number)
        step, left = 0, self._count
        for block in _blocks(groups, max(self._buffer, self.batch), self.batch):
            block = block.take(torch.randperm(len(block), generator=generator))
            for start in range(0, min(len(block), left), self.batch):
                if step >= first_step:
                    yield block.take(slice(start, min(start + self.batch, left))).to(self._world.device)
                step += 1
            left -= min(len(block), left)
        assert step == self.steps

    def rows(self, split: str) -> Iterator[Batch]:
        """Yield this rank's shards of the split, a shard at a time."""
        for group in read_row_groups(self._data, self._shards(split, self._world.rank), seed=None):
            yield group.to(self._world.device)


def _blocks(groups: Iterator[Batch], size: int, multiple: int) -> Iterator[Batch]:
    """Cut row groups anew into blocks of about `size` rows, a multiple of `multiple` but for the last."""
    held: list[Batch] = []
    rows = 0
    for group in groups:
        held.append(group)
        rows += len(group)
        if rows >= size:
            block = joined(held)
            whole = rows - rows % multiple
            yield block.take(slice(0, whole))
            held, rows = [block.take(slice(whole, None))], rows - whole
    if rows:
        yield joined(held)


def make_loader(
    data: Path,
    manifest: Manifest,
    world: World,
    *,
    mode: str,
    resident_limit: int,
    batch_size: int,
    shuffle_buffer: int,
    seed: int,
    verify: bool,
) -> ResidentLoader | StreamLoader:
    """The loader that `mode` names; `auto` keeps up to `resident_limit` ratings in memory and streams more.

    Raises:
        ValueError: the global batch or the shards cannot be dealt equally to the ranks, or petastorm
            cannot read from a directory of that name.

    """
    if set("#?") & set(str(data.resolve())):
        raise ValueError(f"{data.resolve()}: petastorm reads no path with # or ? in it: rename the directory")
    if batch_size % world.size:
        raise ValueError(f"batch_size {batch_size} is not a multiple of the {world.size} ranks: choose one that is")
    rows = manifest.ratings.rows("train")
    if rows < world.size:
        raise ValueError(f"{rows} training ratings for {world.size} ranks: start fewer ranks")
    if mode == "resident" or (mode == "auto" and rows <= resident_limit):
        return ResidentLoader(data, manifest, world, batch_size, seed, verify)
    shards = len(manifest.ratings.shards["train"])
    if shards % world.size:
        raise ValueError(
            f"{shards} training shards cannot be dealt equally to {world.size} ranks: "
            f"prepare with --ranks {world.size}, or use loader.mode = resident"
        )
    return StreamLoader(data, manifest, world, batch_size, seed, shuffle_buffer, verify)
