"""The loader that streams ratings from the shards."""

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import torch

from widedeep.common.errors import DamagedFileError
from widedeep.config.train import LoaderConfig
from widedeep.data.batches import Batch, unpack_columns
from widedeep.data.prefetch import prefetch
from widedeep.data.rating_sources import StreamedRatings
from widedeep.parallel.world import World
from widedeep.schema.manifest import Manifest


class StreamingLoader:
    """Ratings streamed from the shards through a bounded shuffle buffer: memory does not grow with the data."""

    def __init__(self, data: Path, manifest: Manifest, world: World, config: LoaderConfig, batch_size: int, seed: int):
        self._source = StreamedRatings(data, manifest.ratings.shards, world, config)
        self._world, self._seed = world, seed
        self.scale = manifest.ratings.scale
        self.local_batch_size = batch_size // world.size
        self._block_size = max(config.shuffle_buffer, self.local_batch_size)
        counts = [sum(rows) for rows in self._source.rows("train")]
        self._local_ratings = min(counts)  # of an epoch, so that all ranks stop together
        self.steps = -(-self._local_ratings // self.local_batch_size)
        self.dropped = sum(counts) - self._local_ratings * world.size

    def epoch(self, number: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """Yield batches of this rank's shards, read in a random order and shuffled within the buffer."""
        step, left, size = 0, self._local_ratings, self.local_batch_size
        for block in prefetch(self._shuffled_blocks(number)):
            for start in range(0, min(len(block), left), size):
                if step >= first_step:
                    batch = torch.from_numpy(block[start : min(start + size, left)])
                    yield unpack_columns(batch.to(self._world.device))
                step += 1
            left -= min(len(block), left)
        if step != self.steps:
            raise DamagedFileError(f"{step} batches came from the shards of train, not {self.steps}: prepare again")

    def _shuffled_blocks(self, number: int) -> Generator[np.ndarray, None, None]:
        """Yield this rank's ratings in blocks, each shuffled by itself."""
        generator = np.random.default_rng(self._seed * 1_000_003 + number)
        groups = self._source.row_groups("train", seed=self._seed + number)
        for block in _blocks(groups, self._block_size, self.local_batch_size):
            yield block[generator.permutation(len(block))]

    def batches(self, split: str) -> Iterator[Batch]:
        """Yield this rank's shards of a split, one shard per batch."""
        return self._source.batches(split)


def _blocks(groups: Iterator[np.ndarray], size: int, multiple: int) -> Iterator[np.ndarray]:
    """Regroup row groups into blocks of at least `size` rows, each a multiple of `multiple`; the last may be short."""
    buffered: list[np.ndarray] = []
    rows = 0
    for group in groups:
        buffered.append(group)
        rows += len(group)
        if rows >= size:
            block = np.concatenate(buffered)
            cut = rows - rows % multiple
            yield block[:cut]
            buffered, rows = [block[cut:]], rows - cut
    if rows:
        yield np.concatenate(buffered)
