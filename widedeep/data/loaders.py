"""Ratings from the prepared shards as tensors.

Legend: N ratings of a split, R ranks, B ratings of a global batch, b = B / R of a rank's.
"""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch

from widedeep.common.errors import DamagedFileError
from widedeep.config.fields import ReaderName
from widedeep.data.readers import ReadShards, reader_named
from widedeep.parallel.world import World
from widedeep.schema.manifest import DataFile, Manifest

T = TypeVar("T")


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


def unpacked(rows: torch.Tensor) -> Batch:
    """[n, 3] int32 rows (see `read_row_groups`) as columns, without a copy."""
    return Batch(rows[:, 0], rows[:, 1], rows[:, 2].view(torch.float32))


class Rows(Protocol):
    """Ratings that can be read split by split."""

    def rows(self, split: str) -> Iterator[Batch]:
        """Yield this rank's share of a split in a fixed order; over all ranks each row comes exactly once."""
        ...


class Loader(Rows, Protocol):
    """What feeds the trainer. Every rank has the same number of steps, all of the same local size but the last."""

    batch: int  # b
    steps: int  # steps of an epoch
    dropped: int  # ratings of the training split left out of an epoch, over all ranks
    lowest: int  # low end of the ratings' scale

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield this rank's batches of an epoch, from a step on; the order depends on seed and number alone."""
        ...


def check_shards(data: Path, shards: Sequence[DataFile], verify: bool) -> None:
    """Compare sizes and (if `verify`) digests of shards with the manifest.

    Reading verifies the checksums of pages whatever `verify` is; a digest also covers what is between the pages.

    Raises:
        DamagedFileError: naming the file, what was expected and what was found.

    """
    for shard in shards:
        file = data / shard.path
        remedy = "copy the prepared directory again, or run jobs/prepare.py again"
        if not file.is_file():
            raise DamagedFileError(f"shard {file} is missing: {remedy}")
        size = file.stat().st_size
        if size != shard.bytes:
            raise DamagedFileError(f"shard {file} has {size} bytes, the manifest says {shard.bytes}: {remedy}")
        if verify:
            with file.open("rb") as stream:
                digest = _sha256(stream)
            if digest != shard.sha256:
                raise DamagedFileError(f"shard {file} has sha256 {digest}, the manifest says {shard.sha256}: {remedy}")


def _sha256(stream) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 22):
        digest.update(block)
    return digest.hexdigest()


def read_row_groups(
    read_shards: ReadShards, data: Path, shards: Sequence[DataFile], seed: int | None
) -> Iterator[np.ndarray]:
    """Every row of the shards, a row group (that is, a shard) at a time.

    Args:
        read_shards: what reads them, from `reader_named`.
        data: the prepared directory.
        shards: what to read; one row group each.
        seed: order of the row groups; None: as listed.

    Yields:
        [n, 3] int32: user, item and the bits of the rating side by side, so that a row is one access to memory.

    Raises:
        DamagedFileError: a shard cannot be read, or fewer or more rows arrived than the manifest promises.

    """
    if not shards:
        return
    expected, got = sum(shard.rows for shard in shards), 0
    for columns in read_shards([data / shard.path for shard in shards], Batch._fields, seed):
        got += len(columns[0])
        if got > expected:
            break
        yield _packed(columns)
    if got != expected:
        raise DamagedFileError(f"{got} rows arrived from {len(shards)} shards of {data}, the manifest says {expected}")


def _packed(columns: Sequence[np.ndarray]) -> np.ndarray:
    rows = np.empty((len(columns[0]), len(columns)), np.int32)
    for place, column in enumerate(columns):
        rows[:, place] = column.view(np.int32)
    return rows


class ResidentLoader:
    """All ratings in (device) memory, 12 bytes each; the global order is the same for any number of ranks."""

    def __init__(
        self,
        read_shards: ReadShards,
        data: Path,
        manifest: Manifest,
        world: World,
        batch_size: int,
        seed: int,
        verify: bool,
    ):
        self._read, self._data, self._manifest, self._world, self._seed = read_shards, data, manifest, world, seed
        self._splits: dict[str, torch.Tensor] = {}
        self.lowest = manifest.ratings.lowest
        self.batch = batch_size // world.size
        self._count = manifest.ratings.rows("train") // world.size  # a rank's rows of an epoch
        self.steps = -(-self._count // self.batch)
        self.dropped = manifest.ratings.rows("train") % world.size
        self._thread = ThreadPoolExecutor(1)
        self._next = {0: self._thread.submit(self._drawn, 0)}  # epoch -> its permutation, while the shards are read
        for shards in manifest.ratings.shards.values():  # now: a damaged test shard is no news for the end of a run
            check_shards(data, shards, verify)
        self._split("train")  # read now, so that no step waits for it

    def _split(self, name: str) -> torch.Tensor:
        """[N, 3] int32, rows as `read_row_groups` packs them."""
        if name not in self._splits:
            shards = self._manifest.ratings.shards[name]
            rows = torch.empty(sum(shard.rows for shard in shards), 3, dtype=torch.int32)
            low = 0
            for group in read_row_groups(self._read, self._data, shards, seed=None):
                rows[low : low + len(group)] = torch.from_numpy(group)
                low += len(group)
            self._splits[name] = rows.to(self._world.device)
        return self._splits[name]

    def _drawn(self, number: int) -> torch.Tensor:
        """[N], the permutation of an epoch."""
        count, device = self._manifest.ratings.rows("train"), self._world.device
        seed = self._seed * 1_000_003 + number
        if device.type == "cuda":  # milliseconds there
            return torch.randperm(count, generator=torch.Generator(device).manual_seed(seed), device=device)
        # NumPy, as all that runs beside the training: torch would start a second team of OpenMP threads, and then
        # those of the first go to sleep whenever they wait for each other, which takes a third of the speed.
        order = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)
        np.random.default_rng(seed).shuffle(order)
        return torch.from_numpy(order)

    def epoch(self, number: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield this rank's slice of every global batch of one permutation, drawn from the seed and the epoch."""
        ratings, size = self._split("train"), self._world.size
        order = (self._next.pop(number, None) or self._thread.submit(self._drawn, number)).result()
        # Drawing takes a second for every 15 M ratings: the next epoch's is ready when it begins.
        self._next = {number + 1: self._thread.submit(self._drawn, number + 1)}
        for step in range(first_step, self.steps):
            local = min(self.batch, self._count - step * self.batch)
            start = step * self.batch * size + self._world.rank * local
            yield unpacked(ratings.index_select(0, order[start : start + local]))

    def rows(self, split: str) -> Iterator[Batch]:
        """A contiguous share of the split, as one batch."""
        ratings, world = self._split(split), self._world
        low, high = (len(ratings) * r // world.size for r in (world.rank, world.rank + 1))
        yield unpacked(ratings[low:high])


class StreamLoader:
    """Ratings streamed from the shards through a bounded buffer: memory stays flat, whatever their number."""

    def __init__(
        self,
        read_shards: ReadShards,
        data: Path,
        manifest: Manifest,
        world: World,
        batch_size: int,
        seed: int,
        buffer: int,
        verify: bool,
    ):
        self._read, self._data, self._manifest, self._world = read_shards, data, manifest, world
        self._seed, self._buffer = seed, buffer
        self.lowest = manifest.ratings.lowest
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
        step, left = 0, self._count
        for block in ahead(self._shuffled(number)):
            for start in range(0, min(len(block), left), self.batch):
                if step >= first_step:
                    batch = torch.from_numpy(block[start : min(start + self.batch, left)])
                    yield unpacked(batch.to(self._world.device))
                step += 1
            left -= min(len(block), left)
        assert step == self.steps

    def _shuffled(self, number: int) -> Generator[np.ndarray, None, None]:
        """Blocks of this rank's rows, each in an order of its own."""
        generator = np.random.default_rng(self._seed * 1_000_003 + number)
        groups = read_row_groups(
            self._read, self._data, self._shards("train", self._world.rank), seed=self._seed + number
        )
        for block in _blocks(groups, max(self._buffer, self.batch), self.batch):
            yield block[generator.permutation(len(block))]

    def rows(self, split: str) -> Iterator[Batch]:
        """Yield this rank's shards of the split, a shard at a time."""
        for group in read_row_groups(self._read, self._data, self._shards(split, self._world.rank), seed=None):
            yield unpacked(torch.from_numpy(group).to(self._world.device))


def _blocks(groups: Iterator[np.ndarray], size: int, multiple: int) -> Iterator[np.ndarray]:
    """Cut row groups anew into blocks of about `size` rows, a multiple of `multiple` but for the last."""
    held: list[np.ndarray] = []
    rows = 0
    for group in groups:
        held.append(group)
        rows += len(group)
        if rows >= size:
            block = np.concatenate(held)
            whole = rows - rows % multiple
            yield block[:whole]
            held, rows = [block[whole:]], rows - whole
    if rows:
        yield np.concatenate(held)


def ahead(items: Generator[T, None, None]) -> Iterator[T]:
    """The items, each worked out in a thread while the one before is in use."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        try:
            while (item := coming.result()) is not None:
                coming = thread.submit(next, items, None)
                yield item
        finally:
            coming.exception()  # a generator at work cannot be closed
            items.close()


def make_loader(
    data: Path,
    manifest: Manifest,
    world: World,
    *,
    reader: ReaderName,
    mode: str,
    resident_limit: int,
    batch_size: int,
    shuffle_buffer: int,
    seed: int,
    verify: bool,
) -> ResidentLoader | StreamLoader:
    """The loader that `mode` names; `auto` keeps up to `resident_limit` ratings in memory and streams more.

    Raises:
        ValueError: the global batch or the shards cannot be dealt equally to the ranks.
        InputError: the library of `reader` is missing or of a release that does not work.

    """
    if batch_size % world.size:
        raise ValueError(f"batch_size {batch_size} is not a multiple of the {world.size} ranks: choose one that is")
    read_shards = reader_named(reader)
    rows = manifest.ratings.rows("train")
    if rows < world.size:
        raise ValueError(f"{rows} training ratings for {world.size} ranks: start fewer ranks")
    if mode == "resident" or (mode == "auto" and rows <= resident_limit):
        return ResidentLoader(read_shards, data, manifest, world, batch_size, seed, verify)
    shards = len(manifest.ratings.shards["train"])
    if shards % world.size:
        raise ValueError(
            f"{shards} training shards cannot be dealt equally to {world.size} ranks: "
            f"prepare with --ranks {world.size}, or use loader.mode = resident"
        )
    return StreamLoader(read_shards, data, manifest, world, batch_size, seed, shuffle_buffer, verify)
