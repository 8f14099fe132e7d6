import math

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from tests.builders import TEN_POINTS
from widedeep.evaluation.rating_metrics import bin_width, last_bin, rating_metrics
from widedeep.schema.rating_scale import RatingScale


def cell(user, item, number, predicted, rating):
    """Sums over a few ratings, by NumPy."""
    predicted, rating = np.asarray(predicted, float), np.asarray(rating, float)
    return {
        "user_bucket": user,
        "item_bucket": item,
        "bin": number,
        "ratings": len(rating),
        "squared_error": ((predicted - rating) ** 2).sum(),
        "absolute_error": np.abs(predicted - rating).sum(),
        "rating": rating.sum(),
        "squared_rating": (rating**2).sum(),
        "predicted": predicted.sum(),
    }


def test_errors_are_sklearns_however_ratings_are_cut_into_cells():
    random = np.random.default_rng(0)
    rating = random.integers(1, 11, 500).astype(float)
    predicted = np.clip(rating + random.normal(0, 2, 500), 1, 10)
    user, item = (random.choice(["0", "1-5", ">100"], 500) for _ in range(2))
    number = np.minimum(predicted // 0.5, last_bin(TEN_POINTS)).astype(int)
    keys = sorted(set(zip(user, item, number.tolist(), strict=True)))
    where = {key: (user == key[0]) & (item == key[1]) & (number == key[2]) for key in keys}
    found = rating_metrics([cell(*key, predicted[at], rating[at]) for key, at in where.items()], TEN_POINTS)
    for errors, at in [
        (found.overall, np.ones(500, bool)),
        (found.by_user_ratings[">100"], user == ">100"),
        (found.by_item_ratings["1-5"], item == "1-5"),
    ]:
        assert errors.ratings == at.sum()
        assert errors.rmse == pytest.approx(math.sqrt(mean_squared_error(rating[at], predicted[at])))
        assert errors.mae == pytest.approx(mean_absolute_error(rating[at], predicted[at]))
        assert errors.r2 == pytest.approx(r2_score(rating[at], predicted[at]))
    assert list(found.by_user_ratings) == ["0", "1-5", "6-20", "21-100", ">100"]
    assert found.by_user_ratings["6-20"].model_dump() == {"ratings": 0, "rmse": None, "mae": None, "r2": None}


def test_calibration_by_hand():
    cells = [
        cell("0", "0", 4, [2.0, 2.4], [3, 3]),
        cell("0", "1-5", 4, [2.2], [0]),
        cell("0", "0", 19, [10.0], [9]),
    ]
    found = rating_metrics(cells, TEN_POINTS)
    first, last = found.calibration
    assert (first.low, first.high, first.ratings) == (2.0, 2.5, 3)
    assert (first.mean_predicted, first.mean_rating) == (pytest.approx(2.2), 2.0)
    assert (last.low, last.high, last.ratings, last.mean_rating) == (9.5, 10.0, 1, 9.0)
    assert found.calibration_error == pytest.approx((3 * 0.2 + 1 * 1.0) / 4)


def test_nothing_to_divide_by():
    assert rating_metrics([], TEN_POINTS).overall.rmse is None
    assert rating_metrics([], TEN_POINTS).calibration_error is None
    assert rating_metrics([cell("0", "0", 1, [7.0], [8]), cell("0", "0", 1, [7.0], [8])], TEN_POINTS).overall.r2 is None


def test_bins_fill_the_scale():
    half_stars = RatingScale(lowest=0.5, highest=5, step=0.5, liked=4)
    assert [(bin_width(scale), last_bin(scale)) for scale in (TEN_POINTS, half_stars)] == [(0.5, 19), (0.25, 19)]
