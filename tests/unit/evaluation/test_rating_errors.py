import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from tests.builders import TEN_POINTS
from widedeep.common.errors import DivergedError
from widedeep.evaluation.rating_errors import RatingErrors
from widedeep.parallel.world import World

ALONE = World(0, 1, torch.device("cpu"))


def errors_of(*batches):
    errors = RatingErrors(ALONE.device, TEN_POINTS)
    for predicted, rating in batches:
        errors.add(torch.tensor(predicted), torch.tensor(rating))
    return errors.result(ALONE)


def test_errors_are_sklearns_of_the_clipped_predictions():
    random = np.random.default_rng(0)
    truth = random.integers(1, 11, 1000).astype(np.float32)
    predicted = (truth + random.normal(0, 4, 1000)).astype(np.float32)
    clipped = np.clip(predicted, 1, 10)
    assert (clipped != predicted).sum() > 100
    found = errors_of((predicted[:300], truth[:300]), (predicted[300:], truth[300:]))
    assert found["rmse"] == pytest.approx(math.sqrt(mean_squared_error(truth, clipped)), rel=1e-6)
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, clipped), rel=1e-6)
    assert found["r2"] == pytest.approx(r2_score(truth, clipped), rel=1e-6)
    assert found["ratings"] == 1000


def test_errors_by_hand():
    # Errors 0, 3 (12 is clipped to 10) and -1; the ratings' variance is 8 / 3.
    found = errors_of(([5.0, 12.0, 8.0], [5.0, 7.0, 9.0]))
    assert found["rmse"] == pytest.approx(math.sqrt(10 / 3))
    assert found["mae"] == pytest.approx(4 / 3)
    assert found["r2"] == pytest.approx(1 - (10 / 3) / (8 / 3))


def test_a_scale_from_zero_is_clipped_at_zero():
    errors = RatingErrors(ALONE.device, TEN_POINTS.model_copy(update={"lowest": 0.0}))
    errors.add(torch.tensor([-2.0, 0.5, 11.0]), torch.tensor([0.0, 0.0, 10.0]))
    assert errors.result(ALONE)["mae"] == pytest.approx(0.5 / 3)


def test_equal_ratings_have_no_variance_to_explain():
    found = errors_of(([6.0, 8.0], [7.0, 7.0]))
    assert found["rmse"] == 1.0
    assert math.isnan(found["r2"])


def test_no_ratings_no_errors():
    found = errors_of()
    assert found["ratings"] == 0
    assert all(math.isnan(found[name]) for name in ("rmse", "mae", "r2"))


@pytest.mark.parametrize("answer", [math.inf, -math.inf, math.nan])
def test_infinite_predictions_are_no_numbers(answer):
    """Clipped to the scale, infinity would be a rating of 10."""
    with pytest.raises(DivergedError, match="1 of 3 predicted ratings are not finite numbers"):
        errors_of(([5.0, answer, 8.0], [5.0, 7.0, 9.0]))
