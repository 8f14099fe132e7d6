"""The ratings of all splits as arrays, and the matrices that baselines work on.

Legend: U users, I items, N ratings of a split. Rows and columns are user and item indices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
import torch

from widedeep.data.batches import Batch, unpack_columns
from widedeep.data.pyarrow_reader import read_shards
from widedeep.data.shards import check_files, read_packed
from widedeep.schema.manifest import SPLITS, Manifest
from widedeep.schema.rating_scale import RatingScale

# Preference of a rating: 1 one step below `liked`, changing by PER_STEP, clipped to LEAST and MOST.
PER_STEP, LEAST, MOST = 0.25, 0.1, 2.0

A = TypeVar("A", np.ndarray, torch.Tensor)


@dataclass(frozen=True)
class Splits:
    """Ratings by split; a RatingSource, as loaders are."""

    users: int
    items: int
    mean: float  # of the training ratings
    parts: dict[str, Batch]
    scale: RatingScale

    def batches(self, split: str) -> Iterator[Batch]:
        """Yield the split as one batch."""
        yield self.parts[split]

    def pairs(self, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the columns of a split: user [N] int32, item [N] int32 and rating [N] float32."""
        user, item, rating = (column.numpy() for column in self.parts[split])
        return user, item, rating

    def matrix(self, split: str, values: np.ndarray | None = None, least: float = -np.inf) -> sp.csr_matrix:
        """Return a split as a sparse matrix.

        Args:
            split: its name.
            values: [N] the entry for each rating; None: 1.
            least: ratings below this are left out.

        Returns:
            [U, I] float32 with sorted column indices.

        """
        user, item, rating = self.pairs(split)
        content = np.ones(len(user), np.float32) if values is None else values.astype(np.float32)
        keep = rating >= least
        matrix = sp.csr_matrix((content[keep], (user[keep], item[keep])), shape=(self.users, self.items))
        matrix.sort_indices()
        return matrix

    @cached_property
    def history(self) -> sp.csr_matrix:
        """1 for each training rating, [U, I]."""
        return self.matrix("train")

    @cached_property
    def weighted_history(self) -> sp.csr_matrix:
        """The `preference` of each training rating, [U, I]."""
        return self.matrix("train", preference(self.pairs("train")[2], self.scale))

    def past(self, weighted: bool) -> sp.csr_matrix:
        """Return the weighted or the plain history."""
        return self.weighted_history if weighted else self.history

    @cached_property
    def rated(self) -> np.ndarray:
        """Item indices with training ratings, ascending; dense matrices have only these."""
        return np.flatnonzero(np.bincount(self.pairs("train")[1], minlength=self.items))

    def widen(self, scores: np.ndarray) -> np.ndarray:
        """Expand scores of the rated items to all items: [n, rated] -> [n, I] float32, -inf for unrated items."""
        wide = np.full((len(scores), self.items), -np.inf, np.float32)
        wide[:, self.rated] = scores
        return wide


def preference(rating: A, scale: RatingScale) -> A:
    """Return the weights of ratings in a user's history: 1 one step below `liked`, more for better ratings."""
    return (1 + (rating - (scale.liked - scale.step)) * (PER_STEP / scale.step)).clip(LEAST, MOST)


def load_splits(data: Path, manifest: Manifest) -> Splits:
    """Read all ratings of a local prepared directory into memory, 12 bytes each.

    Raises:
        DamagedFileError: a shard differs from the manifest.

    """
    parts = {}
    for split in SPLITS:
        shards = manifest.ratings.shards[split]
        check_files(data, shards, verify=True)
        packed = torch.from_numpy(read_packed(read_shards, data, shards))
        parts[split] = Batch(*(column.contiguous() for column in unpack_columns(packed)))
    ratings = manifest.ratings
    return Splits(manifest.users.rows, manifest.items.rows, ratings.train_mean, parts, ratings.scale)
