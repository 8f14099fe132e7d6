"""The loaders that feed whole histories. They read the training ratings from `by_user/` alone.

A step takes whole users. An epoch, or the part of it that comes from one file, is cut into steps that differ by the
ratings of a user: no step is much smaller than the others, and none is missing where one user has many ratings.

Legend: u users with training ratings, or with ratings in a file; v of them in a batch.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import torch

from widedeep.config.train import LoaderConfig
from widedeep.data.batches import Batch, unpack_columns
from widedeep.data.histories import UserHistories, group_ratings
from widedeep.data.prefetch import prefetch
from widedeep.data.rating_sources import FilesOfSplits, ResidentRatings, StreamedRatings
from widedeep.parallel.world import World
from widedeep.schema.manifest import Manifest


class ResidentHistoryLoader:
    """All ratings in (device) memory, 12 bytes each. The global batches are the same for any number of ranks."""

    dropped = 0

    def __init__(self, data: Path, manifest: Manifest, world: World, config: LoaderConfig, batch_size: int, seed: int):
        self._source = ResidentRatings(data, _files_by_user(manifest), world, config)
        self._world, self._seed = world, seed
        self.scale = manifest.ratings.scale
        self.local_batch_size = batch_size // world.size
        self._source.put_users_together("train")  # reads them now, so that no step waits for it
        self._packed = self._source.packed("train")
        self._histories = group_ratings(unpack_columns(self._packed))
        self._start = self._histories.start.cpu().numpy()  # [u + 1]
        self.steps = -(-len(self._packed) // batch_size)

    def epoch(self, number: int, first_step: int = 0) -> Generator[UserHistories, None, None]:
        """Yield this rank's users of each global batch: every `size`-th of them."""
        world, count = self._world, np.diff(self._start)
        generator = np.random.default_rng(self._seed * 1_000_003 + number)
        for users in _random_steps(count, self.steps, generator)[first_step:]:
            local = users[world.rank :: world.size]
            index = torch.from_numpy(local).to(world.device)
            yield self._histories.select(index, ratings=int(count[local].sum()))

    def histories(self) -> Iterator[UserHistories]:
        """Yield this rank's contiguous part of the histories, all at once."""
        world, users = self._world, len(self._histories)
        low, high = (self._start[users * rank // world.size] for rank in (world.rank, world.rank + 1))
        yield group_ratings(unpack_columns(self._packed[low:high]))

    def batches(self, split: str) -> Iterator[Batch]:
        """Yield this rank's contiguous part of a split, some millions of ratings per batch."""
        return self._source.batches(split)


class StreamingHistoryLoader:
    """Histories streamed from the files of `by_user/`, a file at a time: memory does not grow with the data."""

    dropped = 0

    def __init__(self, data: Path, manifest: Manifest, world: World, config: LoaderConfig, batch_size: int, seed: int):
        self._source = StreamedRatings(data, _files_by_user(manifest), world, config)
        self._world, self._seed = world, seed
        self.scale = manifest.ratings.scale
        self.local_batch_size = batch_size // world.size
        # A rank with fewer steps than another ends with empty batches, so that no rating is left out.
        self.steps = max(sum(map(self._steps_of_file, rows)) for rows in self._source.rows("train"))

    def _steps_of_file(self, ratings: int) -> int:
        return -(-ratings // self.local_batch_size)

    def epoch(self, number: int, first_step: int = 0) -> Generator[UserHistories, None, None]:
        """Yield the users of this rank's files; the files come in a random order, and so do the users of each."""
        generator, step = np.random.default_rng(self._seed * 1_000_003 + number), 0
        for packed in prefetch(self._source.row_groups("train", seed=self._seed + number)):
            histories = group_ratings(unpack_columns(torch.from_numpy(packed)))
            count = histories.start.diff().numpy()
            histories = histories.to(self._world.device)
            for users in _random_steps(count, self._steps_of_file(len(packed)), generator):
                if step >= first_step:
                    index = torch.from_numpy(users).to(self._world.device)
                    yield histories.select(index, ratings=int(count[users].sum()))
                step += 1
        for _ in range(max(step, first_step), self.steps):
            yield self._group(np.empty((0, len(Batch._fields)), np.int32))

    def _group(self, packed: np.ndarray) -> UserHistories:
        return group_ratings(unpack_columns(torch.from_numpy(packed))).to(self._world.device)

    def histories(self) -> Iterator[UserHistories]:
        """Yield the histories of this rank's files, one file at a time."""
        return map(self._group, self._source.row_groups("train", seed=None))

    def batches(self, split: str) -> Iterator[Batch]:
        """Yield this rank's files of a split, one file per batch."""
        return self._source.batches(split)


def _files_by_user(manifest: Manifest) -> FilesOfSplits:
    """Return the files of all splits: those of `by_user/` for train."""
    return {**manifest.ratings.shards, "train": manifest.ratings.by_user}


def _random_steps(count: np.ndarray, steps: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Put users in a random order and cut it into steps: step k of K begins after k / K of all ratings.

    Args:
        count: [u] ratings of each user.
        steps: K.
        generator: draws the order.

    Returns:
        `steps` arrays [v] int64 of rows of `count`, empty where a user's ratings fill more than a step.

    """
    order = generator.permutation(len(count))
    before = np.cumsum(count[order]) - count[order]  # [u] ratings of the users that come before
    return np.split(order, np.searchsorted(before * steps, np.arange(1, steps) * count.sum()))
