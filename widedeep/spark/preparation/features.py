"""Users and anime -> feature tables of numbers: parsing, vocabularies, imputation, scaling.

Pure DataFrame -> DataFrame, and small fitted values. Everything is fitted on the entities of the
training split; what ratings say of an anime or a user is recomputed from the training split.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from widedeep.config.prepare import FeatureConfig
from widedeep.schema.manifest import Numeric
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.preparation.ingest import is_missing, number
from widedeep.spark.rating_sums import rating_sum

# Codes that every category vocabulary begins with.
UNKNOWN, OTHER = "", "<other>"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Field(NamedTuple):
    """A feature: its name, the dump's column it comes from, and how to parse that."""

    name: str
    source: str
    parse: Column


def year_of(text: Column) -> Column:
    """`Oct 20, 1999`, `Oct 1999` or `1999` -> 1999.8 (years, as a double); null if none of them."""
    # By the parts: parsing by a format throws (and catches) an exception for each text in another format.
    month, day, year = (
        F.regexp_extract(text, r"^\s*(?:([A-Z][a-z]{2}) (?:(\d{1,2}), )?)?(\d{4})\s*$", i) for i in (1, 2, 3)
    )
    number = F.when(month == "", 1).otherwise(_code({name: place for place, name in enumerate(MONTHS, 1)})[month])
    whole = F.concat_ws("-", year, number.cast("string"), F.when(day == "", "1").otherwise(day))
    return _years(F.when(number.isNotNull(), whole.try_cast("date")))


def timestamp_year(text: Column) -> Column:
    """`2004-11-05T00:00:00+00:00` -> 2004.84 (years, as a double)."""
    return _years(F.when(~is_missing(text), text.try_cast("timestamp")))


def _years(moment: Column) -> Column:
    return F.year(moment) + (F.dayofyear(moment) - 1) / F.lit(366.0)


def minutes(text: Column) -> Column:
    """`1 hr 55 min`, `24 min per ep`, `30 sec` -> minutes, as a double; null if there is no duration."""

    def part(unit: str) -> Column:
        return F.regexp_extract(text, rf"(\d+)\s*{unit}", 1).try_cast("double")

    parts = [part("hr"), part("min"), part("sec")]
    total = sum((F.coalesce(p, F.lit(0.0)) * w for p, w in zip(parts, (60.0, 1.0, 1 / 60), strict=True)), F.lit(0.0))
    return F.when(F.coalesce(*parts).isNotNull(), total)


def category(text: Column) -> Column:
    """Text -> trimmed text; null where it is missing."""
    return F.when(~is_missing(text), F.trim(text))


def values(text: Column) -> Column:
    """`Action, Sci-Fi` -> a sorted array of distinct values; empty where it is missing."""
    parts = F.transform(F.split(text, ","), lambda part: F.trim(part))
    return F.when(is_missing(text), F.array().cast("array<string>")).otherwise(
        F.array_sort(F.array_distinct(F.filter(parts, lambda part: part != "")))
    )


def anime_fields() -> dict[str, list[Field]]:
    """How the anime file's columns become features, by kind."""
    col = F.col
    return {
        "numeric": [
            Field("episodes", "Episodes", number(col("Episodes"))),
            Field("duration", "Duration", minutes(col("Duration"))),
            Field("aired_start", "Aired", year_of(F.split_part(col("Aired"), F.lit(" to "), F.lit(1)))),
            Field("aired_end", "Aired", year_of(F.split_part(col("Aired"), F.lit(" to "), F.lit(2)))),
            Field("premiered_year", "Premiered", F.regexp_extract("Premiered", r"(\d{4})", 1).try_cast("double")),
            Field("favorites", "Favorites", number(col("Favorites"))),
            Field("members", "Members", number(col("Members"))),
            Field("dump_popularity", "Popularity", number(col("Popularity"))),
            Field("dump_score", "Score", number(col("Score"))),
            Field("dump_rank", "Rank", number(col("Rank"))),
            Field("dump_scored_by", "Scored By", number(col("Scored By"))),
        ],
        "category": [
            Field("type", "Type", category(col("Type"))),
            Field("source", "Source", category(col("Source"))),
            Field("status", "Status", category(col("Status"))),
            Field("age_rating", "Rating", category(col("Rating"))),
            Field("premiered_season", "Premiered", category(F.regexp_extract("Premiered", r"([A-Za-z]+)\s+\d{4}", 1))),
        ],
        "multi_hot": [
            Field(name.lower(), name, values(col(name))) for name in ("Genres", "Producers", "Licensors", "Studios")
        ],
    }


def user_fields() -> dict[str, list[Field]]:
    """How the users file's columns become features, by kind."""
    counters = (
        "Days Watched",
        "Watching",
        "Completed",
        "On Hold",
        "Dropped",
        "Plan to Watch",
        "Total Entries",
        "Rewatched",
        "Episodes Watched",
    )
    plain = [Field(name.lower().replace(" ", "_"), name, number(F.col(f"`{name}`"))) for name in counters]
    return {
        "numeric": [
            *plain,
            Field("joined", "Joined", timestamp_year(F.col("Joined"))),
            Field("birthday", "Birthday", timestamp_year(F.col("Birthday"))),
            Field("dump_mean_score", "Mean Score", number(F.col("`Mean Score`"))),
        ],
        "category": [
            Field("gender", "Gender", category(F.col("Gender"))),
            Field("location", "Location", category(F.col("Location"))),
        ],
        "multi_hot": [],
    }


def rating_statistics(train: DataFrame, key: str, mean: float, prior: float, scale: RatingScale) -> DataFrame:
    """What the training split says of each `key`.

    The damped mean is that of the key's ratings and `prior` further ratings at the global mean, so that
    a single vote says little (and a rating little of itself, when it is trained on).

    Returns:
        key, train_ratings:int, train_mean:float, damped_mean:double.

    """
    totals = train.groupBy(key).agg(F.count("*").alias("n"), rating_sum(F.col("rating"), scale).alias("total"))
    damped = (F.col("total") + prior * mean) / (F.col("n") + prior)
    return totals.select(
        key,
        F.col("n").cast("int").alias("train_ratings"),
        (F.col("total") / F.col("n")).cast("float").alias("train_mean"),
        damped.alias("damped_mean"),
    )


def with_statistics(table: DataFrame, statistics: DataFrame, key: str, mean: float) -> DataFrame:
    """Join `rating_statistics` to a table; who has no training rating gets 0 ratings at the global mean."""
    return table.join(statistics, on=key, how="left").fillna(
        {"train_ratings": 0, "train_mean": mean, "damped_mean": mean}
    )


def with_ranks(items: DataFrame, min_ratings: int) -> DataFrame:
    """Add `popularity` (1: most training ratings) and `rank` (1: best damped mean; null under `min_ratings`)."""
    # One partition, of all anime: they are few. Named, as Spark warns of one that comes unasked.
    everything = F.col("train_ratings") < 0
    by_count = Window.partitionBy(everything).orderBy(F.desc("train_ratings"), "item")
    by_score = Window.partitionBy(F.col("train_ratings") >= min_ratings).orderBy(F.desc("damped_mean"), "item")
    rank = F.when(F.col("train_ratings") >= min_ratings, F.row_number().over(by_score))
    popularity = F.row_number().over(by_count)
    return items.withColumn("popularity", popularity.cast("double")).withColumn("rank", rank.cast("double"))


def fit_rank_regression(items: DataFrame) -> dict[str, float]:
    """Least squares of rank on popularity, over the anime that have both.

    Returns:
        slope and intercept; with fewer than two ranked anime, the identity.

    """
    known = items.where("rank IS NOT NULL AND train_ratings > 0").coalesce(1)  # one order of sums, whatever the cores
    fitted = [f("rank", "popularity").alias(f.__name__) for f in (F.regr_slope, F.regr_intercept)]
    found = known.agg(F.count("*").alias("known"), *fitted).first()
    assert found is not None
    if found["known"] < 2:
        return {"slope": 1.0, "intercept": 0.0}
    return {"slope": rounded(found["regr_slope"]), "intercept": rounded(found["regr_intercept"])}


def rounded(value: float) -> float:
    """Nine digits: more than float32 holds, fewer than depend on the order of a distributed sum."""
    return float(f"{value:.9g}")


def raw_name(source: str) -> str:
    """Name under which a column of the dump travels beside the feature parsed from it."""
    return f"_raw {source}"


def fit_numeric(
    table: DataFrame, columns: Sequence[str], config: FeatureConfig, sources: Mapping[str, str]
) -> dict[str, Numeric]:
    """Fit imputation and scaling on the entities of the training split, all columns in one pass.

    Args:
        table: entities with `train_ratings`, the double `columns` and the dump's raw text columns.
        columns: what to fit.
        config: which mean, which scale.
        sources: column -> the dump's column, to count texts that are neither missing nor understood.

    """
    trained = F.col("train_ratings") > 0
    average = F.avg if config.impute == "mean" else F.median
    over_trained = {"fill": average, "mean": F.avg, "sd": F.stddev_pop, "min": F.min, "max": F.max, "known": F.count}
    wanted = [
        f(F.when(trained, F.col(name))).alias(f"{name} {label}")
        for name in columns
        for label, f in over_trained.items()
    ]
    wanted += [F.count_if(F.col(name).isNull()).alias(f"{name} missing") for name in columns]
    wanted += [
        F.count_if(F.col(name).isNull() & ~is_missing(F.col(raw_name(source)))).alias(f"{name} unparsed")
        for name, source in sources.items()
    ]
    found = table.agg(F.count_if(trained).alias("trained"), *wanted).first()
    assert found is not None
    result = {}
    for name in columns:
        fill, mean, sd, low, high = (float(found[f"{name} {k}"] or 0.0) for k in ("fill", "mean", "sd", "min", "max"))
        fill = rounded(fill)
        known, missing = found[f"{name} known"], found["trained"] - found[f"{name} known"]
        if missing:  # the values as they are once the missing ones are filled
            low, high = (min(low, fill), max(high, fill)) if known else (fill, fill)
            merged = (known * mean + missing * fill) / (known + missing)
            spread = known * (sd**2 + (mean - merged) ** 2) + missing * (fill - merged) ** 2
            mean, sd = merged, math.sqrt(spread / (known + missing))
        center, scale = (mean, sd) if config.scale == "standard" else (low, high - low)
        result[name] = Numeric(
            impute=config.impute,
            fill=fill,
            scaler=config.scale,
            center=rounded(center),
            scale=rounded(scale) or 1.0,  # a constant column becomes zeros, not NaN
            missing=found[f"{name} missing"],
            unparsed=found[f"{name} unparsed"] if name in sources else 0,
        )
    return result


def scaled(name: str, fitted: Numeric) -> Column:
    """The column as the model sees it: imputed and scaled, float32."""
    value = F.coalesce(F.col(name), F.lit(fitted.fill))
    return ((value - fitted.center) / fitted.scale).cast("float").alias(name)


def fit_vocabularies(
    table: DataFrame,
    categories: Sequence[str],
    multi_hot: Sequence[str],
    limits: Mapping[str, int],
    min_count: int,
) -> dict[str, tuple[str, ...]]:
    """The values of categories and multi-valued columns among the trained entities, by frequency; one pass for all.

    Args:
        table: entities with `train_ratings`; categories are strings, multi-valued columns arrays of strings.
        categories: their vocabularies begin with unknown and other.
        multi_hot: their vocabularies hold nothing else.
        limits: category -> how many values at most.
        min_count: a value of a multi-valued column below this many entities is left out.

    """
    columns = [F.array(_named(name, F.col(name))) for name in categories]
    columns += [F.transform(name, partial(_named, name)) for name in multi_hot]
    if not columns:
        return {}
    pairs = table.where("train_ratings > 0").select(F.explode(F.concat(*columns)).alias("pair")).select("pair.*")
    counts = pairs.where("value IS NOT NULL").groupBy("field", "value").count()
    # Each field's best come to the driver: texts that users write themselves can be millions.
    place = F.row_number().over(Window.partitionBy("field").orderBy(F.desc("count"), "value"))
    limit = F.coalesce(_code(limits)[F.col("field")], F.lit(2**31 - 1))
    kept = counts.where((F.col("count") >= min_count) | F.col("field").isin(*categories))
    rows = kept.withColumn("place", place).where(F.col("place") <= limit).orderBy("field", "place").collect()
    found = {name: [row["value"] for row in rows if row["field"] == name] for name in (*categories, *multi_hot)}
    return {name: ((UNKNOWN, OTHER) if name in categories else ()) + tuple(found[name]) for name in found}


def _named(name: str, value: Column) -> Column:
    return F.struct(F.lit(name).alias("field"), value.alias("value"))


def _code(numbers: Mapping[str, int]) -> Column:
    """A map that can be asked for a column's values; null for others."""
    pairs = [F.lit(part) for pair in numbers.items() for part in pair]
    return F.create_map(*pairs) if pairs else F.create_map().cast("map<string,int>")


def coded(name: str, vocabulary: Sequence[str]) -> Column:
    """A category as the position of its value: 0 if missing, 1 if the vocabulary lacks it."""
    known = {value: code for code, value in enumerate(vocabulary) if code >= 2}
    code = F.coalesce(_code(known)[F.col(name)], F.lit(1))
    return F.when(F.col(name).isNull(), 0).otherwise(code).cast("int").alias(name)


def multi_coded(name: str, vocabulary: Sequence[str]) -> Column:
    """A multi-valued column as the sorted positions of its known values: a list of int32."""
    table = _code({value: code for code, value in enumerate(vocabulary)})
    codes = F.transform(F.col(name), lambda value: table[value])
    return F.array_sort(F.filter(codes, lambda code: code.isNotNull())).cast("array<int>").alias(name)
