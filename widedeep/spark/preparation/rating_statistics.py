"""What the training split says of each user and item: counts, means, ranks; DataFrame -> DataFrame."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.preparation.numeric_columns import rounded
from widedeep.spark.rating_sums import rating_totals


def rating_statistics(train: DataFrame, key: str, mean: float, prior: float, scale: RatingScale) -> DataFrame:
    """Count and means of the training ratings of each `key`.

    The damped mean is that of the key's ratings and `prior` further ratings at the global mean, so that
    a single vote says little (and a rating little of itself, when it is trained on).

    Returns:
        key, train_ratings:int, train_mean:float, damped_mean:double.

    """
    totals = rating_totals(train, key, scale)
    damped = (F.col("total") + prior * mean) / (F.col("n") + prior)
    return totals.select(
        key,
        F.col("n").cast("int").alias("train_ratings"),
        (F.col("total") / F.col("n")).cast("float").alias("train_mean"),
        damped.alias("damped_mean"),
    )


def with_statistics(table: DataFrame, statistics: DataFrame, key: str, mean: float) -> DataFrame:
    """Join `rating_statistics` to a table; a user or item without training ratings gets the global mean."""
    return table.join(statistics, on=key, how="left").fillna(
        {"train_ratings": 0, "train_mean": mean, "damped_mean": mean}
    )


def with_ranks(items: DataFrame, min_ratings: int) -> DataFrame:
    """Add `popularity` (1: most training ratings) and `rank` (1: best damped mean; null under `min_ratings`)."""
    # One partition for all items: they are few. Spark warns of a window without a named partition.
    everything = F.col("train_ratings") < 0
    by_count = Window.partitionBy(everything).orderBy(F.desc("train_ratings"), "item")
    by_score = Window.partitionBy(F.col("train_ratings") >= min_ratings).orderBy(F.desc("damped_mean"), "item")
    rank = F.when(F.col("train_ratings") >= min_ratings, F.row_number().over(by_score))
    popularity = F.row_number().over(by_count)
    return items.withColumn("popularity", popularity.cast("double")).withColumn("rank", rank.cast("double"))


def fit_rank_regression(items: DataFrame) -> dict[str, float]:
    """Least squares of rank on popularity, over the items that have both.

    Returns:
        slope and intercept; with fewer than two ranked items, those of the identity.

    """
    known = items.where("rank IS NOT NULL AND train_ratings > 0").coalesce(1)  # one order of sums on any cluster
    fitted = [f("rank", "popularity").alias(f.__name__) for f in (F.regr_slope, F.regr_intercept)]
    row = known.agg(F.count("*").alias("known"), *fitted).collect()[0]
    if row["known"] < 2:
        return {"slope": 1.0, "intercept": 0.0}
    return {"slope": rounded(row["regr_slope"]), "intercept": rounded(row["regr_intercept"])}
