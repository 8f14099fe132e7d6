"""Sums of ratings in Spark: exact for any step of the scale, so that they do not depend on the order of the rows.

A rating is lowest + k step with a whole number k. Spark sums the k and k^2 as integers; only the final combination is
in floating point.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from widedeep.schema.rating_scale import RatingScale


def steps_above_lowest(rating: Column, scale: RatingScale) -> Column:
    """The whole number k of a rating lowest + k step, as a bigint."""
    return F.round((rating.cast("double") - scale.lowest) / scale.step).cast("bigint")


def rating_sum(rating: Column, scale: RatingScale, weight: Column | int = 1) -> Column:
    """The sum of ratings as a double, null over no rows.

    Args:
        rating: a rating for each row.
        scale: the scale of the ratings.
        weight: how many ratings a row stands for, a whole number.

    """
    count = F.lit(weight) if isinstance(weight, int) else weight
    total = F.sum(count * steps_above_lowest(rating, scale)).cast("double")
    return scale.lowest * F.sum(count).cast("double") + scale.step * total


def squared_rating_sum(rating: Column, scale: RatingScale) -> Column:
    """The sum of squared ratings as a double, null over no rows."""
    k = steps_above_lowest(rating, scale)
    low, step = scale.lowest, scale.step
    linear, squared = F.sum(k).cast("double"), F.sum(k * k).cast("double")
    return low * low * F.count(rating).cast("double") + 2 * low * step * linear + step * step * squared
