import itertools

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from widedeep.common.errors import InputError
from widedeep.spark.partitioning import (
    bucket_counts,
    few_rows,
    hash_key,
    order_statistics,
    shuffled_index,
    with_dense_index,
)
from widedeep.spark.shards import plan_shards, with_shard


def test_indices_follow_the_order_of_keys_however_the_rows_are_cut(spark):
    keys = np.random.default_rng(0).choice(10**9, 5000, replace=False)
    expected = {int(key): place for place, key in enumerate(sorted(keys))}
    for parts in (1, 7):
        frame = spark.createDataFrame([(int(k),) for k in keys], "key bigint").repartition(parts)
        rows = with_dense_index(frame, "key", "place").collect()
        assert {r["key"]: r["place"] for r in rows} == expected


def test_indices_of_no_rows(spark):
    assert with_dense_index(spark.createDataFrame([], "key bigint"), "key", "place").collect() == []


@pytest.mark.parametrize("rows", [[], [("a", 1, [5, -7]), (None, None, [])]], ids=["none", "some"])
def test_few_rows_are_a_frame(spark, rows):
    schema = pa.schema({"name": pa.string(), "number": pa.int32(), "bounds": pa.list_(pa.int64())})
    frame = few_rows(spark, schema, rows)
    assert frame.dtypes == [("name", "string"), ("number", "int"), ("bounds", "array<bigint>")]
    assert [tuple(row) for row in frame.collect()] == rows


@pytest.fixture(scope="module")
def hashed(spark):
    """Two groups of different size with 64-bit keys, some of them negative."""
    frame = spark.range(30_000).withColumn("g", F.when(F.col("id") % 10 == 0, "small").otherwise("large"))
    return frame.withColumn("key", hash_key(F.col("id"), 1)).cache()


def test_order_statistics_are_those_of_a_sorted_array(hashed):
    keys = {g: np.sort([r["key"] for r in hashed.where(F.col("g") == g).collect()]) for g in ("small", "large")}
    assert keys["large"][0] < 0 < keys["large"][-1]
    ranks = {"small": [0, 1, 1500, 2999], "large": [13, 26_999]}
    found = order_statistics(hashed, "g", "key", bucket_counts(hashed, "g", "key"), ranks)
    assert found == {g: [int(keys[g][r]) for r in ranks[g]] for g in ranks}


def test_shards_differ_by_one_row_and_follow_the_keys(hashed):
    counts = bucket_counts(hashed, "g", "key")
    placed = with_shard(hashed, "g", "key", counts, {"large": 7, "small": 3}, "shard")
    rows = placed.groupBy("shard").agg(F.count("*").alias("n"), F.min("key"), F.max("key"), F.min("g"), F.max("g"))
    rows = rows.orderBy("shard").collect()
    assert [r["shard"] for r in rows] == list(range(10))
    assert {r["n"] for r in rows[:7]} <= {27_000 // 7, 27_000 // 7 + 1}
    assert {r["n"] for r in rows[7:]} == {1000}
    assert all(r["min(g)"] == r["max(g)"] for r in rows)
    assert all(a["max(key)"] < b["min(key)"] for a, b in itertools.pairwise(rows[:7]))


def test_rows_of_a_key_share_a_shard_and_the_first_shard_has_rows(spark):
    """12 rows are cut after the 4th and the 8th; a key with rows on both sides stays in the shard before the cut."""
    rows = [("all", number << 60) for number, count in enumerate((7, 1, 2, 2), -2) for _ in range(count)]
    frame = spark.createDataFrame(rows, "g string, key bigint")
    placed = with_shard(frame, "g", "key", bucket_counts(frame, "g", "key"), {"all": 3}, "shard")
    found = placed.groupBy("key", "shard").count().orderBy("key").collect()
    assert [(row["key"] >> 60, row["shard"], row["count"]) for row in found] == [
        (-2, 0, 7),
        (-1, 1, 1),
        (0, 2, 2),
        (1, 2, 2),
    ]


def test_a_shuffled_index_is_unique_and_looks_random(spark):
    frame = spark.range(100_000).union(spark.range(2**31 - 100_000, 2**31)).select(F.col("id").cast("int"))
    columns = [shuffled_index(F.col("id"), seed, 7).alias(str(seed)) for seed in (0, 1)]
    values = np.array(frame.select(*columns).collect())
    assert [len(np.unique(column)) for column in values.T] == [200_000, 200_000]
    assert values.min() >= 0
    assert values.max() < 2**32
    # Sixteenths of the range hold 12,500 each; the standard deviation is 108.
    assert max(abs(np.histogram(column, 16, (0, 2**32))[0] - 12_500).max() for column in values.T) < 540
    # Independent of the index and of the other seed: the standard deviation of a correlation is 0.0022.
    correlations = np.corrcoef([np.arange(200_000), *values.T])
    assert np.abs(correlations[np.triu_indices(3, 1)]).max() < 0.011


def test_a_split_that_its_shards_cannot_hold_as_one_row_group_each_is_refused():
    with pytest.raises(
        InputError, match=r"split train has 100000000 ratings, too many for 2 shards: give at least 12$"
    ):
        plan_shards({"train": 10**8, "valid": 0, "test": 0}, 1, 2)
    assert plan_shards({"train": 10**8, "valid": 0, "test": 0}, 1, 12)["train"] == 12
