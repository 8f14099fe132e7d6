"""Compare systems with one of them, user by user, from the details that evaluate writes beside evaluation.json."""

from collections.abc import Mapping, Sequence

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.console import log
from widedeep.evaluation.significance import compare_means, compare_rmse
from widedeep.schema.evaluation import Comparison, Difference, Evaluation, SystemDifferences


def compare_systems(
    spark: SparkSession, details: Mapping[str, str], evaluations: Mapping[str, Evaluation], against: str
) -> Comparison:
    """Compare all systems with the one named `against`.

    Args:
        spark: the session.
        details: name -> directory with `users` and `ratings`.
        evaluations: name -> evaluation, `against` among them.
        against: name of the system that the others are compared with.

    """
    base, differences = evaluations[against], {}
    for name, evaluation in evaluations.items():
        if name == against:
            continue
        log.info("comparing %s with %s", name, against)
        directories = (details[name], details[against])
        differences[name] = SystemDifferences(
            ndcg_at_10=_compare_ndcg(spark, *directories) if evaluation.ranking and base.ranking else None,
            rmse=_compare_rmse(spark, *directories) if evaluation.rating and base.rating else None,
        )
    return Comparison(against=against, data_digest=base.data_digest, systems=differences)


def _compare_ndcg(spark: SparkSession, *directories: str) -> Difference:
    frames = [spark.read.parquet(f"{d}/users").select("user", F.col("ndcg_at_10").alias("value")) for d in directories]
    system, baseline = pair_users(*frames, columns=["value"])
    return compare_means(system, baseline)


def _compare_rmse(spark: SparkSession, *directories: str) -> Difference:
    sums = [F.sum("squared_error").alias("value"), F.count("*").cast("double").alias("ratings")]
    frames = [spark.read.parquet(f"{d}/ratings").groupBy("user").agg(*sums) for d in directories]
    system, baseline, ratings = pair_users(*frames, columns=["value", "ratings"])
    return compare_rmse(system, baseline, ratings)


def pair_users(system: DataFrame, baseline: DataFrame, columns: Sequence[str]) -> list[np.ndarray]:
    """`value` of both systems, then the other columns of the first, as arrays [U] for the same users in order.

    All users come to the driver, with a few numbers each: 32 MB per million users.
    """
    others = baseline.select("user", F.col("value").alias("_baseline"))
    frame = system.select("user", *columns).join(others, on="user", how="inner").toPandas().sort_values("user")
    return [frame[name].to_numpy() for name in ("value", "_baseline", *(c for c in columns if c != "value"))]
