"""How good a system's lists are: the Spark part. widedeep.evaluation.ranking_metrics computes the metrics.

`placed` is everywhere user_id, item_id, user, item, rank (1 is the best), at most LIST_LENGTH rows per user.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.evaluation.gini import gini
from widedeep.evaluation.ranking_metrics import (
    ACCURACY,
    CHARACTER,
    ItemFacts,
    Lists,
    accuracy_metrics,
    character_metrics,
)
from widedeep.schema.evaluation import LIST_LENGTH, TOP_LENGTH, MeanOverUsers, RankingMetrics
from widedeep.spark.evaluation.evaluation_data import EvaluationData
from widedeep.spark.partitioning import task_count
from widedeep.spark.session import run_concurrently
from widedeep.spark.shards import write_parquet

MIN_USERS_PER_TASK, MAX_USERS_PER_TASK = 1 << 13, 1 << 17
METRICS = (*ACCURACY, *CHARACTER)
USER_METRICS_SCHEMA = ", ".join(["user int, relevant int, listed int", *(f"{name} double" for name in METRICS)])


def measure_ranking(data: EvaluationData, path: str, target: str) -> RankingMetrics:
    """Measure the lists in `path`, and write the metrics of each user to `target`."""
    placed = place_lists(data.read_lists(path), data.users, data.items).persist()
    try:
        _check_lists(data, path, placed)
        exposures = _write_user_metrics(data, placed, target)
    finally:
        placed.unpersist()
    row = average_over_users(data.spark.read.parquet(target)).first()
    assert row is not None
    if not row["users"]:
        raise InputError(
            f"{data.directory} has no test rating of {data.manifest.ratings.scale.liked:g} or more: "
            "there is nothing to judge lists by"
        )
    _warn_of_short_lists(path, row, data.manifest.ratings.scale.liked)
    listed, items = sum(exposures.values()), data.manifest.items.rows
    return RankingMetrics(
        users=row["users"],
        users_with_list=row["users_with_list"],
        longest_list=row["longest_list"],
        coverage_at_10=listed / items,
        gini_at_10=gini({**exposures, 0: items - listed}),
        **{name: _mean_over_users(row, name) for name in METRICS},
    )


def _write_user_metrics(data: EvaluationData, placed: DataFrame, target: str) -> dict[int, int]:
    """Write the metrics of each user; return number of times in a top 10 -> number of items, without 0 times."""
    # Without coalesce, Spark would start Python for each of its 200 partitions.
    tasks = task_count(data.spark, data.manifest.users.rows, MIN_USERS_PER_TASK, MAX_USERS_PER_TASK)
    lists = lists_of_users(placed, data.relevant).coalesce(tasks).persist()
    try:
        metrics = lists.mapInArrow(user_metrics(data.item_facts), USER_METRICS_SCHEMA)
        write_parquet(data.files, metrics, target)
        return {row["times"]: row["items"] for row in count_exposures(lists).collect()}
    finally:
        lists.unpersist()


def _warn_of_short_lists(path: str, row: Row, liked: float) -> None:
    if row["users_with_list"] < row["users"]:
        log.warning(
            "%s: %s of the %s users with a test rating of %g or more have no list; they count as users whose list has "
            "no relevant item",
            *(path, f"{row['users'] - row['users_with_list']:,}", f"{row['users']:,}", liked),
        )
    if row["longest_list"] < LIST_LENGTH:
        log.warning(
            "%s: no list is longer than %d; recall@20 counts the missing places as misses: write %d for each user",
            *(path, row["longest_list"], LIST_LENGTH),
        )


def _mean_over_users(row: Row, name: str) -> MeanOverUsers:
    users, sd = row[f"{name}_users"], row[f"{name}_sd"]
    error = None if sd is None else sd / users**0.5
    return MeanOverUsers(mean=row[f"{name}_mean"], standard_error=error, users=users)


def place_lists(recommendations: DataFrame, users: DataFrame, items: DataFrame) -> DataFrame:
    """The first LIST_LENGTH rows of each list, with user and item indices; null where the data lacks the id.

    Args:
        recommendations: user_id, item_id, rank.
        users: user and user_id.
        items: item and item_id.

    """
    head = recommendations.where(F.col("rank") <= LIST_LENGTH).select("user_id", "item_id", "rank")
    known = head.join(F.broadcast(items.select("item", "item_id")), on="item_id", how="left")
    known = known.join(users.select("user", "user_id"), on="user_id", how="left")
    return known.select("user_id", "item_id", "user", "item", "rank")


def _check_lists(data: EvaluationData, path: str, placed: DataFrame) -> None:
    """InputError if lists hold ids that the data lacks, wrong ranks, or items that the user has rated."""
    row = placed.where("user IS NULL OR item IS NULL").orderBy("user_id", "item_id").first()
    if row:
        unknown = f"user_id {row['user_id']}" if row["user"] is None else f"item_id {row['item_id']}"
        raise InputError(f"{path}: {unknown} is not in {data.directory}: recommend from the data that is evaluated on")
    broken, rated = run_concurrently(
        lambda: broken_lists(placed).orderBy("user_id").first(),
        lambda: already_rated(placed, data.seen).orderBy("user_id", "item_id").first(),
    )
    if broken:
        raise InputError(
            f"{path}: the list of user_id {broken['user_id']} holds an item twice or has other ranks than "
            "1, 2, 3, …: write the lists again"
        )
    if rated:
        raise InputError(
            f"{path}: item_id {rated['item_id']} is recommended to user_id {rated['user_id']}, who rated it in "
            f"the {rated['split']} split: leave rated items out (score_all.py --exclude train,valid)"
        )


def broken_lists(placed: DataFrame) -> DataFrame:
    """user_id of lists that hold an item twice or whose ranks are not 1, 2, 3 and so on."""
    whole = placed.groupBy("user_id").agg(
        F.count("*").alias("rows"),
        F.size(F.collect_set("item")).alias("items"),
        F.size(F.collect_set("rank")).alias("ranks"),
        F.min("rank").alias("first"),
        F.max("rank").alias("last"),
    )
    n = F.col("rows")
    sound = (F.col("items") == n) & (F.col("ranks") == n) & (F.col("first") == 1) & (F.col("last") == n)
    return whole.where(~sound).select("user_id")


def already_rated(placed: DataFrame, seen: DataFrame) -> DataFrame:
    """user_id, item_id, split of the recommended item that the user rated in train or valid.

    Args:
        placed: the lists.
        seen: user, item, split of the train and valid ratings.

    """
    return placed.join(seen, on=["user", "item"], how="inner").select("user_id", "item_id", "split")


def lists_of_users(placed: DataFrame, relevant: DataFrame) -> DataFrame:
    """user, relevant (items) and listed (items, best first); one row for each user with a relevant item.

    Args:
        placed: the lists.
        relevant: user, item.

    """
    ordered = F.transform(F.sort_array(F.collect_list(F.struct("rank", "item"))), lambda entry: entry["item"])
    listed = placed.groupBy("user").agg(ordered.alias("listed"))
    wanted = relevant.groupBy("user").agg(F.collect_list("item").alias("relevant"))
    none = F.array().cast("array<int>")
    both = wanted.join(listed, on="user", how="left")
    return both.select("user", "relevant", F.coalesce("listed", none).alias("listed"))


def user_metrics(items: Broadcast[ItemFacts]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that executors run over batches of `lists_of_users`; it gives rows of USER_METRICS_SCHEMA."""

    def compute(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            relevant, listed = (Lists.from_arrow(batch.column(name)) for name in ("relevant", "listed"))
            counts = [pa.array(np.diff(part.starts).astype(np.int32)) for part in (relevant, listed)]
            metrics = accuracy_metrics(listed, relevant) | character_metrics(listed, items.value)
            # NaN is undefined: null, which averages leave out.
            columns = [pa.array(metrics[name], from_pandas=True) for name in METRICS]
            names = ["user", "relevant", "listed", *METRICS]
            yield pa.record_batch([batch.column("user"), *counts, *columns], names=names)

    return compute


def count_exposures(lists: DataFrame) -> DataFrame:
    """times, items: how many items are in the first ten of how many users; without items that are in none.

    Args:
        lists: the output of `lists_of_users`.

    """
    top = lists.select(F.explode(F.slice("listed", 1, TOP_LENGTH)).alias("item"))
    times = top.groupBy("item").agg(F.count("*").alias("times"))
    return times.groupBy("times").agg(F.count("*").alias("items"))


def average_over_users(metrics: DataFrame) -> DataFrame:
    """One row: users, users_with_list, longest_list, and NAME_mean, NAME_sd and NAME_users for each metric.

    NAME_sd is the standard deviation of the sample; NAME_users counts the users whose metric is not null.
    """
    columns = [
        form(name).alias(f"{name}_{suffix}")
        for name in METRICS
        for suffix, form in (("mean", F.avg), ("sd", F.stddev_samp), ("users", F.count))
    ]
    return metrics.agg(
        F.count("*").alias("users"),
        F.count_if(F.col("listed") > 0).alias("users_with_list"),
        F.max("listed").alias("longest_list"),
        *columns,
    )
