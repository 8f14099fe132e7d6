import random
from fractions import Fraction

import pytest
from pyspark.sql import functions as F

from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.rating_sums import RatingTotals, rating_sum, squared_rating_sum, total_columns


@pytest.mark.parametrize(("lowest", "highest", "step"), [(1, 10, 1), (0.5, 5, 0.5), (0, 1, 0.1), (-10, 10, 0.1)])
def test_sums_are_exact_in_any_order(spark, lowest, highest, step):
    scale = RatingScale(lowest=lowest, highest=highest, step=step, liked=highest)
    ratings = random.Random(0).choices(scale.levels, k=5000)
    exact = sum(Fraction(str(round(rating, 6))) for rating in ratings)
    squares = sum(Fraction(str(round(rating, 6))) ** 2 for rating in ratings)
    for order in (ratings, sorted(ratings)):
        frame = spark.createDataFrame([(rating,) for rating in order], "rating float").repartition(3)
        total, squared, doubled, *parts = frame.agg(
            rating_sum(F.col("rating"), scale),
            squared_rating_sum(F.col("rating"), scale),
            rating_sum(F.col("rating"), scale, weight=F.lit(2)),
            *total_columns(F.col("rating"), scale),
        ).first()
        totals = RatingTotals(*parts)
        assert (totals.count, totals.mean(scale), totals.squared(scale)) == (5000, total / 5000, squared)
        assert total == pytest.approx(float(exact), rel=1e-15)
        assert squared == pytest.approx(float(squares), rel=1e-14)
        assert doubled == pytest.approx(2 * total, rel=1e-15)


def test_a_sum_over_nothing_is_null(spark):
    scale = RatingScale(lowest=1, highest=10, step=1, liked=8)
    frame = spark.createDataFrame([], "rating float")
    assert frame.agg(rating_sum(F.col("rating"), scale)).first()[0] is None
