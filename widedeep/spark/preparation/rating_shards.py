"""Checked ratings -> splits -> shards of equal size in the directory that is being prepared."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.common.console import log
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.config.prepare import PrepareConfig
from widedeep.schema.dataset import Dataset, EntityFile
from widedeep.schema.manifest import SPLITS, DataFile
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark import shards
from widedeep.spark.partitioning import Salt, bucket_totals, hash_key, with_dense_index
from widedeep.spark.preparation.fields import fields_of
from widedeep.spark.preparation.ingest import ID
from widedeep.spark.preparation.quarantine import CheckedFile, CheckedRatings
from widedeep.spark.preparation.splits import ROW_WISE, assign_split
from widedeep.spark.preparation.workspace import Workspace
from widedeep.spark.rating_sums import RatingTotals, total_columns

NOT_SAMPLED = "not sampled"  # in the place of a split


class SplitRatings(NamedTuple):
    """The good ratings, each in a split, and how many of them are where."""

    frame: DataFrame  # user_id, item, rating, split (null: not sampled) and the key that orders the shards
    buckets: dict[str, dict[int, int]]  # split -> bucket of the key -> rows
    totals: dict[str, RatingTotals]  # by split
    not_sampled: int  # ratings in no split

    def rows(self) -> dict[str, int]:
        """Split -> number of its ratings."""
        return {split: self.totals[split].count if split in self.totals else 0 for split in SPLITS}


class RatingShards(NamedTuple):
    """The written shards, and the training split read back from them."""

    files: dict[str, tuple[DataFile, ...]]  # split -> shards
    train: DataFrame  # user, item, rating
    totals: dict[str, RatingTotals]  # by split
    not_sampled: int  # ratings in no split

    def rows(self) -> int:
        """Number of ratings in all splits."""
        return sum(file.rows for files in self.files.values() for file in files)


def index_users(workspace: Workspace, users: CheckedFile, ratings: CheckedRatings) -> DataFrame:
    """user_id, user: the index of every user in the users' file, if there is one, or in the ratings."""

    def index() -> DataFrame:
        ids = users.good.select(F.col(ID).alias("user_id"))
        raters = ratings.good.select("user_id")
        return with_dense_index(ids.union(raters).distinct(), "user_id", "user")

    return workspace.keep("user_index", index)


def split_ratings(
    workspace: Workspace,
    dataset: Dataset,
    items: CheckedFile,
    users: CheckedFile,
    ratings: CheckedRatings,
    scale: RatingScale,
    config: PrepareConfig,
) -> SplitRatings:
    """Assign each unique rating to a split, and sum the ratings of each."""
    rule = config.split

    def split() -> DataFrame:
        good = ratings.unique.select("user_id", "item_id", "item", "rating", "time")
        if rule.kind == "stratified":
            good = _with_strata(good, rule.strata, (dataset.items, items.good), (dataset.users, users.good))
        key = hash_key(F.col("user_id"), F.col("item_id"), config.seed, Salt.ROW_ORDER)
        assigned = assign_split(good, rule, config.seed)
        return assigned.select("user_id", "item", "rating", "split", key.alias("key"))

    frame = split() if rule.kind in ROW_WISE else workspace.keep("split", split)
    # One pass over all ratings gives the sizes of the shards, the mean rating and what the audit needs.
    found = bucket_totals(
        frame.withColumn("split", F.coalesce("split", F.lit(NOT_SAMPLED))),
        *("split", "key", *total_columns(F.col("rating"), scale)),
    )
    not_sampled = sum(count for count, *_ in found.pop(NOT_SAMPLED, {}).values())
    totals = {name: RatingTotals(*map(sum, zip(*buckets.values(), strict=True))) for name, buckets in found.items()}
    counts = {name: {bucket: count for bucket, (count, *_) in buckets.items()} for name, buckets in found.items()}
    return SplitRatings(frame, counts, totals, not_sampled)


def _with_strata(
    ratings: DataFrame,
    strata: Sequence[str],
    items: tuple[EntityFile | None, DataFrame],
    users: tuple[EntityFile | None, DataFrame],
) -> DataFrame:
    """Add the category columns that name a rating's stratum.

    Args:
        ratings: item_id, user_id.
        strata: names of categories.
        items: the description of their file, and its good rows.
        users: the same of the users.

    Raises:
        InputError: a stratum is no category of the items or the users.

    """
    names = []
    for (file, raw), key in ((items, "item_id"), (users, "user_id")):
        fields = fields_of(file).category
        names += [field.name for field in fields]
        columns = [field.parse.alias(field.name) for field in fields if field.name in strata]
        if columns:
            ratings = ratings.join(raw.select(F.col(ID).alias(key), *columns), on=key, how="left")
    missing = [name for name in strata if name not in names]
    if missing:
        raise InputError(f"split.strata: {missing} unknown; the categories are {names}")
    return ratings


def write_rating_shards(
    workspace: Workspace, ratings: SplitRatings, users: DataFrame, config: PrepareConfig
) -> RatingShards:
    """Deal the ratings to the shards of their splits and write them.

    Args:
        workspace: of the run.
        ratings: from `split_ratings`.
        users: user_id, user.
        config: how many shards.

    Raises:
        InputError: no rating is left to train on.

    """
    rows = ratings.rows()
    if not rows["train"]:
        raise InputError(f"no rating is left to train on: {rows}; see split.train and split.sample")
    plan = shards.plan_shards(rows, config.ranks, config.shards)
    log.info("writing shards %s", plan)
    filled = {split: count for split, count in plan.items() if count}
    sharded = shards.with_shard(ratings.frame, "split", "key", ratings.buckets, filled, "shard")
    placed = sharded.join(users, on="user_id", how="inner")
    placed = placed.select("user", "item", "rating", F.col("key").alias("_key"), "shard")
    # Two pairs can share a key: user and item then decide.
    shards.write_split_shards(workspace.files, placed, workspace.staging, filled, ["_key", "user", "item"])
    train = workspace.spark.read.parquet(f"{workspace.staging}/ratings/split=train")
    return RatingShards(_describe(workspace, rows), train, ratings.totals, ratings.not_sampled)


def _describe(workspace: Workspace, rows: Mapping[str, int]) -> dict[str, tuple[DataFile, ...]]:
    """Split -> its shards; DamagedFileError if they have not the ratings that they should have."""
    files = shards.describe_files(workspace.spark, workspace.staging, "ratings", one_group=True)
    described = {split: tuple(f for f in files if f.path.startswith(f"ratings/split={split}/")) for split in SPLITS}
    for split, shards_of_split in described.items():
        written = sum(file.rows for file in shards_of_split)
        if written != rows[split]:
            directory = f"{workspace.staging}/ratings/split={split}"
            raise DamagedFileError(f"{directory} has {written} ratings instead of {rows[split]}")
    return described
