"""Each feature alone against the held-out ratings: sums by Spark; widedeep/evaluation/feature_leakage.py does the rest.

The driver holds a row for each rated anime and each rater; where a table has more than MOST_ENTITIES rows, for a sample
of them by hash.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.evaluation import feature_leakage
from widedeep.schema.manifest import LEAKY_COLUMNS, AuditedFeature, Column
from widedeep.spark.partitioning import Salt, uniform
from widedeep.spark.preparation.encode import Encoded

MOST_ENTITIES = 200_000
# Computed by us from the training split, whatever the kind of the column says.
FROM_TRAIN = ("train_ratings", "train_mean", "score", "popularity", "rank", "mean_score")


class Subject(NamedTuple):
    """A feature table to audit."""

    name: Literal["items", "users"]
    key: str  # item or user
    encoded: Encoded
    rows: int


def held_sums(held: DataFrame, key: str) -> DataFrame:
    """Number and sum of the held-out ratings by `key`: key, held_n:double, held_total:double.

    Ratings are whole numbers, so the sums are exact and the same in any order.
    """
    rating = F.col("rating").cast("double")
    return held.groupBy(key).agg(F.count("*").cast("double").alias("held_n"), F.sum(rating).alias("held_total"))


def entity_table(subject: Subject, train: DataFrame, held: DataFrame) -> tuple[pa.Table, list[float]]:
    """The features and sums of who (or what) has ratings, by position; the sums of squares of train and held.

    The training sums are those that the features were made with, so only the held-out ratings are grouped.
    """
    key, share = F.col(subject.key), MOST_ENTITIES / max(subject.rows, 1)
    chosen = uniform(key, Salt.AUDIT_SAMPLE) < share if share < 1 else F.lit(True)
    sums = held_sums(held.where(chosen), subject.key)
    joined = subject.encoded.plain.where(chosen).join(sums, on=subject.key, how="left")
    rated = joined.where("train_ratings > 0 OR held_n IS NOT NULL").fillna(0.0, ["held_n", "held_total"])
    square = F.sum(F.col("rating").cast("double") * F.col("rating"))
    squares = [float(part.where(chosen).agg(square).collect()[0][0] or 0.0) for part in (train, held)]
    return rated.toArrow().sort_by(subject.key).combine_chunks(), squares


def audit_table(subject: Subject, train: DataFrame, held: DataFrame) -> list[AuditedFeature]:
    """Audit all features of a table and the leaky columns beside them, best on held-out ratings first.

    Args:
        subject: the table.
        train: user, item, rating of the training split.
        held: the same of the held-out split.

    """
    table, squares = entity_table(subject, train, held)
    n, mean = (table[name].to_numpy().astype(np.float64) for name in ("train_ratings", "train_mean"))
    held_n, held_total = (table[name].to_numpy() for name in ("held_n", "held_total"))
    # The mean is a float32 and the sum of ratings a whole number.
    entities = feature_leakage.Entities(
        feature_leakage.Sums(n, np.round(n * mean), squares[0]), feature_leakage.Sums(held_n, held_total, squares[1])
    )
    if not n.sum() or not held_n.sum():
        return []
    known = feature_leakage.deviations(entities)
    used = {column.name for column in subject.encoded.columns}
    found = [
        audit_feature(column, table, entities, known, subject.name, column.name in used)
        for column in subject.encoded.plain_columns
    ]
    return sorted(found, key=lambda feature: -(feature.held_r2 if feature.held_r2 is not None else -math.inf))


def audit_feature(
    column: Column,
    table: pa.Table,
    entities: feature_leakage.Entities,
    known: feature_leakage.Deviations,
    name: Literal["items", "users"],
    used: bool,
) -> AuditedFeature:
    """One feature alone against the ratings."""
    values = table[column.name].combine_chunks()
    if column.kind == "multi_hot":
        lists = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
        codes = feature_leakage.list_codes(np.asarray(lists.offsets, np.int64), np.asarray(lists.flatten(), np.int64))
    elif column.kind == "category":
        codes = feature_leakage.category_codes(np.asarray(values, np.int64))
    else:
        codes = feature_leakage.bin_codes(_numbers(values), entities.train.n)
    predicted = feature_leakage.predictions(codes, entities.train)
    if column.kind in ("multi_hot", "category"):
        guess = predicted[known.chosen]
    else:
        guess = feature_leakage.number_guess(_numbers(values), known)
    train, held = feature_leakage.errors(predicted, entities.train), feature_leakage.errors(predicted, entities.held)
    slope = feature_leakage.slope(guess, known)
    return AuditedFeature(
        table=name,
        name=column.name,
        kind=column.kind,
        source=column.source,
        used=used,
        ratings_in_it=provenance(column),
        train_rmse=_rounded(train.rmse),
        train_r2=_rounded(train.r2),
        held_rmse=_rounded(held.rmse),
        held_r2=_rounded(held.r2),
        slope=_rounded(slope.value) if slope else None,
        slope_error=_rounded(slope.error) if slope else None,
        sign_of_leak=slope.leaks if slope else False,
    )


def provenance(column: Column) -> Literal["none", "train", "all"]:
    """Which ratings a feature was computed from, by where it comes from."""
    if column.source in LEAKY_COLUMNS:
        return "all"
    return "train" if column.source is None and column.name in FROM_TRAIN else "none"


def telling(features: Mapping[str, tuple[AuditedFeature, ...]], best: int = 2) -> list[AuditedFeature]:
    """The features a summary shows: all with a leak by provenance or by sign, and the best others of each table."""
    shown = []
    for found in features.values():
        suspects = [f for f in found if f.ratings_in_it == "all" or f.sign_of_leak]
        shown += suspects + [f for f in found if f not in suspects][:best]
    return shown


def _numbers(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """(E,) float64, NaN for nulls."""
    return values.to_pandas().to_numpy(np.float64)


def _rounded(value: float) -> float | None:
    """Six digits after the point, fewer than depend on the machine; None for NaN, which JSON lacks."""
    return round(value, 6) if math.isfinite(value) else None
