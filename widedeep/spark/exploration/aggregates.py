"""The aggregates of the dump that its page shows; pure DataFrame -> DataFrame.

Every result that goes to the driver is small, whatever the size of the dump: a row for each value of a
category, or for each distinct number of ratings (R ratings have fewer than the root of 2 R of these).
"""

from collections.abc import Collection, Sequence
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from widedeep.reporting.findings import MIN_RATINGS
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.preparation.fields import Fields, column_named
from widedeep.spark.preparation.ingest import CORRUPT, ID
from widedeep.spark.preparation.text_parsers import is_marked, is_missing
from widedeep.spark.rating_sums import rating_sum

YEARS = (1900, 2100)  # a year outside of them is a typing error
EXAMPLE_LENGTH = 160


def is_absent(name: str, names: Collection[str], marks: Sequence[str]) -> Column:
    """Whether a column has no value.

    Args:
        name: of the column.
        names: columns in which the words for missing values, such as `null`, may be names.
        marks: further texts that stand for no value; see `RowFile.missing`.

    """
    text = column_named(name)
    if marks:
        text = F.when(~is_marked(text, marks), text)
    return text.isNull() | F.trim(text).isin("", "UNKNOWN") if name in names else is_missing(text)


def missing_counts(columns: Sequence[str], names: Collection[str], marks: Sequence[str]) -> list[Column]:
    """Aggregates: the number of `rows` that could be split, and how many of them have no value in each column."""
    whole = F.col(CORRUPT).isNull()
    absent = (F.count_if(whole & is_absent(name, names, marks)).alias(name) for name in columns)
    return [F.count_if(whole).alias("rows"), *absent]


def _parsed(fields: Fields, name: str, kind: str) -> Column:
    """A feature as prepare parses it; nulls of the type `kind` if the data set does not have it."""
    found = [field.parse for field in fields.all() if field.name == name]
    return found[0] if found else F.lit(None).cast(kind)


def parse_items(items: DataFrame, fields: Fields) -> DataFrame:
    """Parse the columns of the items as prepare does.

    Args:
        items: the good rows of their file.
        fields: their features.

    Returns:
        item_id, type:string, genres:array, studios:array, season:string, premiered:int and aired:int (years),
        score:double; null or an empty array where missing.

    """
    none = F.array().cast("array<string>")
    return items.select(
        F.col(ID).alias("item_id"),
        _parsed(fields, "type", "string").alias("type"),
        F.coalesce(_parsed(fields, "genres", "array<string>"), none).alias("genres"),
        F.coalesce(_parsed(fields, "studios", "array<string>"), none).alias("studios"),
        F.lower(_parsed(fields, "premiered_season", "string")).alias("season"),
        _year(_parsed(fields, "premiered_year", "double")).alias("premiered"),
        _year(_parsed(fields, "aired_start", "double")).alias("aired"),
        _parsed(fields, "dump_score", "double").alias("score"),
    )


def _year(value: Column) -> Column:
    year = F.floor(value).cast("int")
    return F.when(year.between(*YEARS), year)


def all_users(users: DataFrame, fields: Fields, totals: DataFrame) -> DataFrame:
    """The users of the users' file and those who have only rated.

    Args:
        users: the good rows of the users' file.
        fields: their features.
        totals: user_id, n, total.

    Returns:
        user_id, gender:string, stated:double (the mean score that the dump states; null where it is
        missing or 0, which the site writes for users without scores), n:bigint (0: no ratings), total:double.

    """
    stated = _parsed(fields, "dump_mean_score", "double")
    known = users.select(
        F.col(ID).alias("user_id"),
        _parsed(fields, "gender", "string").alias("gender"),
        F.when(stated > 0, stated).alias("stated"),
    )
    return known.join(totals, on="user_id", how="full").select(
        "user_id", "gender", "stated", *(F.coalesce(name, F.lit(0)).alias(name) for name in ("n", "total"))
    )


def rating_levels(ratings: DataFrame) -> DataFrame:
    """item_id, rating:double, n:bigint: how often each anime got each rating.

    Most other aggregates are made from it.
    """
    levels = ratings.groupBy("item_id", F.col("rating").cast("double").alias("rating"))
    return levels.agg(F.count("*").alias("n"))


def anime_totals(levels: DataFrame, scale: RatingScale) -> DataFrame:
    """item_id, n:bigint, total:double: number and sum of each anime's ratings; from `rating_levels`."""
    total = rating_sum(F.col("rating"), scale, weight=F.col("n"))
    return levels.groupBy("item_id").agg(F.sum("n").alias("n"), total.alias("total"))


def with_totals(anime: DataFrame, totals: DataFrame) -> DataFrame:
    """The parsed anime with n:bigint and total:double; 0 for anime without ratings."""
    joined = anime.join(totals, on="item_id", how="left")
    return joined.fillna({"n": 0, "total": 0.0})


def histogram(levels: DataFrame) -> DataFrame:
    """rating:double, n:bigint, ascending."""
    return levels.groupBy("rating").agg(F.sum("n").alias("n")).orderBy("rating")


def long_tail(totals: DataFrame) -> DataFrame:
    """n:bigint, entities:bigint: how many anime or users have exactly n ratings, ascending, from n = 1."""
    return totals.where("n > 0").groupBy("n").agg(F.count("*").alias("entities")).orderBy("n")


def by_category(rated: DataFrame, column: str, most: Literal["ratings", "anime"] = "ratings") -> DataFrame:
    """Anime and ratings by the values of a category.

    Args:
        rated: from `with_totals`.
        column: a category, or an array of them: an anime then counts for each of its values.
        most: what the first values have most of.

    Returns:
        value:string (null: anime without a value), anime:bigint, ratings:bigint, mean:double (of the
        ratings; null without any); null first, then by `most`.

    """
    many = dict(rated.dtypes)[column].startswith("array")
    value = F.explode_outer(column) if many else F.col(column)
    groups = rated.select(value.alias("value"), "n", "total").groupBy("value")
    other = "anime" if most == "ratings" else "ratings"
    return groups.agg(*_sums()).orderBy(F.col("value").isNotNull(), F.desc(most), F.desc(other), "value")


def _sums() -> list[Column]:
    return [F.count("*").alias("anime"), *_ratings_and_mean()]


def _ratings_and_mean() -> list[Column]:
    """The number of ratings and their mean, null without any, over rows with their n and total."""
    ratings = F.sum("n")
    return [ratings.alias("ratings"), F.when(ratings > 0, F.sum("total") / ratings).alias("mean")]


def premieres(rated: DataFrame) -> DataFrame:
    """year:int, season:string, anime, ratings, mean of the anime that state a premiere, ascending."""
    known = rated.where("premiered IS NOT NULL AND season IS NOT NULL")
    return known.groupBy(F.col("premiered").alias("year"), "season").agg(*_sums()).orderBy("year", "season")


def by_year(rated: DataFrame) -> DataFrame:
    """year:int (in which it was first aired), anime, ratings, mean, ascending."""
    known = rated.where("aired IS NOT NULL")
    return known.groupBy(F.col("aired").alias("year")).agg(*_sums()).orderBy("year")


def type_levels(levels: DataFrame, anime: DataFrame) -> DataFrame:
    """type:string (null: not stated), rating:double, n:bigint."""
    typed = levels.join(anime.select("item_id", "type"), on="item_id", how="inner")
    return typed.groupBy("type", "rating").agg(F.sum("n").alias("n")).orderBy("type", "rating")


def score_quantiles(anime: DataFrame) -> DataFrame:
    """type:string, anime:bigint, q5, q25, q50, q75, q95: exact quantiles of the dump's Score, by known type."""
    known = anime.where("score IS NOT NULL AND type IS NOT NULL")
    cuts = [F.percentile("score", F.lit(percent / 100)).alias(f"q{percent}") for percent in (5, 25, 50, 75, 95)]
    return known.groupBy("type").agg(F.count("*").alias("anime"), *cuts).orderBy(F.desc("anime"), "type")


def genders(users: DataFrame) -> DataFrame:
    """gender:string (null: not stated), users, raters, ratings, mean; most users first. From `all_users`."""
    counts = [F.count("*").alias("users"), F.count_if(F.col("n") > 0).alias("raters"), *_ratings_and_mean()]
    return users.groupBy("gender").agg(*counts).orderBy(F.desc("users"), "gender")


def agreement(entities: DataFrame, stated: str) -> DataFrame:
    """Correlation and distance of the means that the dump states and the means of its ratings; one row.

    Args:
        entities: anime or users with n, total and the `stated` mean; those under MIN_RATINGS are left out.
        stated: name of that column.

    Returns:
        entities:bigint, correlation:double (null where it is not defined), difference:double (root of the mean
        squared difference).

    """
    compared = _compared(entities, stated)
    return compared.agg(
        F.count("*").alias("entities"),
        # Spark gives NaN for a constant, and for a single pair
        F.nanvl(F.corr("stated", "own"), F.lit(None).cast("double")).alias("correlation"),
        F.sqrt(F.avg((F.col("stated") - F.col("own")) ** 2)).alias("difference"),
    )


def agreement_bins(entities: DataFrame, stated: str, width: float = 0.25) -> DataFrame:
    """The means of the ratings by bins of the stated mean: stated:double (middle of a bin), entities, low, own, high.

    `own` is the median of the means of the ratings in the dump, `low` and `high` the 10th and the 90th percentile.
    """
    middle = (F.floor(F.col("stated") / width) + 0.5) * width
    cuts = [F.percentile_approx("own", F.lit(q), 1000).alias(n) for n, q in (("low", 0.1), ("own", 0.5), ("high", 0.9))]
    bins = _compared(entities, stated).groupBy(middle.alias("stated"))
    return bins.agg(F.count("*").alias("entities"), *cuts).orderBy("stated")


def _compared(entities: DataFrame, stated: str) -> DataFrame:
    enough = entities.where((F.col("n") >= MIN_RATINGS) & F.col(stated).isNotNull())
    return enough.select(F.col(stated).alias("stated"), (F.col("total") / F.col("n")).alias("own"))


def quarantine_examples(quarantine: DataFrame) -> DataFrame:
    """file, reason, rows:bigint, example: the hundred most frequent kinds of rows in prepare's quarantine."""
    kinds = quarantine.groupBy("file", "reason")
    example = F.min(F.substring("row", 1, EXAMPLE_LENGTH)).alias("example")
    return kinds.agg(F.count("*").alias("rows"), example).orderBy(F.desc("rows"), "file", "reason").limit(100)
