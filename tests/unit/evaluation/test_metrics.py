import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error, ndcg_score, r2_score

from widedeep.evaluation.metrics import RatingErrors, ndcg_at, ranking_quality, recall_at
from widedeep.parallel.world import World

ALONE = World(0, 1, 0, 1, torch.device("cpu"))


def errors_of(*batches):
    errors = RatingErrors(ALONE.device)
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
    errors = RatingErrors(ALONE.device, lowest=0)
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


def test_ndcg_is_sklearns():
    random = np.random.default_rng(1)
    for relevant_count in (1, 4, 10, 25):
        scores = random.permutation(50).astype(float)
        relevant = random.choice(50, relevant_count, replace=False)
        gains = np.isin(np.arange(50), relevant).astype(float)
        ranked = np.argsort(-scores).tolist()
        expected = ndcg_score(gains[None], scores[None], k=10)
        assert ndcg_at(ranked, set(relevant.tolist()), 10) == pytest.approx(expected)


def test_ndcg_by_hand():
    # Places 1 and 3 of 3 are relevant: (1/log2(2) + 1/log2(4)) / (1/log2(2) + 1/log2(3)).
    assert ndcg_at([3, 5, 7], {3, 7}, 10) == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
    assert ndcg_at([3, 5, 7], {3, 7}, 1) == 1.0
    assert ndcg_at([3, 5, 7], {9}, 10) == 0.0


def test_recall_by_hand():
    assert recall_at([4, 2, 9, 1], {2, 1, 8}, 4) == pytest.approx(2 / 3)
    assert recall_at([4, 2, 9, 1], {2, 1, 8}, 2) == pytest.approx(1 / 3)


def test_ranking_quality_by_hand():
    lists = {0: [5, 6, 7], 1: [6, 5, 8], 2: [9, 9, 9]}
    found = ranking_quality(lists, {0: {5}, 1: {8, 1}, 2: set()}, items=10)
    # User 0: perfect. User 1: one of two, in place 3. User 2 liked nothing and does not count.
    ideal = 1 + 1 / math.log2(3)
    assert found == {
        "ndcg_at_10": pytest.approx((1 + 0.5 / ideal) / 2),
        "recall_at_20": pytest.approx((1 + 1 / 2) / 2),
        "coverage_at_10": pytest.approx(4 / 10),
        "users": 2,
    }


def test_only_the_first_ten_are_shown_but_twenty_are_recalled():
    found = ranking_quality({0: list(range(30))}, {0: {5, 15, 25}}, items=100)
    assert found["coverage_at_10"] == pytest.approx(10 / 100)
    assert found["recall_at_20"] == pytest.approx(2 / 3)


def test_quality_of_no_lists():
    found = ranking_quality({0: [1]}, {}, items=10)
    assert found["users"] == 0
    assert math.isnan(found["ndcg_at_10"])
