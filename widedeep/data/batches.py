"""Batches of ratings, and what the classes that yield them have in common.

Legend: n ratings of a batch, R ranks.
"""

from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol

import torch

from widedeep.schema.rating_scale import RatingScale


class Batch(NamedTuple):
    """Ratings in columns: one tensor per column, all of the same length."""

    user: torch.Tensor  # [n] int32, user index
    item: torch.Tensor  # [n] int32, item index
    rating: torch.Tensor  # [n] float32

    def __len__(self) -> int:
        return len(self.rating)

    def take(self, index: torch.Tensor | slice) -> "Batch":
        """Select some of the ratings, in the order of `index`."""
        return Batch(self.user[index], self.item[index], self.rating[index])


def unpack_columns(packed: torch.Tensor) -> Batch:
    """View packed ratings as columns, without a copy: [n, 3] int32, as `shards.pack_columns` gives them."""
    return Batch(packed[:, 0], packed[:, 1], packed[:, 2].view(torch.float32))


class RatingSource(Protocol):
    """Ratings that can be read split by split."""

    @property
    def scale(self) -> RatingScale:
        """The scale of the ratings."""
        ...

    def batches(self, split: str) -> Iterator[Batch]:
        """Yield this rank's part of a split in a fixed order; the parts of all ranks make up the split."""
        ...


class Loader(RatingSource, Protocol):
    """Batches for training. All ranks run the same number of steps; every batch but the last is full."""

    local_batch_size: int  # ratings of a batch on one rank
    steps: int  # steps of an epoch
    dropped: int  # training ratings that an epoch leaves out, summed over ranks

    def epoch(self, number: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """Yield this rank's batches of an epoch from `first_step` on; seed and epoch number determine the order."""
        ...
