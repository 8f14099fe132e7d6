"""Spark's alternating least squares, its factors as arrays.

Legend: U users, I items, F factors.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from pyspark.ml.recommendation import ALS
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.baselines.factors import Factors
from widedeep.config.baselines import AlsGrid, ImplicitAlsGrid
from widedeep.data.rating_matrices import LEAST, MOST, NEUTRAL, PER_POINT, Splits
from widedeep.evaluation.reference_models import Biases


def preference() -> Column:
    """`widedeep.data.rating_matrices.preference` of the column rating."""
    return F.greatest(F.lit(LEAST), F.least(F.lit(MOST), 1 + (F.col("rating") - NEUTRAL) * PER_POINT)).cast("float")


def less_mean(ratings: DataFrame, mean: float) -> DataFrame:
    """Give user, item and the rating's distance from the mean: ALS draws predictions to 0."""
    return ratings.select("user", "item", (F.col("rating") - F.lit(mean)).cast("float").alias("rating"))


def less_biases(ratings: DataFrame, biases: Biases) -> DataFrame:
    """Give user, item and what the biases leave of the rating, as the column rating."""
    spark = ratings.sparkSession
    tables = [
        F.broadcast(spark.createDataFrame(pd.DataFrame({key: np.arange(len(bias), dtype=np.int32), f"_{key}": bias})))
        for key, bias in (("user", biases.user.numpy()), ("item", biases.item.numpy()))
    ]
    joined = ratings.join(tables[0], on="user", how="inner").join(tables[1], on="item", how="inner")
    rest = F.col("rating") - F.lit(biases.mean) - F.col("_user") - F.col("_item")
    return joined.select("user", "item", rest.cast("float").alias("rating"))


def fit_als(ratings: DataFrame, splits: Splits, **settings) -> Factors:
    """Factorise ratings (Zhou et al., 2008; implicit: Hu et al., 2008).

    Args:
        ratings: user, item, rating.
        splits: for the number of users and items.
        settings: of pyspark.ml.recommendation.ALS.

    """
    als = ALS(userCol="user", itemCol="item", ratingCol="rating", checkpointInterval=-1, **settings)
    model = als.fit(ratings.select("user", "item", "rating"))
    user, _ = collect(model.userFactors, splits.users)
    item, rated = collect(model.itemFactors, splits.items)
    return Factors(user, item, rated)


def collect(factors: DataFrame, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors by id as an array [rows, F] float32 with 0 where there are none; and the ids there are."""
    table = factors.toArrow()
    ids = table["id"].to_numpy()
    values = np.asarray(table["features"].combine_chunks().flatten(), np.float32).reshape(len(ids), -1)
    dense = np.zeros((rows, values.shape[1]), np.float32)
    dense[ids] = values
    return dense, np.sort(ids)


def explicit_factors(ratings: DataFrame, splits: Splits, grid: AlsGrid, seed: int) -> Iterator[tuple[dict, Factors]]:
    """Factors for each rank and regularisation."""
    for rank in grid.ranks:
        for reg in grid.regularisations:
            fitted = fit_als(ratings, splits, rank=rank, regParam=reg, maxIter=grid.iterations, seed=seed)
            yield {"rank": rank, "regularisation": reg}, fitted


def implicit_factors(
    ratings: DataFrame, splits: Splits, grid: ImplicitAlsGrid, seed: int
) -> Iterator[tuple[dict, Factors]]:
    """Factors for each rank, regularisation, alpha and weighting of the history."""
    for weighted in (False, True):
        weight = preference() if weighted else F.lit(1.0).cast("float")
        frame = ratings.select("user", "item", weight.alias("rating"))
        for rank in grid.ranks:
            for reg in grid.regularisations:
                for alpha in grid.alphas:
                    settings = {"rank": rank, "regParam": reg, "alpha": alpha, "maxIter": grid.iterations}
                    found = {"rank": rank, "regularisation": reg, "alpha": alpha, "weighted_history": weighted}
                    yield found, fit_als(frame, splits, implicitPrefs=True, seed=seed, **settings)


def train_ratings(spark: SparkSession, data: str) -> DataFrame:
    """Give user, item and rating of the training split."""
    return spark.read.parquet(f"{data}/ratings").where(F.col("split") == "train").select("user", "item", "rating")
