"""Imputation and scaling of numbers, fitted on the users or items of the training split."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from widedeep.config.prepare import FeatureConfig
from widedeep.schema.manifest import Numeric
from widedeep.spark.preparation.text_parsers import is_missing

AVERAGES = {"mean": F.avg, "median": F.median}  # by what replaces missing values
# What a scale needs of the known values.
STATISTICS = {"standard": {"mean": F.avg, "sd": F.stddev_pop}, "minmax": {"min": F.min, "max": F.max}}


def rounded(value: float) -> float:
    """Nine digits: more than float32 has, fewer than depend on the order of a distributed sum."""
    return float(f"{value:.9g}")


def raw_name(source: str) -> str:
    """Name under which a column of the dump travels beside the feature parsed from it."""
    return f"_raw {source}"


class FittedNumbers(NamedTuple):
    """Imputation and scaling of the numbers of a table."""

    rows: int  # of the table
    columns: dict[str, Numeric]


def fit_numeric(
    table: DataFrame, columns: Sequence[str], config: FeatureConfig, sources: Mapping[str, str]
) -> FittedNumbers:
    """Fit imputation and scaling of all columns in one pass over the trained users or items.

    Args:
        table: rows with `train_ratings`, the double `columns` and the dump's raw text columns.
        columns: what to fit.
        config: which average, which scale.
        sources: column -> the dump's column, to count texts that are neither missing nor understood.

    """
    trained = F.col("train_ratings") > 0
    over_trained = {**STATISTICS[config.scale], "known": F.count}
    wanted = [
        f(F.when(trained, F.col(name))).alias(f"{name} {label}")
        for name in columns
        for label, f in {"fill": AVERAGES[imputed_by(name, config)], **over_trained}.items()
    ]
    wanted += [F.count_if(F.col(name).isNull()).alias(f"{name} missing") for name in columns]
    wanted += [
        F.count_if(F.col(name).isNull() & ~is_missing(F.col(raw_name(source)))).alias(f"{name} unparsed")
        for name, source in sources.items()
    ]
    row = table.agg(F.count("*").alias("rows"), F.count_if(trained).alias("trained"), *wanted).collect()[0]
    return FittedNumbers(row["rows"], {name: _fitted(row, name, config, name in sources) for name in columns})


def imputed_by(name: str, config: FeatureConfig) -> Literal["mean", "median"]:
    """Which statistic replaces the missing values of a column."""
    return "mean" if name in config.mean_columns else config.impute


def _fitted(row: Row, name: str, config: FeatureConfig, from_text: bool) -> Numeric:
    """Imputation and scaling of one column from its aggregates."""
    fill = rounded(row[f"{name} fill"] or 0.0)
    first, second = (float(row[f"{name} {k}"] or 0.0) for k in STATISTICS[config.scale])
    known, missing = row[f"{name} known"], row["trained"] - row[f"{name} known"]
    scaler = _standard if config.scale == "standard" else _minmax
    center, scale = scaler(first, second, fill, known, missing)
    return Numeric(
        impute=imputed_by(name, config),
        fill=fill,
        scaler=config.scale,
        center=rounded(center),
        scale=rounded(scale) or 1.0,  # a constant column becomes zeros, not NaN
        missing=row[f"{name} missing"],
        unparsed=row[f"{name} unparsed"] if from_text else 0,
    )


def _standard(mean: float, sd: float, fill: float, known: int, missing: int) -> tuple[float, float]:
    """Mean and standard deviation of the known values and as many of `fill` as are missing."""
    if not missing:
        return mean, sd
    merged = (known * mean + missing * fill) / (known + missing)
    spread = known * (sd**2 + (mean - merged) ** 2) + missing * (fill - merged) ** 2
    return merged, math.sqrt(spread / (known + missing))


def _minmax(low: float, high: float, fill: float, known: int, missing: int) -> tuple[float, float]:
    """The lowest of these values, and how far the highest is above it."""
    if missing:
        low, high = (min(low, fill), max(high, fill)) if known else (fill, fill)
    return low, high - low


def scaled(name: str, fitted: Numeric) -> Column:
    """The column as the model sees it: imputed and scaled, float32."""
    value = F.coalesce(F.col(name), F.lit(fitted.fill))
    return ((value - fitted.center) / fitted.scale).cast("float").alias(name)
