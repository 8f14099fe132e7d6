"""How good recommended lists are: the part of Spark. widedeep.evaluation.ranking_metrics has the metrics themselves.

`lists` is everywhere user, item, rank (1 is the best), at most LIST_LENGTH of each user; `relevant` is user, item.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.evaluation.ranking_metrics import (
    ACCURACY,
    CHARACTER,
    ItemFacts,
    Lists,
    accuracy_metrics,
    character_metrics,
    item_facts,
)
from widedeep.schema.evaluation import LIST_LENGTH, TOP_LENGTH

FIGURES = ", ".join(["user int, relevant int, listed int", *(f"{name} double" for name in (*ACCURACY, *CHARACTER))])


def placed_lists(recommendations: DataFrame, users: DataFrame, items: DataFrame) -> DataFrame:
    """The first LIST_LENGTH of each list with their positions: user_id, anime_id, user, item, rank.

    user or item is null where the prepared data does not know the id.

    Args:
        recommendations: user_id, anime_id, rank.
        users: user and user_id.
        items: item and anime_id.

    """
    head = recommendations.where(F.col("rank") <= LIST_LENGTH).select("user_id", "anime_id", "rank")
    known = head.join(F.broadcast(items.select("item", "anime_id")), on="anime_id", how="left")
    known = known.join(users.select("user", "user_id"), on="user_id", how="left")
    return known.select("user_id", "anime_id", "user", "item", "rank")


def broken_lists(placed: DataFrame) -> DataFrame:
    """user_id of lists that hold an anime twice or whose ranks are not 1, 2, 3 and so on."""
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
    """user_id, anime_id, split of recommended anime that the user has rated in the splits before test.

    Args:
        placed: as of `placed_lists`.
        seen: user, item, split of the train and valid ratings.

    """
    return placed.join(seen, on=["user", "item"], how="inner").select("user_id", "anime_id", "split")


def of_users(lists: DataFrame, relevant: DataFrame) -> DataFrame:
    """user, relevant and shown: the items of each user with a relevant one, those of the list best first."""
    ordered = F.transform(F.sort_array(F.collect_list(F.struct("rank", "item"))), lambda entry: entry["item"])
    shown = lists.groupBy("user").agg(ordered.alias("shown"))
    wanted = relevant.groupBy("user").agg(F.collect_list("item").alias("relevant"))
    none = F.array().cast("array<int>")
    both = wanted.join(shown, on="user", how="left")
    return both.select("user", "relevant", F.coalesce("shown", none).alias("shown"))


def read_item_facts(items: DataFrame, train_users: int, vocabulary: int) -> ItemFacts:
    """What the figures need to know of the items; a few numbers for each come to the driver.

    Args:
        items: item, train_ratings, genres.
        train_users: number of users with training ratings.
        vocabulary: number of genres.

    """
    table = items.orderBy("item").select("train_ratings", "genres").toArrow().combine_chunks()
    genres = table["genres"].combine_chunks()
    return item_facts(table["train_ratings"].to_numpy(), train_users, _lists(genres), vocabulary)


def make_figures(items: Broadcast[ItemFacts]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that an executor runs over batches of `of_users`; it gives rows of FIGURES."""

    def figures(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            relevant, shown = _lists(batch.column("relevant")), _lists(batch.column("shown"))
            counts = [pa.array(np.diff(part.starts).astype(np.int32)) for part in (relevant, shown)]
            found = accuracy_metrics(shown, relevant) | character_metrics(shown, items.value)
            # NaN is what there is no figure of: null leaves it out of averages.
            columns = [pa.array(found[name], from_pandas=True) for name in (*ACCURACY, *CHARACTER)]
            names = ["user", "relevant", "listed", *ACCURACY, *CHARACTER]
            yield pa.record_batch([batch.column("user"), *counts, *columns], names=names)

    return figures


def _lists(column: pa.ListArray) -> Lists:
    starts = column.offsets.to_numpy()
    return Lists(column.flatten().to_numpy(), starts - starts[0])


def exposures(lists: DataFrame) -> DataFrame:
    """times, items: how many items are shown so many times among the first ten; those never shown are not in it.

    Args:
        lists: as of `of_users`.

    """
    shown = lists.select(F.explode(F.slice("shown", 1, TOP_LENGTH)).alias("item"))
    shown = shown.groupBy("item").agg(F.count("*").alias("times"))
    return shown.groupBy("times").agg(F.count("*").alias("items"))


def means(figures: DataFrame) -> DataFrame:
    """One row: for each figure NAME its NAME_mean, NAME_sd (of the sample) and NAME_users, those where it is not null.

    And users, users_with_list, longest_list.
    """
    columns = [
        form(name).alias(f"{name}_{suffix}")
        for name in (*ACCURACY, *CHARACTER)
        for suffix, form in (("mean", F.avg), ("sd", F.stddev_samp), ("users", F.count))
    ]
    return figures.agg(
        F.count("*").alias("users"),
        F.count_if(F.col("listed") > 0).alias("users_with_list"),
        F.max("listed").alias("longest_list"),
        *columns,
    )
