"""Systems compared with one of them, user by user, by the details that jobs/evaluate.py keeps beside their figures."""

from collections.abc import Mapping, Sequence

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.console import log
from widedeep.evaluation.significance import compare_means, compare_rmse
from widedeep.schema.evaluation import Comparison, Difference, Evaluation, SystemDifferences


def compare(
    spark: SparkSession, details: Mapping[str, str], found: Mapping[str, Evaluation], against: str
) -> Comparison:
    """Compare all systems with the one named `against`.

    Args:
        spark: the session.
        details: name -> directory with `users` and `ratings`.
        found: name -> evaluation, `against` among them.
        against: name of the system that the others are compared with.

    """
    base, compared = found[against], {}
    for name, evaluation in found.items():
        if name == against:
            continue
        log.info("comparing %s with %s", name, against)
        directories = (details[name], details[against])
        compared[name] = SystemDifferences(
            ndcg_at_10=_ndcg(spark, *directories) if evaluation.ranking and base.ranking else None,
            rmse=_rmse(spark, *directories) if evaluation.rating and base.rating else None,
        )
    return Comparison(against=against, data_digest=base.data_digest, systems=compared)


def _ndcg(spark: SparkSession, *directories: str) -> Difference:
    frames = [spark.read.parquet(f"{d}/users").select("user", F.col("ndcg_at_10").alias("value")) for d in directories]
    system, baseline = paired(*frames, columns=["value"])
    return compare_means(system, baseline)


def _rmse(spark: SparkSession, *directories: str) -> Difference:
    sums = [F.sum("squared_error").alias("value"), F.count("*").cast("double").alias("ratings")]
    frames = [spark.read.parquet(f"{d}/ratings").groupBy("user").agg(*sums) for d in directories]
    system, baseline, ratings = paired(*frames, columns=["value", "ratings"])
    return compare_rmse(system, baseline, ratings)


def paired(system: DataFrame, baseline: DataFrame, columns: Sequence[str]) -> list[np.ndarray]:
    """`value` of both systems, then the other columns of the first, as arrays [U] of the same users in order.

    A few numbers for each user come to the driver: 32 MB a million users.
    """
    others = baseline.select("user", F.col("value").alias("_baseline"))
    frame = system.select("user", *columns).join(others, on="user", how="inner").toPandas().sort_values("user")
    return [frame[name].to_numpy() for name in ("value", "_baseline", *(c for c in columns if c != "value"))]
