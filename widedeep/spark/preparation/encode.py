"""The feature tables of items and users: parsed texts, statistics of the training split, encoded as numbers.

Pure DataFrame -> DataFrame, with the values that were fitted on the way.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.config.prepare import FeatureConfig
from widedeep.schema.dataset import EntityFile
from widedeep.schema.manifest import Column, ColumnKind, Numeric
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.preparation.fields import Field, Fields, column_named, fields_of, name_of
from widedeep.spark.preparation.ingest import ID
from widedeep.spark.preparation.numeric_columns import fit_numeric, raw_name, scaled
from widedeep.spark.preparation.quarantine import Keep
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
    leaky columns of the file, whether `frame` has them or not.
    """

    frame: DataFrame
    rows: int
    columns: tuple[Column, ...]
    audited: DataFrame
    audited_columns: tuple[Column, ...]
    numeric: dict[str, Numeric]
    vocabularies: dict[str, tuple[str, ...]]


# A column of a feature table and how it is computed.
Feature = tuple[Column, Expression]


class RatedEntities(NamedTuple):
    """The items or the users, and the ratings of the training split that are theirs."""

    file: EntityFile | None  # the description of their file; None: there is none
    raw: DataFrame  # _identifier and its columns as text, of the good rows
    index: DataFrame  # item_id, item; or user_id, user
    train: DataFrame  # user, item, rating
    mean: float  # of the training ratings
    scale: RatingScale


def encode_items(items: RatedEntities, options: FeatureConfig, keep: Keep) -> tuple[EncodedTable, dict[str, float]]:
    """The items' table, and the regression that imputed missing ranks. `keep` keeps what is asked several times."""
    title = F.coalesce(_name(items.file), F.concat(F.lit("item "), F.col(ID))).alias("title")
    known = _with_statistics(items, "item", options)
    # An inner join: every item has a row.
    joined = known.join(items.raw, on=F.col("_known.item_id") == F.col(ID), how="inner")
    parsed = joined.select("_known.*", title, *_parsed(fields_of(items.file)))
    table = keep("items_parsed", lambda: with_ranks(parsed, options.rank_min_ratings))
    regression = fit_rank_regression(table)
    guess = F.greatest(F.lit(1.0), F.col("popularity") * regression["slope"] + regression["intercept"])
    table = table.withColumn("score", F.col("damped_mean")).withColumn("rank_missing", F.col("rank").isNull())
    table = table.withColumn("rank", F.coalesce("rank", F.round(guess, 3)))
    from_train = {"score": None, "popularity": None, "rank": F.col("rank_missing")}
    return _encode(table, items.file, from_train, ("item", "item_id", "title"), options), regression


def encode_users(users: RatedEntities, options: FeatureConfig, keep: Keep) -> EncodedTable:
    """The users' table; `keep` as for the items. A user without a row in their file has only missing values."""
    name = F.coalesce(_name(users.file), F.lit("")).alias("username")
    known = _with_statistics(users, "user", options)
    # No broadcast: in memory the users' texts are ten times as large as in Parquet. Parsed after it: parsers make empty
    # lists and texts for users without a row.
    joined = known.join(users.raw.hint("merge"), on=F.col("_known.user_id") == F.col(ID), how="left")
    parsed = joined.select("_known.*", name, *_parsed(fields_of(users.file)))
    table = keep("users_parsed", lambda: parsed.withColumn("mean_score", F.col("damped_mean")))
    return _encode(table, users.file, {"mean_score": None}, ("user", "user_id", "username"), options)


def _with_statistics(entities: RatedEntities, key: str, options: FeatureConfig) -> DataFrame:
    """_known: the index with what the training ratings say of each; the file may have columns of the same names."""
    train, mean = entities.train, entities.mean
    statistics = rating_statistics(train, key, mean, options.prior_ratings, entities.scale)
    return with_statistics(entities.index, statistics, key, mean).select(F.struct("*").alias("_known"))


def _name(file: EntityFile | None) -> Expression:
    """The column of titles or names, null without one."""
    return F.lit(None).cast("string") if file is None or file.name is None else name_of(file.name)


def _parsed(fields: Fields) -> list[Expression]:
    """The parsed features; and the raw texts of the numbers, to count those that were not understood."""
    parsed = [field.parse.alias(field.name) for field in fields.all()]
    names = dict.fromkeys(field.source for field in fields.numeric)
    return parsed + [column_named(name).alias(raw_name(name)) for name in names]


def _encode(
    table: DataFrame,
    file: EntityFile | None,
    from_train: Mapping[str, Expression | None],
    keys: Sequence[str],
    options: FeatureConfig,
) -> EncodedTable:
    """Fit on the trained users or items of a table and encode all of them.

    Args:
        table: keys, statistics, parsed features and raw texts.
        file: the description of the file that the features are parsed from.
        from_train: numeric columns computed from training ratings -> where the value was imputed, if it may have been.
        keys: identifiers to keep as they are.
        options: how to impute, scale and encode.

    """
    fields, leaks = fields_of(file), file.leaks if file else ()
    used = [f for f in fields.numeric if f.source not in leaks or f.source in options.leaky_columns]
    sources = {field.name: field.source for field in used}
    rows, numeric = fit_numeric(table, [*from_train, *sources], options, sources)
    vocabularies = _fit_vocabularies(table, fields, options)
    key_columns: list[Feature] = [(Column(name=key, kind="key"), F.col(key)) for key in keys]
    key_columns += [(_file_column(field.name, "key", field.source), F.col(field.name)) for field in fields.text]
    statistics = [_from_train(name, "statistic") for name in ("train_ratings", "train_mean")]
    computed = [_from_train(name, "numeric") for name in from_train]
    ids = _category_features(fields, vocabularies)
    numbers = [column for column, _ in (*computed, *(_number(field, leaks) for field in used))]
    encoded = [(column, scaled(column.name, numeric[column.name])) for column in numbers]
    columns = [*key_columns, *statistics, *encoded, *_missing_indicators(from_train, sources, leaks), *ids]
    audited = [*statistics, *computed, *(_number(field, leaks) for field in fields.numeric), *ids]
    return EncodedTable(
        frame=_select(table, columns),
        rows=rows,
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
    limits = dict.fromkeys(categories, options.max_categories) | dict.fromkeys(multi_hot, options.max_list_values)
    return fit_vocabularies(table, categories, multi_hot, limits, options.min_count)


def _from_train(name: str, kind: Literal["statistic", "numeric"]) -> Feature:
    """A number that is computed from the ratings of the training split."""
    return Column(name=name, kind=kind, ratings_in_it="train"), F.col(name)


def _number(field: Field, leaks: Sequence[str]) -> Feature:
    """A number as it is parsed from its file."""
    return _file_column(field.name, "numeric", field.source, leaks), F.col(field.name)


def _file_column(name: str, kind: ColumnKind, source: str, leaks: Sequence[str] = ()) -> Column:
    """The description of a column that is parsed from a column of a file."""
    return Column(name=name, kind=kind, source=source, ratings_in_it="all" if source in leaks else "none")


def _missing_indicators(
    from_train: Mapping[str, Expression | None], sources: Mapping[str, str], leaks: Sequence[str]
) -> list[Feature]:
    """Columns of 1 where a number was missing, else 0; for all numbers that may be missing."""
    features: list[Feature] = [
        (Column(name=f"{name}_missing", kind="indicator", ratings_in_it="train"), where.cast("float"))
        for name, where in from_train.items()
        if where is not None
    ]
    features += [
        (_file_column(f"{name}_missing", "indicator", source, leaks), F.col(name).isNull().cast("float"))
        for name, source in sources.items()
    ]
    return features


def _category_features(fields: Fields, vocabularies: Mapping[str, Sequence[str]]) -> list[Feature]:
    """Categories and multi-valued columns as category ids."""
    features: list[Feature] = [
        (_file_column(f.name, "category", f.source), category_ids(f.name, vocabularies[f.name]))
        for f in fields.category
    ]
    features += [
        (_file_column(f.name, "multi_hot", f.source), category_id_list(f.name, vocabularies[f.name]))
        for f in fields.multi_hot
    ]
    return features
