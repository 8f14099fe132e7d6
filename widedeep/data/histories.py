"""The histories of users, each of its own length.

Legend: u users, n ratings of all of them together, v users of a selection.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from widedeep.config.fields import ReaderName
from widedeep.data.batches import Batch, RatingSource, unpack_columns
from widedeep.data.readers import reader_named
from widedeep.data.shards import check_files, read_packed
from widedeep.schema.manifest import Manifest


def starts_of(count: torch.Tensor) -> torch.Tensor:
    """Return where each of several runs begins, and where the last one ends: lengths [u] -> [u + 1]."""
    return torch.cat([count.new_zeros(1), count.cumsum(0)])


def owners_of(start: torch.Tensor, total: int) -> torch.Tensor:
    """Return the run that each of `total` elements is in: what `starts_of` returned [u + 1] -> [total] int64."""
    return torch.repeat_interleave(start.diff(), output_size=total)


class UserHistories(NamedTuple):
    """Whole histories, one after another; user j rated `item[start[j] : start[j + 1]]`."""

    user: torch.Tensor  # [u] int32, user index
    start: torch.Tensor  # [u + 1] int64, from 0 to n
    item: torch.Tensor  # [n] int32, item index
    rating: torch.Tensor  # [n] float32

    def __len__(self) -> int:
        return len(self.user)

    def select(self, index: torch.Tensor, ratings: int | None = None) -> "UserHistories":
        """Return the histories of some of the users, in the order of `index`.

        Args:
            index: [v] rows of `user`, int32 or int64.
            ratings: number of all their ratings, if the caller knows it: a GPU then need not be waited for.

        """
        first = self.start[index]
        count = self.start[index + 1] - first
        start = starts_of(count)  # [v + 1]
        total = int(start[-1]) if ratings is None else ratings
        moved = torch.repeat_interleave(first - start[:-1], count, output_size=total)  # [n], how far a rating moves
        row = moved + torch.arange(total, device=moved.device)
        return UserHistories(self.user[index], start, self.item[row], self.rating[row])

    def owner(self) -> torch.Tensor:
        """Return the row of `user` that each rating belongs to, [n] int64."""
        return owners_of(self.start, len(self.item))

    def part(self, chosen: torch.Tensor) -> "UserHistories":
        """Return the same users with some of their ratings: [n] bool."""
        count = torch.bincount(self.owner()[chosen], minlength=len(self))
        return UserHistories(self.user, starts_of(count), self.item[chosen], self.rating[chosen])

    def to(self, device: torch.device) -> "UserHistories":
        """Return the same histories on a device."""
        return UserHistories(*(column.to(device) for column in self))


class HistoryLoader(RatingSource, Protocol):
    """Batches of whole histories for training. All ranks run the same number of steps; a batch may have no users."""

    local_batch_size: int  # ratings of a batch on one rank, on average at most
    steps: int  # steps of an epoch
    dropped: int  # training ratings that an epoch leaves out, summed over ranks

    def epoch(self, number: int, first_step: int = 0) -> Generator[UserHistories, None, None]:
        """Yield this rank's batches of an epoch from `first_step` on; seed and epoch number determine the order."""
        ...

    def histories(self) -> Iterator[UserHistories]:
        """Yield this rank's part of all histories in a fixed order; each history is in the part of one rank."""
        ...


def group_ratings(ratings: Batch) -> UserHistories:
    """View ratings that are grouped by user as histories; items and ratings are not copied."""
    user = ratings.user.cpu().numpy()
    first = np.ones(len(user) + 1, bool)  # whether a row is the first of a user, and True after the last row
    first[1:-1] = user[1:] != user[:-1]
    start = torch.from_numpy(np.flatnonzero(first)).to(ratings.user.device)
    return UserHistories(ratings.user[start[:-1]], start, ratings.item, ratings.rating)


def load_histories(data: Path, manifest: Manifest, reader: ReaderName) -> UserHistories:
    """Read the histories of all users with training ratings into memory, ordered by user index.

    Args:
        data: the prepared directory.
        manifest: its manifest.
        reader: library that reads the files.

    Raises:
        DamagedFileError: a file differs from the manifest.
        InputError: the library is missing, or its release is not supported.

    """
    files = manifest.ratings.by_user
    check_files(data, files, verify=True)
    packed = torch.from_numpy(read_packed(reader_named(reader), data, files))
    histories = group_ratings(unpack_columns(packed))
    return histories.select(histories.user.argsort())
