"""The feature tables of users and items as tensors, row p being position p.

Legend: T rows of a table (U users or I items).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from widedeep.common.errors import InputError
from widedeep.data.parquet import read_parquet
from widedeep.schema.manifest import Manifest, Table


class FeatureTable:
    """Columns of a feature table, read as they are asked for."""

    def __init__(self, data: Path, name: str, table: Table):
        self._data, self._name, self.table = Path(data), name, table
        self.rows = table.rows

    def _column(self, name: str) -> pa.ChunkedArray:
        known = [column.name for column in self.table.columns]
        if name not in known:
            raise InputError(f"{self._data}/{self._name} has no column {name}: it has {known}")
        parts = [read_parquet(self._data / file.path, [name])[name] for file in self.table.files]
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)

    def values(self, name: str) -> np.ndarray:
        """A column of numbers, [T]."""
        return self._column(name).to_numpy()

    def strings(self, name: str) -> list[str]:
        """A column of texts, T of them."""
        return self._column(name).to_pylist()

    def numeric(self, names: Sequence[str]) -> torch.Tensor:
        """Scaled columns side by side, [T, len(names)] float32."""
        if not names:
            return torch.zeros(self.rows, 0)
        return torch.from_numpy(np.stack([self.values(name) for name in names], axis=1).astype(np.float32))

    def multi_hot(self, name: str) -> torch.Tensor:
        """A multi-valued column as ones and zeros, [T, size of the vocabulary] float32."""
        column = self._column(name).combine_chunks()
        lengths = np.diff(column.offsets.to_numpy())
        encoded = torch.zeros(self.rows, len(self.table.vocabularies[name]))
        encoded[np.repeat(np.arange(self.rows), lengths), np.array(column.flatten())] = 1.0
        return encoded

    def codes(self, name: str) -> torch.Tensor:
        """A category or multi-valued column as positions in its vocabulary.

        Returns:
            [T, most values of a row] int32; the size of the vocabulary stands where a row has fewer.

        """
        column, size = self._column(name), self.vocabulary(name)
        if not pa.types.is_list(column.type):
            return torch.from_numpy(np.array(column.to_numpy(), np.int32))[:, None]
        column = column.combine_chunks()
        lengths = np.diff(column.offsets.to_numpy())
        codes = np.full((self.rows, max(1, lengths.max(initial=0))), size, np.int32)
        codes[np.arange(codes.shape[1]) < lengths[:, None]] = column.flatten().to_numpy()
        return torch.from_numpy(codes)

    def vocabulary(self, name: str) -> int:
        """Values that a category or multi-valued column may have; raises InputError if it is no such column."""
        if name not in self.table.vocabularies:
            raise InputError(
                f"{self._data}/{self._name} has no categories {name}: it has {sorted(self.table.vocabularies)}"
            )
        return len(self.table.vocabularies[name])


class Tables:
    """The feature tables of a prepared directory."""

    def __init__(self, data: Path, manifest: Manifest):
        self.users = FeatureTable(data, "users", manifest.users)
        self.items = FeatureTable(data, "items", manifest.items)
        self.train_mean = manifest.ratings.train_mean
        self.lowest = manifest.ratings.lowest  # of the ratings' scale


def embedding_rows(train_ratings: np.ndarray) -> tuple[torch.Tensor, int]:
    """Who gets an embedding: only those with training ratings; all others share one row after theirs.

    Args:
        train_ratings: [T] counts.

    Returns:
        [T] int32, the row of each position; and the number of rows, the shared one not counted.

    """
    trained = train_ratings > 0
    count = int(trained.sum())
    return torch.from_numpy(np.where(trained, np.cumsum(trained) - 1, count).astype(np.int32)), count
