"""The audit of feature leakage: each feature alone against the held-out ratings.

Spark sums the ratings of each user or item; widedeep/evaluation/feature_leakage.py does the mathematics. The driver
gets a row for each of them, or for a sample by hash where a table has more than MOST_ENTITIES rows.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.common.console import log
from widedeep.evaluation import feature_leakage
from widedeep.schema.manifest import Audit, AuditedFeature, Column
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.partitioning import Salt, uniform
from widedeep.spark.preparation.feature_tables import FeatureTable, FeatureTables
from widedeep.spark.preparation.rating_shards import RatingShards
from widedeep.spark.rating_sums import rating_totals, squared_rating_sum
from widedeep.spark.session import run_concurrently

MOST_ENTITIES = 200_000


class AuditedRatings(NamedTuple):
    """Ratings of the training split and of the one that is held out: user, item, rating."""

    train: DataFrame
    held_out: DataFrame
    scale: RatingScale
    squares: tuple[float, float]  # sums of the squared ratings of both


def audit_features(
    tables: FeatureTables,
    ratings: RatingShards,
    held_out: DataFrame,
    split: Literal["valid", "test"],
    scale: RatingScale,
) -> Audit:
    """Measure each feature of both tables alone.

    Args:
        tables: the feature tables.
        ratings: the written ratings.
        held_out: user, item, rating of the split that is held out.
        split: the name of that split.
        scale: the scale of the ratings.

    """
    log.info("auditing features …")
    squares = ratings.totals["train"].squared(scale), ratings.totals[split].squared(scale)
    audited = AuditedRatings(ratings.train, held_out, scale, squares)
    of_items, of_users = run_concurrently(
        *(partial(audit_table, table, audited) for table in (tables.items, tables.users)),
    )
    return Audit(split=split, items=tuple(of_items), users=tuple(of_users))


def audit_table(table: FeatureTable, ratings: AuditedRatings) -> list[AuditedFeature]:
    """Audit all features of a table and the leaky columns beside them, best on held-out ratings first."""
    rated, squares = rated_entities(table, ratings)
    n, mean = (rated[name].to_numpy().astype(np.float64) for name in ("train_ratings", "train_mean"))
    held_out_n, held_out_total = (rated[name].to_numpy() for name in ("held_out_n", "held_out_total"))
    if not n.sum() or not held_out_n.sum():
        return []
    # The mean is a float32; the exact sum is n times the lowest rating and a whole number of steps.
    scale = ratings.scale
    steps = np.round((n * mean - n * scale.lowest) / scale.step)
    entities = feature_leakage.Entities(
        feature_leakage.Sums(n, n * scale.lowest + steps * scale.step, squares[0]),
        feature_leakage.Sums(held_out_n, held_out_total, squares[1]),
    )
    known = feature_leakage.deviations(entities)
    used = {column.name for column in table.encoded.columns}
    audited = [
        audit_feature(column, rated, entities, known, table.name, column.name in used)
        for column in table.encoded.audited_columns
    ]
    return sorted(audited, key=lambda f: -(f.held_out_r2 if f.held_out_r2 is not None else -math.inf))


def rated_entities(table: FeatureTable, ratings: AuditedRatings) -> tuple[pa.Table, Sequence[float]]:
    """The features and sums of the users or items with ratings; and the sums of squares of both splits.

    The sums of the training ratings are in the feature table, so only the held-out ratings are grouped.
    """
    train, held_out, scale, squares = ratings
    key, share = F.col(table.key), MOST_ENTITIES / max(table.written.rows, 1)
    chosen = uniform(key, Salt.AUDIT_SAMPLE) < share if share < 1 else F.lit(True)
    sums = held_out_sums(held_out.where(chosen), table.key, scale)
    joined = table.encoded.audited.where(chosen).join(sums, on=table.key, how="left")
    rated = joined.where("train_ratings > 0 OR held_out_n IS NOT NULL").fillna(0.0, ["held_out_n", "held_out_total"])
    if share < 1:
        square = squared_rating_sum(F.col("rating"), scale)
        squares = [float(part.where(chosen).agg(square).collect()[0][0] or 0.0) for part in (train, held_out)]
    return rated.toArrow().sort_by(table.key).combine_chunks(), squares


def held_out_sums(held_out: DataFrame, key: str, scale: RatingScale) -> DataFrame:
    """Number and sum of the held-out ratings by `key`: key, held_out_n:double, held_out_total:double."""
    totals = rating_totals(held_out, key, scale)
    return totals.select(key, F.col("n").cast("double").alias("held_out_n"), F.col("total").alias("held_out_total"))


def audit_feature(
    column: Column,
    rated: pa.Table,
    entities: feature_leakage.Entities,
    known: feature_leakage.Deviations,
    table: Literal["items", "users"],
    used: bool,
) -> AuditedFeature:
    """One feature alone against the ratings.

    Args:
        column: of the feature.
        rated: from `rated_entities`.
        entities: their sums of ratings.
        known: `deviations` of these.
        table: of the feature.
        used: whether the feature is in the table, for the result.

    """
    values = rated[column.name].combine_chunks()
    if column.kind == "multi_hot":
        lists = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
        offsets, ids = np.asarray(lists.offsets, np.int64), np.asarray(lists.flatten(), np.int64)
        feature = feature_leakage.list_bins(offsets, ids)
    elif column.kind == "category":
        feature = feature_leakage.category_bins(np.asarray(values, np.int64))
    else:
        feature = values.to_pandas().to_numpy(np.float64)  # NaN for nulls
    measured = feature_leakage.measure(feature, entities, known)
    slope = measured.slope
    return AuditedFeature(
        table=table,
        name=column.name,
        kind=column.kind,
        source=column.source,
        used=used,
        ratings_in_it=column.ratings_in_it,
        train_rmse=_rounded(measured.train.rmse),
        train_r2=_rounded(measured.train.r2),
        held_out_rmse=_rounded(measured.held_out.rmse),
        held_out_r2=_rounded(measured.held_out.r2),
        slope=_rounded(slope.value) if slope else None,
        slope_error=_rounded(slope.error) if slope else None,
        leaks=slope.leaks if slope else False,
    )


def most_predictive(features: Mapping[str, tuple[AuditedFeature, ...]], best: int = 2) -> list[AuditedFeature]:
    """The features of a summary: all with a leak by provenance or by sign, and the best others of each table."""
    shown = []
    for audited in features.values():
        suspects = [f for f in audited if f.ratings_in_it == "all" or f.leaks]
        shown += suspects + [f for f in audited if f not in suspects][:best]
    return shown


def _rounded(value: float) -> float | None:
    """Six decimals, fewer than depend on the machine; None for NaN, which JSON lacks."""
    return round(value, 6) if math.isfinite(value) else None
