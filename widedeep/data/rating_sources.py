"""The ratings of all splits, in memory or streamed from their files.

Legend: N ratings of a split, n of a file.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from widedeep.config.train import LoaderConfig
from widedeep.data.batches import Batch, unpack_columns
from widedeep.data.readers import reader_named
from widedeep.data.shards import check_files, read_packed, read_row_groups
from widedeep.parallel.world import World
from widedeep.schema.manifest import DataFile

# Of a batch for statistics and metrics: what is computed of it stays small beside all ratings, the passes over it few.
RATINGS_AT_ONCE = 1 << 22
FilesOfSplits = Mapping[str, Sequence[DataFile]]


class ResidentRatings:
    """Ratings in (device) memory, 12 bytes each; a split is read when it is first asked for."""

    def __init__(self, data: Path, files: FilesOfSplits, world: World, config: LoaderConfig):
        self._read = reader_named(config.reader)
        self._data, self._files, self._world = data, files, world
        self._splits: dict[str, torch.Tensor] = {}
        # All splits are checked now: a damaged test shard must not end a run after the last epoch.
        for of_split in files.values():
            check_files(data, of_split, config.verify)

    def packed(self, split: str) -> torch.Tensor:
        """Return the packed ratings of a split in the order of its files, [N, 3] int32."""
        if split not in self._splits:
            check_files(self._data, self._files[split], verify=False)  # nobody has put others in their place since
            packed = torch.from_numpy(read_packed(self._read, self._data, self._files[split]))
            self._splits[split] = packed.to(self._world.device)
        return self._splits[split]

    def put_users_together(self, split: str) -> None:
        """Order the ratings of a split by user, unless each user's ratings stand together already."""
        packed = self.packed(split)
        users = packed[:, 0].unique_consecutive()
        if len(users) > len(users.unique()):
            self._splits[split] = packed[packed[:, 0].argsort(stable=True)]

    def batches(self, split: str) -> Iterator[Batch]:
        """Yield this rank's contiguous part of a split, RATINGS_AT_ONCE per batch."""
        ratings, world = self.packed(split), self._world
        low, high = (len(ratings) * rank // world.size for rank in (world.rank, world.rank + 1))
        yield from map(unpack_columns, ratings[low:high].split(RATINGS_AT_ONCE))


class StreamedRatings:
    """Ratings read from the files that are dealt to this rank, one file at a time."""

    def __init__(self, data: Path, files: FilesOfSplits, world: World, config: LoaderConfig):
        self._read = reader_named(config.reader)
        self._data, self._files, self._world = data, files, world
        for split in files:
            check_files(data, self._dealt(split)[world.rank], config.verify)

    def _dealt(self, split: str) -> list[Sequence[DataFile]]:
        """The files of each rank."""
        return [self._files[split][rank :: self._world.size] for rank in range(self._world.size)]

    def rows(self, split: str) -> list[list[int]]:
        """Return the number of ratings in each file of each rank."""
        return [[file.rows for file in files] for files in self._dealt(split)]

    def row_groups(self, split: str, seed: int | None) -> Generator[np.ndarray, None, None]:
        """Yield the packed ratings of this rank's files, [n, 3] int32; see `read_row_groups`.

        Raises:
            DamagedFileError: a file has another size than at the start: the directory was prepared anew meanwhile.

        """
        dealt = self._dealt(split)[self._world.rank]
        check_files(self._data, dealt, verify=False)
        yield from read_row_groups(self._read, self._data, dealt, seed)

    def batches(self, split: str) -> Iterator[Batch]:
        """Yield this rank's files of a split, one file per batch."""
        for group in self.row_groups(split, seed=None):
            yield unpack_columns(torch.from_numpy(group).to(self._world.device))
