"""The feature tables of users and items as tensors; the row number is the user index or item index.

Legend: T rows of a table (U users or I items), V values of a vocabulary, L ratings of a history.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from widedeep.common.errors import InputError
from widedeep.data.batches import Batch
from widedeep.data.histories import UserHistories, group_ratings
from widedeep.data.parquet import read_parquet
from widedeep.data.shards import check_files
from widedeep.schema.manifest import DataFile, Manifest, Table

CPU = torch.device("cpu")


class FeatureTable:
    """A feature table whose columns are read on demand."""

    def __init__(self, data: Path | str, name: str, table: Table, verify: bool = True):
        """Take where a table is.

        Args:
            data: the prepared directory.
            name: users or items.
            table: what the manifest says of it.
            verify: whether to check the digests of its files before the first column is read.

        """
        self._data, self._place, self.table, self._verify = Path(data), f"{data}/{name}", table, verify
        self.rows = table.rows
        self._checked = False
        self._replaced: dict[str, np.ndarray] = {}

    def has(self, name: str) -> bool:
        """Return whether the table has a column."""
        return any(column.name == name for column in self.table.columns)

    def _column(self, name: str) -> pa.ChunkedArray:
        known = [column.name for column in self.table.columns]
        if name not in known:
            raise InputError(
                f"{self._place} has no column {name}: it has {known}; leave it out of the settings, or name where it "
                "comes from in the description of the data set and prepare again"
            )
        return self.read(name)

    def read(self, name: str) -> pa.ChunkedArray:
        """Read a column that the table has; DamagedFileError if a file of the table is not what prepare wrote."""
        if name in self._replaced:
            return pa.chunked_array([pa.array(self._replaced[name])])
        if not self._checked:
            check_files(self._data, self.table.files, self._verify, "feature table")
            self._checked = True
        columns = [read_parquet(self._data / file.path, [name])[name] for file in self.table.files]
        return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)

    def replace(self, name: str, values: np.ndarray) -> None:
        """Let a column of numbers have other values, [T]."""
        self._replaced[name] = values.astype(self.values(name).dtype)

    def values(self, name: str) -> np.ndarray:
        """Return a column of numbers, [T]."""
        return self._column(name).to_numpy()

    def strings(self, name: str) -> list[str]:
        """Return a column of texts, T of them."""
        return self._column(name).to_pylist()

    def own_titles(self) -> list[str]:
        """Return the titles of items, T of them, empty where the data have none: prepare then makes one of the id."""
        made = (f"item {identifier}" for identifier in self.strings("item_id"))
        return ["" if title == other else title for title, other in zip(self.strings("title"), made, strict=True)]

    def numeric(self, names: Sequence[str]) -> torch.Tensor:
        """Return scaled columns side by side, [T, len(names)] float32."""
        if not names:
            return torch.zeros(self.rows, 0)
        return torch.from_numpy(np.stack([self.values(name) for name in names], axis=1).astype(np.float32))

    def unscaled(self, name: str) -> np.ndarray:
        """Return a column of numbers as they were before scaling, NaN where they were missing: [T] float64."""
        values, fitted = self.values(name).astype(np.float64), self.table.numeric.get(name)
        if fitted is not None:
            values = values * fitted.scale + fitted.center
        missing = f"{name}_missing"
        return np.where(self.values(missing) > 0, np.nan, values) if self.has(missing) else values

    def category_names(self, name: str) -> list[str]:
        """Return the values of a category, T of them."""
        vocabulary = self.vocabulary(name)
        return [vocabulary[category_id] for category_id in self.values(name).tolist()]

    def multi_hot(self, name: str) -> torch.Tensor:
        """Return a category or multi-valued column as ones and zeros, [T, V] float32."""
        ids, size = self.category_ids(name).long(), self.vocabulary_size(name)
        return torch.zeros(self.rows, size + 1).scatter_(1, ids, 1.0)[:, :size]

    def category_ids(self, name: str) -> torch.Tensor:
        """Return a category or multi-valued column as category ids, that is, indices into its vocabulary.

        Returns:
            [T, largest number of values in a row] int32; shorter rows are padded with V.

        """
        column, size = self._column(name), self.vocabulary_size(name)
        if not pa.types.is_list(column.type):
            return torch.from_numpy(np.array(column.to_numpy(), np.int32))[:, None]
        column = column.combine_chunks()
        lengths = np.diff(column.offsets.to_numpy())
        ids = np.full((self.rows, max(1, lengths.max(initial=0))), size, np.int32)
        ids[np.arange(ids.shape[1]) < lengths[:, None]] = column.flatten().to_numpy()
        return torch.from_numpy(ids)

    def vocabulary_size(self, name: str) -> int:
        """Return V of a category or multi-valued column; raises InputError for other columns."""
        return len(self.vocabulary(name))

    def vocabulary(self, name: str) -> tuple[str, ...]:
        """Return the values of a category or multi-valued column; raises InputError for other columns."""
        if name not in self.table.vocabularies:
            raise InputError(f"{self._place} has no categories {name}: it has {sorted(self.table.vocabularies)}")
        return self.table.vocabularies[name]


class Tables:
    """The feature tables of a prepared directory, and the users' training ratings."""

    def __init__(self, data: Path, manifest: Manifest, verify: bool = True, device: torch.device = CPU):
        """Take what the manifest says of the tables.

        Args:
            data: the prepared directory.
            manifest: of it.
            verify: see `FeatureTable`.
            device: where models fit what has a closed form.

        """
        self._data, self._shards, self._verify = Path(data), manifest.ratings.shards["train"], verify
        self._checked: set[str] = set()  # paths of shards
        self.users = FeatureTable(data, "users", manifest.users, verify)
        self.items = FeatureTable(data, "items", manifest.items, verify)
        self.train_mean = manifest.ratings.train_mean
        self.scale = manifest.ratings.scale
        self.device = device

    def train_ratings(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the training ratings in the order of the shards: users, items and ratings."""
        return self.read_ratings(self._shards)

    def read_ratings(self, shards: Sequence[DataFile]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the ratings of some shards in their order: users, items and ratings.

        Raises:
            DamagedFileError: a shard differs from the manifest.

        """
        columns = ["user", "item", "rating"]
        parts = pa.concat_tables([self._read(shard, columns) for shard in shards])
        user, item, rating = (parts[name].to_numpy() for name in columns)
        return user, item, rating

    def _read(self, shard: DataFile, columns: list[str]) -> pa.Table:
        """Return columns of a shard, which is compared with the manifest when it is read for the first time."""
        if shard.path not in self._checked:
            check_files(self._data, [shard], self._verify)
            self._checked.add(shard.path)
        return read_parquet(self._data / shard.path, columns)

    def rated_items(self, user: int, shards: Sequence[DataFile]) -> np.ndarray:
        """Return the items that a user rated in some shards, ascending: int32 item indexes. It reads all of them."""
        found = [np.empty(0, np.int32)]
        for shard in shards:
            rows = self._read(shard, ["user", "item"])
            found.append(rows["item"].to_numpy()[rows["user"].to_numpy() == user])
        return np.sort(np.concatenate(found))

    def add_training_ratings(self, user: np.ndarray, item: np.ndarray, rating: np.ndarray) -> None:
        """Count further ratings as training ratings: m users, items and ratings."""
        before = int(self.users.values("train_ratings").sum())
        for table, index in ((self.users, user), (self.items, item)):
            table.replace("train_ratings", table.values("train_ratings") + np.bincount(index, minlength=table.rows))
        total = self.train_mean * before + float(rating.sum(dtype=np.float64))
        self.train_mean = total / (before + len(rating))

    def user_histories(self) -> UserHistories:
        """Return the training ratings of all users who have any, in ascending order of users and then of items."""
        user, item, rating = self.train_ratings()
        order = np.lexsort((item, user))
        return group_ratings(Batch(*(torch.from_numpy(column[order]) for column in (user, item, rating))))

    def histories(self, longest: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the training ratings of each user, `longest` of them at most: the first in the order of the shards.

        Returns:
            [U, longest] int32 item indexes, -1 where a history is shorter; and [U, longest] float32 ratings.

        """
        user, item, rating = self.train_ratings()
        order = np.argsort(user, kind="stable")
        count = np.bincount(user, minlength=self.users.rows)
        place = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)  # within the user's history
        order, place = order[place < longest], place[place < longest]
        items = np.full((self.users.rows, longest), -1, np.int32)
        ratings = np.zeros((self.users.rows, longest), np.float32)
        items[user[order], place], ratings[user[order], place] = item[order], rating[order]
        return torch.from_numpy(items), torch.from_numpy(ratings)


def embedding_rows(train_ratings: np.ndarray) -> tuple[torch.Tensor, int]:
    """Assign embedding rows: one to each user or item with training ratings, and the next one to all cold ones.

    Args:
        train_ratings: [T] counts.

    Returns:
        [T] int32, the embedding row of each user or item; and the number of rows without the shared one.

    """
    trained = train_ratings > 0
    count = int(trained.sum())
    return torch.from_numpy(np.where(trained, np.cumsum(trained) - 1, count).astype(np.int32)), count
