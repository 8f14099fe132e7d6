"""Baselines fitted by Spark's alternating least squares.

Legend: U users, I items, F factors.
"""

from abc import ABC
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.baselines.base import Baseline, BaselineContext, Counts, NonNegatives
from widedeep.baselines.factors import Factors, factor_predictor, factor_ranker
from widedeep.baselines.simple import mean_predictor
from widedeep.baselines.tuning import Candidate
from widedeep.config.fields import Count
from widedeep.data.rating_matrices import Splits
from widedeep.evaluation.reference_models import Biases
from widedeep.spark.prepared_data import PreparedData


class FactorFit(NamedTuple):
    """Factors and the settings they were fitted with."""

    settings: dict[str, Any]
    factors: Factors


class ExplicitAls(Baseline, ABC):
    """Settings of factorisations of the ratings themselves."""

    ranks: Counts = Field(default=(64, 128), description="factors")
    regularisations: NonNegatives = Field(
        default=(0.07, 0.1, 0.14), description="penalty of a vector for each of its ratings"
    )
    iterations: Count = Field(default=10, ge=1, description="sweeps over users and items")

    def fits(self, ratings: DataFrame, splits: Splits, seed: int) -> Iterator[FactorFit]:
        """Factorise the column `rating` with each rank and regularisation."""
        for rank in self.ranks:
            for reg in self.regularisations:
                factors = fit_als(ratings, splits, rank=rank, regParam=reg, maxIter=self.iterations, seed=seed)
                yield FactorFit({"rank": rank, "regularisation": reg}, factors)


class Als(ExplicitAls):
    """The mean plus factors of the ratings predict ratings; the factors rank items."""

    name = "als"

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield candidates for ratings and lists."""
        splits, mean = context.splits, mean_predictor(context.splits)
        ratings = subtract_mean(train_ratings(context.data), splits.mean)
        for settings, factors in self.fits(ratings, splits, context.seed):
            yield Candidate(settings, factor_predictor(factors, mean), factor_ranker(factors))


class Mf(ExplicitAls):
    """Biases plus factors of their residuals predict ratings and rank items."""

    name = "mf"

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield candidates for ratings and lists."""
        ratings = subtract_biases(train_ratings(context.data), context.biases)
        for settings, factors in self.fits(ratings, context.splits, context.seed):
            ranker = factor_ranker(factors, context.biases.item.numpy())
            yield Candidate(settings, factor_predictor(factors, context.bias_predictor), ranker)


def train_ratings(data: str) -> DataFrame:
    """Read user, item and rating of the training split in the active Spark session."""
    # The files have been checked when the ratings were read for all baselines.
    return PreparedData(SparkSession.active(), data, verify=False).ratings(["train"]).select("user", "item", "rating")


def subtract_mean(ratings: DataFrame, mean: float) -> DataFrame:
    """Replace ratings by their distance from the mean, as ALS shrinks predictions to 0."""
    return ratings.select("user", "item", (F.col("rating") - F.lit(mean)).cast("float").alias("rating"))


def subtract_biases(ratings: DataFrame, biases: Biases) -> DataFrame:
    """Replace ratings by their residuals: rating - mean - user bias - item bias."""
    spark = ratings.sparkSession
    tables = [
        F.broadcast(spark.createDataFrame(pd.DataFrame({key: np.arange(len(bias), dtype=np.int32), f"_{key}": bias})))
        for key, bias in (("user", biases.user.numpy()), ("item", biases.item.numpy()))
    ]
    joined = ratings.join(tables[0], on="user", how="inner").join(tables[1], on="item", how="inner")
    rest = F.col("rating") - F.lit(biases.mean) - F.col("_user") - F.col("_item")
    return joined.select("user", "item", rest.cast("float").alias("rating"))


def fit_als(ratings: DataFrame, splits: Splits, **settings: Any) -> Factors:
    """Factorise ratings (Zhou et al., 2008).

    Args:
        ratings: user, item, rating.
        splits: for the number of users and items.
        settings: of pyspark.ml.recommendation.ALS.

    """
    als = ALS(userCol="user", itemCol="item", ratingCol="rating", checkpointInterval=-1, **settings)
    model = als.fit(ratings.select("user", "item", "rating"))
    user, _ = collect_factors(model.userFactors, splits.users)
    item, rated = collect_factors(model.itemFactors, splits.items)
    return Factors(user, item, rated)


def collect_factors(factors: DataFrame, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Collect factors as an array [rows, F] float32, 0 in rows without factors, and the sorted ids that have them."""
    table = factors.toArrow()
    ids = table["id"].to_numpy()
    values = np.asarray(table["features"].combine_chunks().flatten(), np.float32).reshape(len(ids), -1)
    dense = np.zeros((rows, values.shape[1]), np.float32)
    dense[ids] = values
    return dense, np.sort(ids)
