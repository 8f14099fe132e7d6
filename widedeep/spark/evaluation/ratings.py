"""How well a system predicts the ratings of the test split."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from widedeep.common.errors import InputError
from widedeep.evaluation.rating_metrics import bin_width, last_bin, rating_metrics
from widedeep.schema.evaluation import BUCKETS, RatingMetrics
from widedeep.schema.predictions import PREDICTION_SCHEMA
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.evaluation.evaluation_data import EvaluationData
from widedeep.spark.rating_sums import rating_sum, squared_rating_sum
from widedeep.spark.shards import write_parquet


def measure_ratings(data: EvaluationData, path: str, target: str) -> RatingMetrics:
    """Measure the predicted ratings in `path`, and write the squared error of each to `target`."""
    scale = data.manifest.ratings.scale
    predictions = data.read(path, "predictions", PREDICTION_SCHEMA.names)
    matches = match_predictions(data.test, predictions).persist()
    try:
        _check_predictions(data, path, predictions, matches)
        write_parquet(data.files, rating_errors(matches, scale), target)
    finally:
        matches.unpersist()
    cells = error_cells(data.spark.read.parquet(target), data.users, data.items, scale)
    return rating_metrics([row.asDict() for row in cells.collect()], scale)


def _check_predictions(data: EvaluationData, path: str, predictions: DataFrame, matches: DataFrame) -> None:
    """InputError unless each test rating is predicted once and nothing else is predicted."""
    tested = data.manifest.ratings.rows("test")
    by_problem = {row["problem"]: row for row in count_problems(matches).collect()}
    for problem, row in sorted((problem, row) for problem, row in by_problem.items() if problem is not None):
        raise InputError(
            f"{path}: the prediction of user index {row['user']}, item index {row['item']} {problem} "
            f"({row['rows']:,} of {tested:,} do so): write the predictions again, for {data.directory}"
        )
    if sum(row["rows"] for row in by_problem.values()) != tested or predictions.count() != tested:
        raise InputError(
            f"{path} has {predictions.count():,} rows, the test split of {data.directory} has {tested:,}: "
            "each test rating must be predicted once, and nothing else"
        )


def match_predictions(test: DataFrame, predictions: DataFrame) -> DataFrame:
    """Each test rating with its prediction: user, item, rating, predicted, problem (null if there is none).

    Args:
        test: user, item, rating of the test split.
        predictions: user, item, rating, predicted of a system.

    """
    claims = predictions.select("user", "item", F.col("rating").alias("_claimed"), "predicted")
    not_finite = F.isnan("predicted") | (F.abs("predicted") == float("inf"))
    problem = (
        F.when(F.col("predicted").isNull(), "is missing")
        .when(not_finite, "is not a finite number")
        .when(F.col("_claimed").eqNullSafe(F.col("rating")), F.lit(None))
        .otherwise("goes with another rating than the test split's")
    )
    joined = test.select("user", "item", "rating").join(claims, on=["user", "item"], how="left")
    return joined.select("user", "item", "rating", "predicted", problem.alias("problem"))


def count_problems(matches: DataFrame) -> DataFrame:
    """problem, rows, and the first user and item with it: one row per problem, and one for null, no problem."""
    first = F.min(F.struct("user", "item")).alias("first")
    return matches.groupBy("problem").agg(F.count("*").alias("rows"), first).select("problem", "rows", "first.*")


def rating_errors(matches: DataFrame, scale: RatingScale) -> DataFrame:
    """user, item, rating, predicted (float, clipped to the scale) and squared_error (double)."""
    clipped = F.least(F.greatest("predicted", F.lit(scale.lowest)), F.lit(scale.highest))
    error = clipped.cast("double") - F.col("rating")
    return matches.select(
        "user", "item", "rating", clipped.cast("float").alias("predicted"), (error * error).alias("squared_error")
    )


def error_cells(errors: DataFrame, users: DataFrame, items: DataFrame, scale: RatingScale) -> DataFrame:
    """Sums over the ratings of each pair of buckets and bin: some hundred rows, the input of `rating_metrics`.

    Args:
        errors: the output of `rating_errors`.
        users: user and train_ratings.
        items: item and train_ratings.
        scale: the scale of the ratings.

    """
    number = F.floor(F.col("predicted") / bin_width(scale))
    with_buckets = (
        errors.withColumn("bin", F.least(number, F.lit(last_bin(scale))).cast("int"))
        .join(users.select("user", bucket("train_ratings").alias("user_bucket")), on="user", how="inner")
        .join(items.select("item", bucket("train_ratings").alias("item_bucket")), on="item", how="inner")
    )
    rating, predicted = (F.col(name).cast("double") for name in ("rating", "predicted"))
    return with_buckets.groupBy("user_bucket", "item_bucket", "bin").agg(
        F.count("*").alias("ratings"),
        F.sum("squared_error").alias("squared_error"),
        F.sum(F.abs(predicted - rating)).alias("absolute_error"),
        rating_sum(rating, scale).alias("rating"),
        squared_rating_sum(rating, scale).alias("squared_rating"),
        F.sum(predicted).alias("predicted"),
    )


def bucket(count: str) -> Column:
    """Name of the bucket (see BUCKETS) that a column of numbers of training ratings falls into."""
    (first, most), *others = BUCKETS
    named = F.when(F.col(count) <= most, first)
    for name, most in others:
        named = named.otherwise(name) if most is None else named.when(F.col(count) <= most, name)
    return named
