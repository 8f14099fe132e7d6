import math

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    ndcg_score,
    recall_score,
)

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


def random_users(users: int, items: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """[users, items] scores without ties and 1.0 for the 1 … `most` relevant items of each user."""
    random = np.random.default_rng(1)
    scores = random.permuted(np.tile(np.linspace(-3, 3, items), (users, 1)), axis=1)
    order = random.permuted(np.tile(np.arange(items), (users, 1)), axis=1)
    return scores, (order < random.integers(1, most + 1, (users, 1))).astype(float)


def accuracy_of(scores: np.ndarray, gains: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy of the lists of the 20 best items."""
    best = np.argsort(-scores, axis=1)[:, :20].tolist()
    return accuracy_metrics(lists(*best), lists(*(np.flatnonzero(row).tolist() for row in gains)))


@pytest.mark.parametrize(("items", "most"), [(60, 40), (60, 3), (12, 12)])
def test_ndcg_and_recall_of_all_users_are_sklearns(items, most):
    scores, gains = random_users(300, items, most)
    found = accuracy_of(scores, gains)
    ndcg = [ndcg_score(gains[[user]], scores[[user]], k=10) for user in range(300)]
    in_list = scores >= np.sort(scores, axis=1)[:, -min(20, items)][:, None]
    assert found["ndcg_at_10"] == pytest.approx(ndcg, abs=1e-12)
    recall = recall_score(gains.T, in_list.T, average=None)  # sklearn's labels are columns, here users
    assert found["recall_at_20"] == pytest.approx(recall, abs=1e-12)
    assert np.std(ndcg) > 0.01
    means = mean_ranking_metrics(
        dict(enumerate(np.argsort(-scores, axis=1).tolist())),
        {user: set(np.flatnonzero(row).tolist()) for user, row in enumerate(gains)},
        items,
    )
    assert means["users"] == 300
    assert means["ndcg_at_10"] == pytest.approx(ndcg_score(gains, scores, k=10), abs=1e-12)
    assert means["recall_at_20"] == pytest.approx(np.mean(recall), abs=1e-12)


def test_precision_and_first_rank_of_all_users_are_sklearns():
    # A list of 10 holds all of 10 items, so that sklearn's metrics of whole rankings are those of the first 10.
    scores, gains = random_users(300, 10, 9)
    expected = [average_precision_score(row, score) for row, score in zip(gains, scores, strict=True)]
    assert accuracy_of(scores, gains)["map_at_10"] == pytest.approx(expected, abs=1e-12)
    scores, gains = random_users(300, 10, 1)
    expected = [label_ranking_average_precision_score(gains[[user]], scores[[user]]) for user in range(300)]
    assert accuracy_of(scores, gains)["mrr_at_10"] == pytest.approx(expected, abs=1e-12)


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


def test_novelty_and_diversity_of_many_lists_are_those_of_the_definitions():
    random = np.random.default_rng(3)
    genres = [sorted(random.choice(6, random.integers(0, 5), replace=False).tolist()) for _ in range(30)]
    ratings, users = random.integers(0, 50, 30), 60
    # Of 0 to 15 items, of which 10 count; the last users have none.
    rows = [random.choice(30, length, replace=False).tolist() for length in [*random.integers(0, 16, 40), 1, 0, 0]]
    found = character_metrics(lists(*rows), item_facts(ratings, users, lists(*genres), 6))
    for place, row in enumerate(rows):
        top = row[:10]
        bits = [-math.log2(max(int(ratings[item]), 1) / users) for item in top]
        kinds = [set(genres[item]) for item in top if genres[item]]
        pairs = [(one, two) for number, one in enumerate(kinds) for two in kinds[:number]]
        cosines = [len(one & two) / math.sqrt(len(one) * len(two)) for one, two in pairs]
        novelty = np.mean(bits) if bits else math.nan
        diversity = 1 - np.mean(cosines) if cosines else math.nan
        assert found["novelty_at_10"][place] == pytest.approx(novelty, nan_ok=True)
        assert found["diversity_at_10"][place] == pytest.approx(diversity, nan_ok=True)


def test_users_without_any_hit_or_list_count_at_the_end_too():
    relevant = lists([1], [2], [3])
    found = accuracy_metrics(lists([1], [], []), relevant)
    assert {name: values.tolist() for name, values in found.items()} == {
        name: [1.0, 0.0, 0.0] for name in ("ndcg_at_10", "recall_at_20", "map_at_10", "mrr_at_10", "hit_rate_at_10")
    }
    assert math.isnan(mean_ranking_metrics({}, {}, 5)["recall_at_20"])
    assert mean_ranking_metrics({}, {}, 5)["users"] == 0
