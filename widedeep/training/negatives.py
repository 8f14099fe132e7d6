"""Negatives: items drawn at random, which a ranking loss takes for items that the user does not prefer.

Legend: I items, b ratings of this rank's batch, S negatives beside each.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from widedeep.config.train import RankingConfig
from widedeep.parallel.world import World


class Negatives(NamedTuple):
    """The negatives of a batch."""

    item: Tensor  # [b, S] int32
    log_q: Tensor  # [b, 1 + S] float32, log probability that one draw gives the rated item, then each negative


class NegativeSampler:
    """Draws items with training ratings in proportion to a power of the number of their ratings.

    Items that the user has rated are drawn, too. The sampled softmax wants it so. In BPR the rated item as its own
    negative has no gradient; the user's other items are few, and every rank would need all histories to leave them out.
    """

    def __init__(self, item_ratings: np.ndarray, config: RankingConfig, seed: int, world: World):
        """Prepare drawing.

        Args:
            item_ratings: [I] number of training ratings of each item.
            config: how many negatives, and how they are drawn.
            seed: what is drawn depends on it, on the step and on the rank, so resuming draws the same again.
            world: this rank and its device.

        """
        self._config, self._seed, self._world = config, seed, world
        weights = np.where(item_ratings > 0, np.maximum(item_ratings, 1.0) ** config.popularity, 0.0)
        # float64, because float32 could not tell millions of items apart. The last entry is 1, above any number drawn.
        cumulative = np.cumsum(weights)
        self._cumulative = torch.from_numpy(cumulative / cumulative[-1]).to(world.device)  # [I]
        with np.errstate(divide="ignore"):
            log_share = np.log(weights / weights.sum()).astype(np.float32)
        self._log_share = torch.from_numpy(log_share).to(world.device)  # [I]
        self._generator = torch.Generator(world.device)

    def draw(self, item: Tensor, step: int) -> Negatives:
        """Draw the negatives of a batch: [b] int32 rated items, at a step counted over all epochs."""
        seeds = np.random.SeedSequence([self._seed, step, self._world.rank])
        self._generator.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        shape = len(item), self._config.negatives
        uniform = torch.rand(shape, generator=self._generator, dtype=torch.float64, device=item.device)
        drawn = torch.searchsorted(self._cumulative, uniform, right=True, out_int32=True)
        return Negatives(drawn, self._log_share[torch.cat([item[:, None], drawn], dim=1)])
