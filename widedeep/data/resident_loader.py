"""The loader that keeps all ratings in memory.

Legend: N training ratings.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from widedeep.config.train import LoaderConfig
from widedeep.data.batches import Batch, unpack_columns
from widedeep.data.rating_sources import ResidentRatings
from widedeep.parallel.world import World
from widedeep.schema.manifest import Manifest


class ResidentLoader:
    """All ratings in (device) memory, 12 bytes each. The global batches are the same for any number of ranks."""

    def __init__(self, data: Path, manifest: Manifest, world: World, config: LoaderConfig, batch_size: int, seed: int):
        self._world, self._seed = world, seed
        self._ratings = ratings = manifest.ratings.rows("train")
        self.scale = manifest.ratings.scale
        self.local_batch_size = batch_size // world.size
        self._local_ratings = ratings // world.size  # of an epoch
        self.steps = -(-self._local_ratings // self.local_batch_size)
        self.dropped = ratings % world.size
        self._thread = ThreadPoolExecutor(1)
        # Epoch -> its permutation. The first one is drawn while the shards are read.
        self._permutations = {0: self._thread.submit(self._permutation, 0)}
        self._source = ResidentRatings(data, manifest.ratings.shards, world, config)
        self._source.packed("train")  # read now, so that no step waits for it

    def _permutation(self, number: int) -> torch.Tensor:
        """Draw the permutation of an epoch, [N]."""
        count, device = self._ratings, self._world.device
        seed = self._seed * 1_000_003 + number
        if device.type == "cuda":  # takes milliseconds there
            return torch.randperm(count, generator=torch.Generator(device).manual_seed(seed), device=device)
        # NumPy, because torch would start a second OpenMP team in this thread. The threads of the first team then
        # sleep whenever they wait for each other, which costs a third of the training speed.
        order = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)
        np.random.default_rng(seed).shuffle(order)
        return torch.from_numpy(order)

    def epoch(self, number: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """Yield this rank's slice of each global batch; seed and epoch number determine the permutation."""
        ratings, world, size = self._source.packed("train"), self._world, self.local_batch_size
        order = (self._permutations.pop(number, None) or self._thread.submit(self._permutation, number)).result()
        # Drawing takes a second per 15 M ratings: draw the next epoch's permutation during this one.
        self._permutations = {number + 1: self._thread.submit(self._permutation, number + 1)}
        for step in range(first_step, self.steps):
            local = min(size, self._local_ratings - step * size)
            start = step * size * world.size + world.rank * local
            yield unpack_columns(ratings.index_select(0, order[start : start + local]))

    def batches(self, split: str) -> Iterator[Batch]:
        """Yield this rank's contiguous part of a split, some millions of ratings per batch."""
        return self._source.batches(split)
