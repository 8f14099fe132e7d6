import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from widedeep.evaluation.ranking_metrics import (
    Lists,
    accuracy_metrics,
    character_metrics,
    item_facts,
    mean_ranking_metrics,
)


def lists(*rows: list[int]) -> Lists:
    return Lists.from_rows(rows)


def metrics(listed: Lists, relevant: Lists, items) -> dict[str, np.ndarray]:
    return accuracy_metrics(listed, relevant) | character_metrics(listed, items)


# Four training users; items 0 and 1 share their one genre, 2 has both, 3 none.
ITEMS = item_facts(np.array([4, 2, 1, 0]), 4, lists([0], [0], [0, 1], []), 2)


def test_by_hand():
    found = metrics(lists([2, 0, 1], [], [3]), lists([0, 3], [1], [3]), ITEMS)
    ideal = 1 + 1 / math.log2(3)
    assert found["ndcg_at_10"].tolist() == pytest.approx([1 / math.log2(3) / ideal, 0, 1])
    assert found["recall_at_20"].tolist() == [0.5, 0, 1]
    assert found["map_at_10"].tolist() == [0.25, 0, 1]
    assert found["mrr_at_10"].tolist() == [0.5, 0, 1]
    assert found["hit_rate_at_10"].tolist() == [1, 0, 1]
    # Rated by one, all and two of four: 2, 0 and 1 bit; by nobody: as by one.
    assert found["novelty_at_10"].tolist() == pytest.approx([1, math.nan, 2], nan_ok=True)
    # Cosines: twice 1 / sqrt(2) with the item of two genres, and 1.
    cosine = (2 / math.sqrt(2) + 1) / 3
    assert found["diversity_at_10"].tolist() == pytest.approx([1 - cosine, math.nan, math.nan], nan_ok=True)


def test_places_after_the_tenth_count_for_recall_alone():
    items = item_facts(np.ones(30), 2, lists(*[[0]] * 30), 1)
    found = metrics(lists(list(range(20))), lists([15, 25]), items)
    assert {name: float(values[0]) for name, values in found.items()} == pytest.approx(
        {
            "ndcg_at_10": 0.0,
            "recall_at_20": 0.5,
            "map_at_10": 0.0,
            "mrr_at_10": 0.0,
            "hit_rate_at_10": 0.0,
            "novelty_at_10": 1.0,
            "diversity_at_10": 0.0,
        }
    )


def test_more_than_ten_relevant_items_can_all_be_hit():
    items = item_facts(np.ones(30), 2, lists(*[[0]] * 30), 1)
    found = metrics(lists(list(range(10))), lists(list(range(25))), items)
    assert found["ndcg_at_10"] == pytest.approx(1.0)
    assert found["map_at_10"] == pytest.approx(1.0)
    assert found["recall_at_20"] == pytest.approx(10 / 25)


def test_no_users_no_metrics():
    assert all(len(values) == 0 for values in metrics(lists(), lists(), ITEMS).values())


def test_ndcg_is_sklearns():
    random = np.random.default_rng(1)
    for relevant_count in (1, 4, 10, 25):
        scores = random.permutation(50).astype(float)
        relevant = random.choice(50, relevant_count, replace=False)
        gains = np.isin(np.arange(50), relevant).astype(float)
        found = accuracy_metrics(lists(np.argsort(-scores)[:20].tolist()), lists(relevant.tolist()))
        assert found["ndcg_at_10"] == pytest.approx(ndcg_score(gains[None], scores[None], k=10))


def test_diversity_is_undefined_without_genres():
    items = item_facts(np.ones(5), 2, lists(*[[]] * 5), 0)
    assert np.isnan(character_metrics(lists([0, 1, 2], [3]), items)["diversity_at_10"]).all()


def test_mean_ranking_metrics_by_hand():
    lists = {0: [5, 6, 7], 1: [6, 5, 8], 2: [9, 9, 9]}
    found = mean_ranking_metrics(lists, {0: {5}, 1: {8, 1}, 2: set()}, items=10)
    # User 0: perfect. User 1: one of two, in place 3. User 2 liked nothing and does not count.
    ideal = 1 + 1 / math.log2(3)
    assert found == {
        "ndcg_at_10": pytest.approx((1 + 0.5 / ideal) / 2),
        "recall_at_20": pytest.approx((1 + 1 / 2) / 2),
        "coverage_at_10": pytest.approx(4 / 10),
        "users": 2,
    }


def test_only_the_first_ten_are_shown_but_twenty_are_recalled():
    found = mean_ranking_metrics({0: list(range(30))}, {0: {5, 15, 25}}, items=100)
    assert found["coverage_at_10"] == pytest.approx(10 / 100)
    assert found["recall_at_20"] == pytest.approx(2 / 3)


def test_means_of_no_lists():
    found = mean_ranking_metrics({0: [1]}, {}, items=10)
    assert found["users"] == 0
    assert math.isnan(found["ndcg_at_10"])
