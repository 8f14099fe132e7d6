"""The feature tables of anime and users: typed, joined with what the training split says, encoded.

Pure DataFrame -> DataFrame, with the values that were fitted on the way; `features` has the single steps.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.config.prepare import FeatureConfig
from widedeep.schema.manifest import LEAKY_COLUMNS, Column, Numeric
from widedeep.spark.preparation import features

Fields = dict[str, list[features.Field]]


class Encoded(NamedTuple):
    """A feature table that is all numbers but for its keys, and what was fitted for it.

    `plain` is what is audited: the numbers neither imputed nor scaled (null: missing), the codes, and the leaky columns
    of the dump, whether they are in the table or not.
    """

    frame: DataFrame
    columns: tuple[Column, ...]
    plain: DataFrame
    plain_columns: tuple[Column, ...]
    numeric: dict[str, Numeric]
    vocabularies: dict[str, tuple[str, ...]]


def encode_items(
    raw: DataFrame, items: DataFrame, train: DataFrame, mean: float, options: FeatureConfig
) -> tuple[Encoded, dict[str, float]]:
    """The items' table, and the regression that imputed missing ranks.

    Args:
        raw: the anime file's good rows as text, with their `id`.
        items: anime_id, item.
        train: item, rating of the training split.
        mean: its mean rating.
        options: how to impute, scale and code.
    """
    fields = features.anime_fields()
    title = F.coalesce(F.col("Name"), F.concat(F.lit("anime "), "anime_id")).alias("title")
    statistics = features.rating_statistics(train, "item", mean, options.prior_ratings)
    known = features.with_statistics(items, statistics, "item", mean)
    typed = known.join(raw, on=known["anime_id"] == raw["id"], how="inner").select(
        *known.columns, title, *_parsed(fields)
    )
    table = features.with_ranks(typed, options.rank_min_ratings).localCheckpoint()
    regression = features.fit_rank_regression(table)
    guess = F.greatest(F.lit(1.0), F.col("popularity") * regression["slope"] + regression["intercept"])
    table = table.withColumn("score", F.col("damped_mean")).withColumn("rank_missing", F.col("rank").isNull())
    table = table.withColumn("rank", F.coalesce("rank", F.round(guess, 3)))
    computed = {"score": None, "popularity": None, "rank": F.col("rank_missing")}
    return _encode(table, fields, computed, ("item", "anime_id", "title"), options), regression


def encode_users(raw: DataFrame, users: DataFrame, train: DataFrame, mean: float, options: FeatureConfig) -> Encoded:
    """The users' table; the arguments are as those of `encode_items`. Users may be missing in `raw`."""
    fields = features.user_fields()
    name = F.coalesce(F.col("Username"), F.lit("")).alias("username")
    statistics = features.rating_statistics(train, "user", mean, options.prior_ratings)
    known = features.with_statistics(users, statistics, "user", mean)
    # Never by broadcast: as Parquet the users' texts are a tenth of what they take in memory.
    joined = known.join(raw.hint("merge"), on=known["user_id"] == raw["id"], how="left")
    typed = joined.select(*known.columns, name, *_parsed(fields))
    table = typed.withColumn("mean_score", F.col("damped_mean")).localCheckpoint()
    return _encode(table, fields, {"mean_score": None}, ("user", "user_id", "username"), options)


def _parsed(fields: Fields) -> list[Expression]:
    """The parsed features; and the raw texts of the numbers, to count those that were not understood."""
    parsed = [field.parse.alias(field.name) for group in fields.values() for field in group]
    names = dict.fromkeys(field.source for field in fields["numeric"])
    return parsed + [F.col(f"`{name}`").alias(features.raw_name(name)) for name in names]


def _encode(
    table: DataFrame,
    fields: Fields,
    computed: dict[str, Expression | None],
    keys: Sequence[str],
    options: FeatureConfig,
) -> Encoded:
    """Fit on the trained entities of a table and encode all of them.

    Args:
        table: keys, statistics, parsed features and raw texts.
        fields: where the features come from.
        computed: numeric columns that are in no field; where a value was imputed, if it may have been.
        keys: identifiers to take over as they are.
        options: how to impute, scale and code.
    """
    used = [f for f in fields["numeric"] if f.source not in LEAKY_COLUMNS or f.source in options.leaky_columns]
    sources = {field.name: field.source for field in used}
    numeric = features.fit_numeric(table, [*computed, *sources], options, sources)
    categories, multi_hot = ([f.name for f in fields[kind]] for kind in ("category", "multi_hot"))
    limits = {name: options.locations for name in categories if name == "location"}
    vocabularies = features.fit_vocabularies(table, categories, multi_hot, limits, options.min_count)
    missing = {name: where for name, where in computed.items() if where is not None}
    missing |= {name: F.col(name).isNull() for name in sources}
    columns = [(Column(name=key, kind="key"), F.col(key)) for key in keys]
    statistics = [(Column(name=s, kind="statistic"), F.col(s)) for s in ("train_ratings", "train_mean")]
    columns += statistics
    columns += [
        (Column(name=name, kind="numeric", source=sources.get(name)), features.scaled(name, fitted))
        for name, fitted in numeric.items()
    ]
    columns += [
        (Column(name=f"{name}_missing", kind="indicator", source=sources.get(name)), where.cast("float"))
        for name, where in missing.items()
    ]
    codes = [
        (Column(name=f.name, kind="category", source=f.source), features.coded(f.name, vocabularies[f.name]))
        for f in fields["category"]
    ]
    codes += [
        (Column(name=f.name, kind="multi_hot", source=f.source), features.multi_coded(f.name, vocabularies[f.name]))
        for f in fields["multi_hot"]
    ]
    columns += codes
    plain = [(Column(name=name, kind="numeric"), F.col(name)) for name in computed]
    plain += [(Column(name=f.name, kind="numeric", source=f.source), F.col(f.name)) for f in fields["numeric"]]
    plain = [*statistics, *plain, *codes]
    return Encoded(
        frame=table.select(*(expression.alias(column.name) for column, expression in columns)),
        columns=tuple(column for column, _ in columns),
        plain=table.select(keys[0], *(expression.alias(column.name) for column, expression in plain)),
        plain_columns=tuple(column for column, _ in plain),
        numeric=numeric,
        vocabularies=vocabularies,
    )
