import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_squared_error

from tests.builders import TEN_POINTS
from widedeep.data.batches import Batch
from widedeep.evaluation.rating_cells import RatingCells, bucket_numbers
from widedeep.parallel.world import ALONE
from widedeep.schema.rating_scale import RatingScale


def batch_of(user, item, rating) -> Batch:
    return Batch(
        torch.tensor(user, dtype=torch.int32), torch.tensor(item, dtype=torch.int32), torch.tensor(rating).float()
    )


def test_buckets_by_hand():
    counts = np.array([0, 1, 5, 6, 20, 21, 100, 101, 10**6])
    assert bucket_numbers(counts).tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_errors_of_each_bucket_are_sklearns_whatever_the_batches():
    random = np.random.default_rng(0)
    known = random.integers(0, 150, 40), random.integers(0, 30, 25)  # of users, of items
    user, item = random.integers(0, 40, 900), random.integers(0, 25, 900)
    rating = random.integers(1, 11, 900).astype(np.float32)
    predicted = (rating + random.normal(0, 3, 900)).astype(np.float32)
    cells = RatingCells(ALONE.device, TEN_POINTS, *known)
    for part in (slice(0, 300), slice(300, 300), slice(300, 900)):
        cells.add(batch_of(user[part], item[part], rating[part]), torch.from_numpy(predicted[part]))
    found, clipped = cells.result(ALONE), np.clip(predicted, 1, 10)
    few, many = (known[0][user] >= 6) & (known[0][user] <= 20), known[1][item] > 20
    for errors, chosen in (
        (found.overall, np.ones(900, bool)),
        (found.by_user_ratings["6-20"], few),
        (found.by_item_ratings["21-100"], many),
    ):
        assert errors.ratings == chosen.sum() > 0
        assert errors.rmse == pytest.approx(math.sqrt(mean_squared_error(rating[chosen], clipped[chosen])), rel=1e-6)
    assert found.by_item_ratings[">100"].ratings == 0
    assert sum(part.ratings for part in found.calibration) == 900


@pytest.mark.parametrize("lowest", [1.0, 0.0])
def test_calibration_by_hand(lowest):
    scale = TEN_POINTS.model_copy(update={"lowest": lowest})
    cells = RatingCells(ALONE.device, scale, np.zeros(1), np.zeros(1))
    # 12 and -3 are clipped to the ends of the scale, whose bins are the last one and the first one
    cells.add(batch_of([0] * 5, [0] * 5, [6, 8, 9, 9, 2]), torch.tensor([7.0, 7.4, 7.5, 12.0, -3.0]))
    found = [(b.low, b.high, b.ratings, b.mean_predicted, b.mean_rating) for b in cells.result(ALONE).calibration]
    assert found == [
        (lowest, lowest + 0.5, 1, lowest, 2.0),
        (7.0, 7.5, 2, pytest.approx(7.2), 7.0),
        (7.5, 8.0, 1, 7.5, 9.0),
        (9.5, 10.0, 1, 10.0, 9.0),
    ]


def test_bins_are_half_a_step_of_the_scale():
    cells = RatingCells(ALONE.device, RatingScale(lowest=0.5, highest=5, step=0.5, liked=4), np.zeros(1), np.zeros(1))
    cells.add(batch_of([0], [0], [3.0]), torch.tensor([3.3]))
    (part,) = cells.result(ALONE).calibration
    assert (part.low, part.high) == (3.25, 3.5)
