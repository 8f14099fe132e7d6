"""The feature tables of anime and users: parsed texts, statistics of the training split, encoded as numbers.

Pure DataFrame -> DataFrame, with the values that were fitted on the way.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.config.prepare import FeatureConfig
from widedeep.schema.manifest import LEAKY_COLUMNS, Column, ColumnKind, Numeric
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.preparation.mal_fields import Field, Fields, anime_fields, user_fields
from widedeep.spark.preparation.numeric_columns import fit_numeric, raw_name, scaled
from widedeep.spark.preparation.rating_statistics import (
    fit_rank_regression,
    rating_statistics,
    with_ranks,
    with_statistics,
)
from widedeep.spark.preparation.vocabularies import category_id_list, category_ids, fit_vocabularies


class EncodedTable(NamedTuple):
    """A feature table of numbers beside its keys, and what was fitted for it.

    `audited` is the table for the audit: numbers neither imputed nor scaled (null: missing), category ids, and all
    leaky columns of the dump, whether `frame` has them or not.
    """

    frame: DataFrame
    columns: tuple[Column, ...]
    audited: DataFrame
    audited_columns: tuple[Column, ...]
    numeric: dict[str, Numeric]
    vocabularies: dict[str, tuple[str, ...]]


# A column of a feature table and how it is computed.
Feature = tuple[Column, Expression]


def encode_items(
    raw: DataFrame, items: DataFrame, train: DataFrame, mean: float, options: FeatureConfig, scale: RatingScale
) -> tuple[EncodedTable, dict[str, float]]:
    """The items' table, and the regression that imputed missing ranks.

    Args:
        raw: the anime file's good rows as text, with their `id`.
        items: anime_id, item.
        train: item, rating of the training split.
        mean: its mean rating.
        options: how to impute, scale and encode.
        scale: the scale of the ratings.

    """
    fields = anime_fields()
    title = F.coalesce(F.col("Name"), F.concat(F.lit("anime "), "anime_id")).alias("title")
    statistics = rating_statistics(train, "item", mean, options.prior_ratings, scale)
    known = with_statistics(items, statistics, "item", mean)
    parsed = known.join(raw, on=known["anime_id"] == raw["id"], how="inner").select(
        *known.columns, title, *_parsed(fields)
    )
    table = with_ranks(parsed, options.rank_min_ratings).localCheckpoint()
    regression = fit_rank_regression(table)
    guess = F.greatest(F.lit(1.0), F.col("popularity") * regression["slope"] + regression["intercept"])
    table = table.withColumn("score", F.col("damped_mean")).withColumn("rank_missing", F.col("rank").isNull())
    table = table.withColumn("rank", F.coalesce("rank", F.round(guess, 3)))
    from_train = {"score": None, "popularity": None, "rank": F.col("rank_missing")}
    return _encode(table, fields, from_train, ("item", "anime_id", "title"), options), regression


def encode_users(
    raw: DataFrame, users: DataFrame, train: DataFrame, mean: float, options: FeatureConfig, scale: RatingScale
) -> EncodedTable:
    """The users' table; for the arguments see `encode_items`. A user without a row in `raw` has only missing values."""
    fields = user_fields()
    name = F.coalesce(F.col("Username"), F.lit("")).alias("username")
    statistics = rating_statistics(train, "user", mean, options.prior_ratings, scale)
    known = with_statistics(users, statistics, "user", mean)
    # No broadcast: in memory the users' texts are ten times as large as in Parquet.
    joined = known.join(raw.hint("merge"), on=known["user_id"] == raw["id"], how="left")
    parsed = joined.select(*known.columns, name, *_parsed(fields))
    table = parsed.withColumn("mean_score", F.col("damped_mean")).localCheckpoint()
    return _encode(table, fields, {"mean_score": None}, ("user", "user_id", "username"), options)


def _parsed(fields: Fields) -> list[Expression]:
    """The parsed features; and the raw texts of the numbers, to count those that were not understood."""
    parsed = [field.parse.alias(field.name) for field in fields.all()]
    names = dict.fromkeys(field.source for field in fields.numeric)
    return parsed + [F.col(f"`{name}`").alias(raw_name(name)) for name in names]


def _encode(
    table: DataFrame,
    fields: Fields,
    from_train: Mapping[str, Expression | None],
    keys: Sequence[str],
    options: FeatureConfig,
) -> EncodedTable:
    """Fit on the trained users or items of a table and encode all of them.

    Args:
        table: keys, statistics, parsed features and raw texts.
        fields: the features parsed from the dump.
        from_train: numeric columns computed from training ratings -> where the value was imputed, if it may have been.
        keys: identifiers to keep as they are.
        options: how to impute, scale and encode.

    """
    used = [f for f in fields.numeric if f.source not in LEAKY_COLUMNS or f.source in options.leaky_columns]
    sources = {field.name: field.source for field in used}
    numeric = fit_numeric(table, [*from_train, *sources], options, sources)
    vocabularies = _fit_vocabularies(table, fields, options)
    key_columns: list[Feature] = [(Column(name=key, kind="key"), F.col(key)) for key in keys]
    key_columns += [(_dump_column(field.name, "key", field.source), F.col(field.name)) for field in fields.text]
    statistics = [_from_train(name, "statistic") for name in ("train_ratings", "train_mean")]
    computed = [_from_train(name, "numeric") for name in from_train]
    ids = _category_features(fields, vocabularies)
    numbers = [column for column, _ in (*computed, *(_number(field) for field in used))]
    encoded = [(column, scaled(column.name, numeric[column.name])) for column in numbers]
    columns = [*key_columns, *statistics, *encoded, *_missing_indicators(from_train, sources), *ids]
    audited = [*statistics, *computed, *(_number(field) for field in fields.numeric), *ids]
    return EncodedTable(
        frame=_select(table, columns),
        columns=tuple(column for column, _ in columns),
        audited=_select(table, audited, keys[0]),
        audited_columns=tuple(column for column, _ in audited),
        numeric=numeric,
        vocabularies=vocabularies,
    )


def _select(table: DataFrame, features: Sequence[Feature], *keys: str) -> DataFrame:
    return table.select(*keys, *(expression.alias(column.name) for column, expression in features))


def _fit_vocabularies(table: DataFrame, fields: Fields, options: FeatureConfig) -> dict[str, tuple[str, ...]]:
    """Vocabularies of all categories and multi-valued columns."""
    categories, multi_hot = ([field.name for field in kind] for kind in (fields.category, fields.multi_hot))
    limits = {name: options.locations for name in categories if name == "location"}
    return fit_vocabularies(table, categories, multi_hot, limits, options.min_count)


def _from_train(name: str, kind: Literal["statistic", "numeric"]) -> Feature:
    """A number that is computed from the ratings of the training split."""
    return Column(name=name, kind=kind, ratings_in_it="train"), F.col(name)


def _number(field: Field) -> Feature:
    """A number as it is parsed from the dump."""
    return _dump_column(field.name, "numeric", field.source), F.col(field.name)


def _dump_column(name: str, kind: ColumnKind, source: str) -> Column:
    """The description of a column that is parsed from a column of the dump."""
    return Column(name=name, kind=kind, source=source, ratings_in_it="all" if source in LEAKY_COLUMNS else "none")


def _missing_indicators(from_train: Mapping[str, Expression | None], sources: Mapping[str, str]) -> list[Feature]:
    """Columns of 1 where a number was missing, else 0; for all numbers that may be missing."""
    features: list[Feature] = [
        (Column(name=f"{name}_missing", kind="indicator", ratings_in_it="train"), where.cast("float"))
        for name, where in from_train.items()
        if where is not None
    ]
    features += [
        (_dump_column(f"{name}_missing", "indicator", source), F.col(name).isNull().cast("float"))
        for name, source in sources.items()
    ]
    return features


def _category_features(fields: Fields, vocabularies: Mapping[str, Sequence[str]]) -> list[Feature]:
    """Categories and multi-valued columns as category ids."""
    features: list[Feature] = [
        (_dump_column(f.name, "category", f.source), category_ids(f.name, vocabularies[f.name]))
        for f in fields.category
    ]
    features += [
        (_dump_column(f.name, "multi_hot", f.source), category_id_list(f.name, vocabularies[f.name]))
        for f in fields.multi_hot
    ]
    return features
