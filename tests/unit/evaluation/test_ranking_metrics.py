import math

import numpy as np
import pytest

from widedeep.evaluation.ranking_metrics import Lists, catalogue, list_figures


def lists(*rows: list[int]) -> Lists:
    return Lists(np.array([item for row in rows for item in row], np.int32), np.cumsum([0, *map(len, rows)]))


# Four training users; items 0 and 1 share their one genre, 2 has both, 3 none.
CATALOGUE = catalogue(np.array([4, 2, 1, 0]), 4, lists([0], [0], [0, 1], []), 2)


def test_by_hand():
    found = list_figures(lists([2, 0, 1], [], [3]), lists([0, 3], [1], [3]), CATALOGUE)
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
    items = catalogue(np.ones(30), 2, lists(*[[0]] * 30), 1)
    found = list_figures(lists(list(range(20))), lists([15, 25]), items)
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
    items = catalogue(np.ones(30), 2, lists(*[[0]] * 30), 1)
    found = list_figures(lists(list(range(10))), lists(list(range(25))), items)
    assert found["ndcg_at_10"] == pytest.approx(1.0)
    assert found["map_at_10"] == pytest.approx(1.0)
    assert found["recall_at_20"] == pytest.approx(10 / 25)


def test_nobody_has_no_figures():
    assert all(len(values) == 0 for values in list_figures(lists(), lists(), CATALOGUE).values())
