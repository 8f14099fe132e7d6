"""Sums of ratings in Spark: exact for any step of the scale, so that they do not depend on the order of the rows.

A rating is offset + k step with a whole number k, and an offset of 0 where lowest is a multiple of step. Spark sums the
k and k^2 as integers; only the final combination is in floating point.
"""

from typing import NamedTuple, TypeVar

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from widedeep.schema.rating_scale import RatingScale

Number = TypeVar("Number", float, Column)


class RatingTotals(NamedTuple):
    """The number of some ratings, and the sums of their k and k^2."""

    count: int
    steps: int
    squares: int

    def mean(self, scale: RatingScale) -> float:
        """The mean rating."""
        return (_offset(scale) * self.count + scale.step * self.steps) / self.count

    def squared(self, scale: RatingScale) -> float:
        """The sum of the squared ratings."""
        return _squared(float(self.count), float(self.steps), float(self.squares), scale)


def _offset(scale: RatingScale) -> float:
    return scale.lowest - scale.step * round(scale.lowest / scale.step)


def _squared(count: Number, steps: Number, squares: Number, scale: RatingScale) -> Number:
    """The sum of squared ratings by their number and the sums of their k and k^2."""
    offset, step = _offset(scale), scale.step
    return offset * offset * count + 2 * offset * step * steps + step * step * squares


def _steps(rating: Column, scale: RatingScale) -> Column:
    """The whole number k of a rating offset + k step, as a bigint."""
    # Not `round`, which makes a decimal text of each number.
    return F.rint((rating.cast("double") - _offset(scale)) / scale.step).cast("bigint")


def total_columns(rating: Column, scale: RatingScale) -> list[Column]:
    """The aggregates of a `RatingTotals`, named like its fields."""
    k = _steps(rating, scale)
    return [F.count(rating).alias("count"), F.sum(k).alias("steps"), F.sum(k * k).alias("squares")]


def rating_sum(rating: Column, scale: RatingScale, weight: Column | int = 1) -> Column:
    """The sum of ratings as a double, null over no rows.

    Args:
        rating: a rating for each row.
        scale: the scale of the ratings.
        weight: how many ratings a row stands for, a whole number.

    """
    count = F.lit(weight) if isinstance(weight, int) else weight
    steps = F.sum(count * _steps(rating, scale)).cast("double")
    return _offset(scale) * F.sum(count).cast("double") + scale.step * steps


def squared_rating_sum(rating: Column, scale: RatingScale) -> Column:
    """The sum of squared ratings as a double, null over no rows."""
    count, steps, squares = (total.cast("double") for total in total_columns(rating, scale))
    return _squared(count, steps, squares, scale)


def rating_totals(ratings: DataFrame, key: str, scale: RatingScale) -> DataFrame:
    """Number and sum of the ratings by `key`: key, n:bigint, total:double."""
    return ratings.groupBy(key).agg(F.count("*").alias("n"), rating_sum(F.col("rating"), scale).alias("total"))
