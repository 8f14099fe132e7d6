"""Dense indices, hashes, exact order statistics and partitions of rows.

No result depends on the size of the cluster or on the partitions of the input, and nothing that grows
with the number of rows comes to the driver.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import IntEnum
from itertools import accumulate

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

# Hashes are 64-bit and signed; their upper 12 bits cut them into 4,096 buckets of about equal size.
BUCKET_SHIFT = 52


class Salt(IntEnum):
    """What a hash decides. Each decision has its own salt, so that one says nothing about another."""

    SPLIT = 1
    RATING_SAMPLE = 2
    ROW_ORDER = 3
    AUDIT_SAMPLE = 4
    RECALL_SAMPLE = 5
    USER_SAMPLE = 6
    USER_ORDER = 7


def with_dense_index(frame: DataFrame, key: str, name: str) -> DataFrame:
    """Add the int column `name`: 0 for the smallest `key`, 1 for the next and so on. Keys must be distinct."""
    return frame.orderBy(key).zipWithIndex(name).withColumn(name, F.col(name).cast("int"))


def few_rows(spark: SparkSession, schema: pa.Schema, rows: Sequence[tuple]) -> DataFrame:
    """A frame of rows that are part of its plan; Python objects would have to go through Python workers."""
    columns = [pa.array([row[place] for row in rows], field.type) for place, field in enumerate(schema)]
    return spark.createDataFrame(pa.table(columns, schema=schema))


def hash_key(*columns: Column | int) -> Column:
    """A 64-bit hash of columns and seeds: the same on any cluster."""
    return F.xxhash64(*(F.lit(int(c)) if isinstance(c, int) else c for c in columns))


def shuffled_index(index: Column, *seeds: int) -> Column:
    """A bigint in [0, 2^32), pseudo-random and different for each index in [0, 2^31): by a Feistel cipher of hashes."""
    left, right = F.shiftright(index, 16).cast("bigint"), index.bitwiseAND(0xFFFF).cast("bigint")
    for number in range(4):
        left, right = right, left.bitwiseXOR(hash_key(right, number, *seeds).bitwiseAND(0xFFFF))
    return F.shiftleft(left, 16).bitwiseOR(right)


def uniform(*columns: Column | int) -> Column:
    """A double in [0, 1) from `hash_key`, with all 53 bits that a double has."""
    return F.shiftrightunsigned(hash_key(*columns), 11) / F.lit(float(1 << 53))


def bucket_of(key: Column) -> Column:
    """Number of the bucket that a key of `hash_key` lies in, from -2,048 to 2,047."""
    return F.shiftright(key, BUCKET_SHIFT).cast("int")


def bucket_totals(frame: DataFrame, group: str, key: str, *totals: Column) -> dict[str, dict[int, tuple]]:
    """Group -> bucket -> aggregates of its rows. At most 4,096 of each for a group, whatever the number of rows."""
    found: dict[str, dict[int, tuple]] = defaultdict(dict)
    grouped = frame.groupBy(group, bucket_of(F.col(key)).alias("_bucket"))
    for name, bucket, *values in grouped.agg(*totals).collect():
        found[name][bucket] = tuple(values)
    return dict(found)


def bucket_counts(frame: DataFrame, group: str, key: str) -> dict[str, dict[int, int]]:
    """Group -> bucket -> rows."""
    totals = bucket_totals(frame, group, key, F.count("*"))
    return {name: {bucket: rows for bucket, (rows,) in buckets.items()} for name, buckets in totals.items()}


def order_statistics(
    frame: DataFrame,
    group: str,
    key: str,
    counts: Mapping[str, Mapping[int, int]],
    ranks: Mapping[str, Sequence[int]],
) -> dict[str, list[int]]:
    """The keys at the given 0-based ranks of each group, exactly.

    Args:
        frame: rows with a `group` column and a `key` column from `hash_key`.
        group: name of the group's column.
        key: name of the key's column.
        counts: from `bucket_counts` of the same frame.
        ranks: group -> increasing ranks, each below the group's number of rows.

    """
    wanted = []  # (group, bucket, rank in the bucket, number in the answer)
    for name, group_ranks in ranks.items():
        buckets = sorted(counts[name])
        starts = list(accumulate((counts[name][b] for b in buckets), initial=0))
        for number, rank in enumerate(group_ranks):
            at = bisect_right(starts, rank) - 1
            wanted.append((name, buckets[at], rank - starts[at] + 1, number))
    keys: dict[str, list[int]] = {name: [0] * len(group_ranks) for name, group_ranks in ranks.items()}
    if not wanted:
        return keys
    columns = {group: pa.string(), "_bucket": pa.int32(), "_rank": pa.int32(), "_number": pa.int32()}
    table = few_rows(frame.sparkSession, pa.schema(columns), wanted)
    near = frame.select(group, key, bucket_of(F.col(key)).alias("_bucket")).join(
        F.broadcast(table.select(group, "_bucket").distinct()), on=[group, "_bucket"], how="left_semi"
    )
    sorted_keys = near.groupBy(group, "_bucket").agg(F.sort_array(F.collect_list(key)).alias("_keys"))
    for row in (
        table.join(sorted_keys, on=[group, "_bucket"], how="inner")
        .selectExpr(f"{group} AS name", "_number", "_keys[_rank - 1] AS value")
        .collect()
    ):
        keys[row["name"]][row["_number"]] = row["value"]
    return keys


def task_count(spark: SparkSession, rows: int, smallest: int, largest: int) -> int:
    """Number of tasks for `rows`: two per core, unless tasks then have less than `smallest` or more than `largest`.

    Where `largest` asks for more tasks than cores, they are a multiple of the cores, so that none is idle at the end.
    """
    cores = spark.sparkContext.defaultParallelism
    least = -(-rows // largest)
    if least > cores:
        least = -(-least // cores) * cores
    return max(1, least, min(2 * cores, rows // smallest))


def partition_by_range(frame: DataFrame, key: str, size: int, count: int, *then: str) -> DataFrame:
    """Rows in `count` partitions of equal ranges of an index, each sorted by it.

    Args:
        frame: the rows.
        key: the index column, of integers from 0 to `size` - 1.
        size: number of index values.
        count: number of partitions; some are empty where `size` is not much larger.
        then: further columns to sort a partition by.

    """
    placed = frame.repartitionById(count, F.expr(f"int({key} div {-(-size // count)})"))
    return placed.sortWithinPartitions(key, *then)
