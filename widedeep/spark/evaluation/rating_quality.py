"""How well a system predicts the ratings of the test split. Pure DataFrame -> DataFrame."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from widedeep.schema.evaluation import BIN_WIDTH, BINS, BUCKETS
from widedeep.schema.manifest import MAX_RATING


def matched(test: DataFrame, predictions: DataFrame) -> DataFrame:
    """user, item, rating, predicted and `problem` of each test rating; problem is null where all is well.

    Args:
        test: user, item, rating of the test split.
        predictions: user, item, rating, predicted of a system.

    """
    claims = predictions.select("user", "item", F.col("rating").alias("_claimed"), "predicted")
    odd = F.isnan("predicted") | (F.abs("predicted") == float("inf"))
    problem = (
        F.when(F.col("predicted").isNull(), "is missing")
        .when(odd, "is not a finite number")
        .when(F.col("_claimed").eqNullSafe(F.col("rating")), F.lit(None))
        .otherwise("goes with another rating than the test split's")
    )
    joined = test.select("user", "item", "rating").join(claims, on=["user", "item"], how="left")
    return joined.select("user", "item", "rating", "predicted", problem.alias("problem"))


def problems(matches: DataFrame) -> DataFrame:
    """problem, rows, and user and item of the first of them; one row for each problem, null among them."""
    first = F.min(F.struct("user", "item")).alias("first")
    return matches.groupBy("problem").agg(F.count("*").alias("rows"), first).select("problem", "rows", "first.*")


def rating_errors(matches: DataFrame, lowest: int) -> DataFrame:
    """user, item, rating, predicted (float, clipped to [lowest, 10]) and squared_error (double)."""
    clipped = F.least(F.greatest("predicted", F.lit(float(lowest))), F.lit(float(MAX_RATING)))
    error = clipped.cast("double") - F.col("rating")
    return matches.select(
        "user", "item", "rating", clipped.cast("float").alias("predicted"), (error * error).alias("squared_error")
    )


def error_cells(errors: DataFrame, users: DataFrame, items: DataFrame) -> DataFrame:
    """Sums over ratings that share their buckets and bin: some hundred rows, as `rating_figures` takes them.

    Args:
        errors: as of `rating_errors`.
        users: user and train_ratings.
        items: item and train_ratings.

    """
    number = F.floor(F.col("predicted") / BIN_WIDTH)
    with_buckets = (
        errors.withColumn("bin", F.least(number, F.lit(BINS - 1)).cast("int"))
        .join(users.select("user", bucket("train_ratings").alias("user_bucket")), on="user", how="inner")
        .join(items.select("item", bucket("train_ratings").alias("item_bucket")), on="item", how="inner")
    )
    rating, predicted = (F.col(name).cast("double") for name in ("rating", "predicted"))
    return with_buckets.groupBy("user_bucket", "item_bucket", "bin").agg(
        F.count("*").alias("ratings"),
        F.sum("squared_error").alias("squared_error"),
        F.sum(F.abs(predicted - rating)).alias("absolute_error"),
        F.sum(rating).alias("rating"),
        F.sum(rating * rating).alias("squared_rating"),
        F.sum(predicted).alias("predicted"),
    )


def bucket(count: str) -> Column:
    """Name of the bucket (see BUCKETS) of a column of training ratings."""
    (first, most), *others = BUCKETS
    named = F.when(F.col(count) <= most, first)
    for name, most in others:
        named = named.otherwise(name) if most is None else named.when(F.col(count) <= most, name)
    return named
