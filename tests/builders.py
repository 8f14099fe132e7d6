"""Write a small, valid prepared directory without Spark; its ratings come from a planted low-rank model."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.spoil import spoil
from widedeep.data.batches import Batch
from widedeep.data.dataset_descriptions import read_dataset
from widedeep.schema.dataset import Dataset, Identifiers, RatingsFile
from widedeep.schema.manifest import (
    MANIFEST,
    SPLITS,
    Column,
    DataFile,
    Manifest,
    Ratings,
    Table,
    digest_of,
    read_manifest,
)
from widedeep.schema.rating_scale import RatingScale

GENRES = ("Action", "Comedy", "Drama")
# Columns that `features` adds, and the sizes of their vocabularies.
ITEM_NUMBERS = ("episodes", "favorites", "members", "duration", "aired_start", "aired_end")
ITEM_CATEGORIES = {"type": 4, "source": 3, "status": 3, "age_rating": 5}
ITEM_LISTS = {"producers": 7, "studios": 6}
USER_NUMBERS = ("mean_score", "days_watched", "completed", "total_entries")
USER_CATEGORIES = {"gender": 4, "location": 5}
MAL = read_dataset("mal2023")
PLAYS = Dataset(
    name="plays", ids=Identifiers(type="text"), ratings=RatingsFile(path="plays.csv", user="listener", item="song")
)
TEN_POINTS = RatingScale(lowest=1, highest=10, step=1, liked=8)
COLD = 3  # the last users and the last items have test ratings only
# Split -> files; a tuple gives the files' shares of the rows.
SHARDS = {"train": 4, "valid": 2, "test": 2}


def write_prepared(
    directory: Path,
    users: int = 150,
    items: int = 61,
    ratings: int = 4000,
    shards: Mapping[str, int | Sequence[int]] = SHARDS,
    seed: int = 0,
    features: bool = False,
    lowest: int = 1,
    selective: float = 0.0,
    dataset: Dataset = MAL,
) -> Manifest:
    """Write a prepared directory; splits that `shards` does not name are empty.

    With `features` the tables also have columns like those that jobs/prepare.py makes of the dump. With a `lowest` of 0
    every seventh rating is 0. The more `selective` users are, the more they rate what they like. Identifiers are what
    the `dataset` says, and if it has no ratings, all are 1.
    """
    random = np.random.default_rng(seed)
    genres = random.random((items, len(GENRES))) < 0.4  # [I, G]
    rows = planted_ratings(random, users, genres, ratings, selective)
    if not lowest:
        rows["rating"][::7] = 0
    scale = TEN_POINTS.model_copy(update={"lowest": float(lowest)})
    if dataset.ratings.rating is None:
        rows["rating"], scale = 1.0, dataset.ratings.scale
    parts = dict(zip(SPLITS, split(random, rows, users, items), strict=True))
    files = {name: write_shards(directory, name, parts[name], shards.get(name, 0)) for name in SPLITS}
    train = parts["train"]
    by_user = write_by_user(directory, whole_users(train, len(files["train"]), seed))
    counts = {name: np.bincount(train[name], minlength=n) for name, n in (("user", users), ("item", items))}
    item_values, user_values = item_columns(random, genres, counts["item"]), user_columns(counts["user"])
    item_names, user_names = {"genres": GENRES}, {}
    if features:
        item_values["title"] = np.array([f"The Title {number}" for number in range(items)])
        item_values["title_english"] = np.array(
            [f"English Name {number}" if number % 2 else "" for number in range(items)]
        )
        user_values["username"] = np.array([f"member {number}" for number in range(users)])
        item_values |= feature_columns(items, ITEM_NUMBERS, ITEM_CATEGORIES, ITEM_LISTS)
        user_values |= feature_columns(users, USER_NUMBERS, USER_CATEGORIES, {})
        item_names |= vocabularies_of(ITEM_CATEGORIES | ITEM_LISTS)
        user_names |= vocabularies_of(USER_CATEGORIES)
    if dataset.ids.type == "text":
        item_values["item_id"], user_values["user_id"] = (
            np.array([f"{prefix}{number}" for number in values.tolist()], object)
            for prefix, values in (("é", item_values["item_id"]), ("u", user_values["user_id"]))
        )
    item_table = write_table(directory, "items", item_values, item_names)
    user_table = write_table(directory, "users", user_values, user_names)
    written = [file for group in (*files.values(), item_table.files, user_table.files) for file in group]
    manifest = Manifest(
        config={},
        dataset=dataset,
        inputs={},
        ratings=Ratings(
            read=ratings,
            quarantined={},
            not_sampled=0,
            scale=scale,
            train_mean=float(train["rating"].mean(dtype=np.float64)),
            shards=files,
            by_user=by_user,
        ),
        users=user_table,
        items=item_table,
        rank_regression={"slope": 1.0, "intercept": 0.0},
        quarantined={},
        leaks={},
        digest=digest_of(written),
    )
    save_manifest(directory, manifest)
    return manifest


def write_part(source: Path, target: Path, users: np.ndarray, items: np.ndarray, every: int = 1) -> Manifest:
    """Write some users and items of a prepared directory as another one, in the order of their indexes given.

    Ratings have the splits of before; of the training ratings `every` n-th is kept. Vocabularies are reversed.
    """
    manifest = read_manifest(source)
    places = []
    for chosen, table in ((users, manifest.users), (items, manifest.items)):
        places.append(np.full(table.rows, -1, np.int32))
        places[-1][chosen] = np.arange(len(chosen))
    parts, files = {}, {}
    for name in SPLITS:
        old = read_split(source, manifest, name)[:: every if name == "train" else 1]
        rows = np.empty(len(old), [("user", np.int32), ("item", np.int32), ("rating", np.float32)])
        rows["user"], rows["item"] = (places[n][old[:, n].astype(int)] for n in range(2))
        rows["rating"] = old[:, 2]
        parts[name] = rows[(rows["user"] >= 0) & (rows["item"] >= 0)]
        files[name] = write_shards(target, name, parts[name], len(manifest.ratings.shards[name]))
    train, tables = parts["train"], {}
    for name, key, chosen in (("users", "user", users), ("items", "item", items)):
        vocabularies = getattr(manifest, name).vocabularies
        table = pq.read_table(source / name).take(chosen)
        columns: dict = {column: table[column].combine_chunks() for column in table.column_names}
        columns = {n: _reversed_ids(v, len(vocabularies[n])) if n in vocabularies else v for n, v in columns.items()}
        columns = {n: v if pa.types.is_list(v.type) else v.to_numpy(zero_copy_only=False) for n, v in columns.items()}
        columns[key] = np.arange(len(chosen), dtype=np.int32)
        columns["train_ratings"] = np.bincount(train[key], minlength=len(chosen)).astype(np.int32)
        tables[name] = write_table(target, name, columns, {n: values[::-1] for n, values in vocabularies.items()})
    ratings = manifest.ratings.model_copy(
        update={
            "shards": files,
            "by_user": write_by_user(target, whole_users(train, 2, 0)),
            "train_mean": float(train["rating"].mean(dtype=np.float64)),
        }
    )
    digest = digest_of(*files.values(), *(table.files for table in tables.values()))
    part = manifest.model_copy(update={"ratings": ratings, "digest": digest, **tables})
    save_manifest(target, part)
    return part


def _reversed_ids(column: pa.Array, size: int) -> pa.Array:
    """Return category ids, or lists of them, in the reversed vocabulary."""
    if not pa.types.is_list(column.type):
        return pa.array(size - 1 - column.to_numpy())
    return pa.array([[size - 1 - value for value in reversed(values)] for values in column.to_pylist()], column.type)


def planted_ratings(
    random: np.random.Generator, users: int, genres: np.ndarray, count: int, selective: float
) -> np.ndarray:
    """Return distinct pairs rated 7 + user + item + genres + a rank-2 taste + noise, rounded and clipped to 1-10."""
    items = len(genres)
    item_bias = genres @ np.array([0.9, -0.6, 0.3]) + random.normal(0, 0.4, items)
    taste = random.normal(0, 0.8, (users, 2)) @ random.normal(0, 0.8, (2, items))
    odds = np.exp(selective * (item_bias + taste)).ravel()  # of the pairs
    share = odds / odds.sum() if selective else None
    user, item = np.divmod(random.choice(users * items, count, replace=False, p=share), items)
    mean = 7 + random.normal(0, 0.7, users)[user] + item_bias[item] + taste[user, item]
    rows = np.empty(count, [("user", np.int32), ("item", np.int32), ("rating", np.float32)])
    rows["user"], rows["item"] = user, item
    rows["rating"] = np.clip(np.round(mean + random.normal(0, 0.5, count)), 1, 10)
    return rows


def split(random: np.random.Generator, rows: np.ndarray, users: int, items: int) -> list[np.ndarray]:
    """Split 80 / 10 / 10 at random; all rows of cold users and items go to the last part."""
    part = random.choice(3, len(rows), p=[0.8, 0.1, 0.1])
    part[(rows["user"] >= users - COLD) | (rows["item"] >= items - COLD)] = 2
    return [rows[part == p] for p in range(3)]


def write_shards(directory: Path, name: str, rows: np.ndarray, shares: int | Sequence[int]) -> tuple[DataFile, ...]:
    shares = (1,) * shares if isinstance(shares, int) else tuple(shares)
    cuts = np.cumsum((0, *shares)) * len(rows) // max(1, sum(shares))
    return tuple(
        write_parquet(
            directory,
            f"ratings/split={name}/part-{number:05d}.parquet",
            {column: rows[low:high][column] for column in rows.dtype.names or ()},
        )
        for number, (low, high) in enumerate(pairwise(cuts))
    )


def whole_users(rows: np.ndarray, files: int, seed: int) -> list[np.ndarray]:
    """Cut rows into files of whole users in a random order, each user's rows sorted by item."""
    place = np.random.default_rng(seed).permutation(rows["user"].max() + 1)
    rows = rows[np.lexsort((rows["item"], place[rows["user"]]))]
    first = np.flatnonzero(np.diff(rows["user"], prepend=-1))
    cuts = first[np.searchsorted(first[:-1], np.arange(1, files) * len(rows) // files)]
    return [part for part in np.split(rows, cuts) if len(part)]


def write_by_user(directory: Path, files: Sequence[np.ndarray]) -> tuple[DataFile, ...]:
    return tuple(
        write_parquet(directory, f"by_user/part-{number:05d}.parquet", {name: rows[name] for name in Batch._fields})
        for number, rows in enumerate(files)
    )


def entity_columns(key: str, identifier: str, first_id: int, train_ratings: np.ndarray) -> dict:
    rows = len(train_ratings)
    return {
        key: np.arange(rows, dtype=np.int32),
        identifier: np.arange(first_id, first_id + rows, dtype=np.int64),
        "train_ratings": train_ratings.astype(np.int32),
    }


def item_columns(random: np.random.Generator, genres: np.ndarray, train_ratings: np.ndarray) -> dict:
    numbers = {name: random.random(len(genres)).astype(np.float32) for name in ("score", "popularity", "rank")}
    lists = pa.array([np.flatnonzero(row).astype(np.int32) for row in genres], pa.list_(pa.int32()))
    return entity_columns("item", "item_id", 5000, train_ratings) | numbers | {"genres": lists}


def user_columns(train_ratings: np.ndarray) -> dict:
    return entity_columns("user", "user_id", 1000, train_ratings)


def feature_columns(
    rows: int, numbers: Sequence[str], categories: Mapping[str, int], lists: Mapping[str, int], seed: int = 1
) -> dict:
    """Return columns of random values; a row may have none or all values of a list."""
    random = np.random.default_rng(seed)
    columns: dict = {name: random.random(rows).astype(np.float32) for name in numbers}
    columns |= {name: random.integers(0, size, rows).astype(np.int32) for name, size in categories.items()}
    for name, size in lists.items():
        chosen = random.random((rows, size)) < random.choice([0.0, 0.3, 1.0], (rows, 1))
        columns[name] = pa.array([np.flatnonzero(row).astype(np.int32) for row in chosen], pa.list_(pa.int32()))
    return columns


def vocabularies_of(sizes: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(f"{name} {number}" for number in range(size)) for name, size in sizes.items()}


def write_table(directory: Path, name: str, columns: dict, vocabularies: dict[str, tuple[str, ...]]) -> Table:
    numbers = [name for name, values in columns.items() if getattr(values, "dtype", None) == np.float32]
    kinds = {"train_ratings": "statistic"} | dict.fromkeys(numbers, "numeric")
    kinds |= {name: "multi_hot" if isinstance(columns[name], pa.Array) else "category" for name in vocabularies}
    file = write_parquet(directory, f"{name}/part-00000.parquet", columns)
    return Table(
        files=(file,),
        rows=file.rows,
        columns=tuple(Column(name=column, kind=kinds.get(column, "key")) for column in columns),
        numeric={},
        vocabularies=vocabularies,
    )


def write_parquet(directory: Path, path: str, columns: dict) -> DataFile:
    """Write a file of one row group, as prepare does."""
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    pq.write_table(table, file, compression="zstd", row_group_size=max(1, len(table)), write_page_checksum=True)
    return describe(directory, path)


def describe(directory: Path, path: str) -> DataFile:
    """Return the manifest's entry for the current content of a file."""
    content, table = (directory / path).read_bytes(), pq.ParquetFile(directory / path).read()
    return DataFile(
        path=path,
        rows=len(table),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        content=hashlib.sha256(json.dumps(table.to_pydict()).encode()).hexdigest(),
    )


def save_manifest(directory: Path, manifest: Manifest) -> None:
    (directory / MANIFEST).write_text(manifest.seal(), encoding="utf-8")


def read_split(directory: Path, manifest: Manifest, name: str) -> np.ndarray:
    """Return user, item, rating, [n, 3], read by pyarrow alone, as the reference for loaders."""
    return read_ratings(directory, manifest.ratings.shards[name])


def read_ratings(directory: Path, files: Sequence[DataFile]) -> np.ndarray:
    """Return user, item, rating of some files, [n, 3], read by pyarrow alone."""
    parts = [pq.ParquetFile(directory / file.path).read() for file in files]
    return np.concatenate([np.stack([part[c] for c in ("user", "item", "rating")], axis=1) for part in parts])


def damage_shard(directory: Path, manifest: Manifest, split: str, how: str) -> str:
    """Damage the last shard of a split in one of the ways of `DAMAGES`; returns its path."""
    file = directory / manifest.ratings.shards[split][-1].path
    spoil(file, how)
    return str(file)
