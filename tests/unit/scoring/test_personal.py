"""Lists for people by their own ratings, worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from tests.history_model import CandidTaste, taste_artifact
from widedeep.config.rerank import RerankConfig
from widedeep.data.rating_lists import ListEntry
from widedeep.scoring.franchises import Franchises
from widedeep.scoring.list_rules import ListRules
from widedeep.scoring.personal import match_entries, recommend_to
from widedeep.scoring.title_search import TitleIndex

TITLES = ["Gintama", "Gintama'", "Mushishi", "Naruto", "Monster"]
SHOWN = pa.array(TITLES)
VECTORS = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 3.0]]
ARTIFACT = taste_artifact(VECTORS, [5, 4, 3, 2, 1])
ITEM_OF = {10: 0, 20: 1, 30: 2, 40: 3, 50: 4}  # item_id -> item index
INDEX = TitleIndex([TITLES], ARTIFACT.item_ratings.tolist())


def entry(place: str, item_id: int | None, title: str, rating: float | None, planned: bool = False) -> ListEntry:
    return ListEntry(place, item_id, title, rating, planned)


def test_no_entry_is_lost():
    own = match_entries(
        [
            entry("line 2", 10, "whatever", 9.0),
            entry("line 3", None, "mushi shi", 4.0),
            entry("line 4", 40, "", None),
            entry("line 5", 50, "", None, planned=True),
            entry("line 6", 99, "Narutoo", 8.0),
            entry("line 7", None, "zzz", 8.0),
            entry("line 8", None, "Gintama", 7.0),
        ],
        ITEM_OF,
        INDEX,
    )
    assert (own.items.tolist(), own.ratings.tolist()) == ([0, 2], [7.0, 4.0])
    assert (own.items.dtype, own.ratings.dtype) == (np.int32, np.float32)
    assert own.seen.tolist() == [0, 2, 3]
    assert (own.unrated, own.planned) == (1, 1)
    assert own.remarks == (
        "line 3: 'mushi shi' is taken for 'Mushishi'",
        "line 8: 'Gintama' is there twice; its rating here, 7, counts",
    )
    assert own.not_found == (
        "line 6: item_id 99 is not in the data; nearest to 'Narutoo' is 'Naruto'",
        "line 7: no title is 'zzz' or nearly so",
    )


def test_a_planned_anime_that_was_rated_is_not_recommended():
    own = match_entries([entry("anime 1", 10, "", 6.0, planned=True)], ITEM_OF, INDEX)
    assert (own.seen.tolist(), own.planned) == ([0], 0)


def test_a_list_by_hand():
    own = match_entries([entry("", 10, "", 9.0), entry("", 30, "", 4.0), entry("", 40, "", None)], ITEM_OF, INDEX)
    # 4 * [1, 0] - 1 * [0, 1] = [4, -1]; the unseen vectors are [2, 0] and [-1, 3]
    found = recommend_to(ARTIFACT, SHOWN, own, 3)
    assert [row.model_dump(exclude_none=True) for row in found] == [
        {"rank": 1, "item_id": 20, "title": "Gintama'", "affinity": 8.0, "predicted_rating": 9.0},
        {"rank": 2, "item_id": 50, "title": "Monster", "affinity": -7.0, "predicted_rating": 1.5},
    ]
    assert [row.item_id for row in recommend_to(ARTIFACT, SHOWN, own, 1)] == [20]


def test_a_list_by_rules():
    own = match_entries([entry("", 30, "", 9.0)], ITEM_OF, INDEX)
    # 4 * [0, 1]: the affinities of the unseen are 0, 0, 4 and 12. Gintama' is left out, as nobody has seen Gintama.
    series = Franchises(np.array([0, 0, 1, 2, 3]), np.zeros(5, int), np.array([-1, 0, -1, -1, -1]))
    hidden = np.array([False, False, False, False, True])
    rules = ListRules(RerankConfig(next_part_only=True), hidden, np.zeros(5), series, None)
    found = recommend_to(ARTIFACT, SHOWN, own, 3, rules)
    assert [(row.rank, row.title, row.affinity) for row in found] == [(1, "Naruto", 4.0), (2, "Gintama", 0.0)]


def test_ratings_are_clipped_to_the_scale():
    own = match_entries([entry("", 50, "", 10.0)], ITEM_OF, INDEX)
    # 5 * [-1, 3] = [-5, 15]: affinities 15, 10, -5, -10
    found = recommend_to(ARTIFACT, SHOWN, own, 10)
    assert [row.predicted_rating for row in found] == pytest.approx([10.0, 10.0, 2.5, 1.0])


def test_a_model_that_ranks_only_predicts_no_ratings(monkeypatch):
    monkeypatch.setattr(ARTIFACT.model, "rates", False)
    own = match_entries([entry("", 50, "", 10.0)], ITEM_OF, INDEX)
    found = recommend_to(ARTIFACT, SHOWN, own, 2)
    assert [(row.affinity, row.predicted_rating) for row in found] == [(15.0, None), (10.0, None)]


def test_a_model_that_explains_tells_why():
    candid = taste_artifact(VECTORS, [5, 4, 3, 2, 1], CandidTaste)
    own = match_entries([entry("", 10, "", 9.0), entry("", 30, "", 4.0)], ITEM_OF, INDEX)
    best = recommend_to(candid, SHOWN, own, 1)[0]
    # 4 * [1, 0] - 1 * [0, 1] = [4, -1], and the best unseen vector is [2, 0]
    assert best.model_dump() == {
        **{"rank": 1, "item_id": 20, "title": "Gintama'", "affinity": 8.0, "predicted_rating": 9.0},
        **{"affinity_wide": 7.0, "affinity_content": 0.75, "affinity_deep": 0.25},
        "reasons": (
            {"item_id": 30, "title": "Mushishi", "rating": 9.0, "share": 0.5},
            {"item_id": 10, "title": "Gintama", "rating": 8.0, "share": 0.125},
        ),
    }
