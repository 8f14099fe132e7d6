"""Franchises and their order, by hand."""

import numpy as np
import pytest

from widedeep.common.errors import InputError
from widedeep.scoring.franchises import PRIOR_RATERS, SEQUEL_SHARE, confirm, find_franchises, read_relations

NAN = float("nan")
ITEMS = [
    ("Show", 2001.5, "TV", 7),
    ("Show Season 2", 2003.0, "TV", 3),
    ("Show Movie 1: Dawn", 2002.0, "Movie", 4),
    ("Show Season 4", NAN, "TV", 2),
    ("Show Season 3", NAN, "TV", 5),
    ("Show: Picnic", 2001.0, "Special", 1),
    ("Film 2: Dusk", 2005.0, "Movie", 8),
    ("Film 1: Noon", 2004.0, "Movie", 9),
    ("Alone", 2004.0, "Music", 6),
]
TITLES, AIRED, TYPES, IDS = (list(column) for column in zip(*ITEMS, strict=True))


def test_parts_are_in_the_order_of_watching():
    found = find_franchises(TITLES, np.array(AIRED), TYPES, IDS)
    assert found.number.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 2]
    assert found.place.tolist() == [1, 3, 2, 5, 4, 0, 1, 0, 0]  # unknown dates come last, then by number
    # Only series come before others; where there are none, movies do.
    assert found.before.tolist() == [-1, 0, 0, 4, 1, -1, 7, -1, -1]


def test_equal_dates_are_ordered_by_number_then_id():
    titles = ["Show Season 2", "Show Season 1", "Show", "Show"]
    found = find_franchises(titles, np.full(4, 2000.0), ["TV"] * 4, [1, 2, 4, 3])
    assert found.place.tolist() == [3, 2, 1, 0]


def test_items_without_a_title_belong_to_nothing():
    found = find_franchises(["", "Show", "", "Show 2"], np.full(4, 2000.0), ["TV"] * 4, [1, 2, 3, 4])
    assert found.number[1] == found.number[3]
    assert len({*found.number.tolist()}) == 3
    assert found.before.tolist() == [-1, -1, -1, 1]


def test_relations_of_a_file_take_the_place_of_titles(tmp_path):
    rows = [
        "anime_id,related_id,relation",
        "7,3,sequel",
        "2,3,Prequel",
        "4,7,side_story",
        "8,9,character",
        "6,999,sequel",
    ]
    (tmp_path / "relations.csv").write_text("\n".join(rows))
    relations = read_relations(tmp_path / "relations.csv", np.array(IDS))
    found = find_franchises(TITLES, np.array(AIRED), TYPES, IDS, relations)
    together = {frozenset(np.flatnonzero(found.number == number).tolist()) for number in found.number}
    assert together == {frozenset(items) for items in ({0, 1, 2, 3}, {4}, {5}, {6}, {7}, {8})}
    assert found.place[[0, 1, 2, 3]].tolist() == [0, 2, 1, 3]
    assert found.before.tolist() == [-1, 0, -1, 1, -1, -1, -1, -1, -1]


def test_a_wrong_file_of_relations_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv cannot be read"):
        read_relations(tmp_path / "none.csv", np.array(IDS))
    (tmp_path / "odd.csv").write_text("anime_id,related\n7,3\n")
    with pytest.raises(
        InputError, match=r"odd\.csv has no column 'related_id': it needs the item, related_id and relation"
    ):
        read_relations(tmp_path / "odd.csv", np.array(IDS))


def test_what_raters_skip_need_not_be_seen_before():
    """Item 1 after 0 is rated by users 0 to 9, of whom as many as `both` rated 0; item 2 after 1 by nobody."""
    before = np.array([-1, 0, 1])
    enough = int(np.ceil(SEQUEL_SHARE * (10 + PRIOR_RATERS) - PRIOR_RATERS))
    for both, expected in ((enough, 0), (enough - 1, -1)):
        user = np.r_[np.arange(10), np.arange(both), np.arange(20, 40)]
        item = np.r_[np.ones(10, int), np.zeros(both, int), np.zeros(20, int)]
        assert confirm(before, user.astype(np.int32), item.astype(np.int32)).tolist() == [-1, expected, 1]
    nobody = np.empty(0, np.int32)
    assert confirm(before, nobody, nobody).tolist() == [-1, 0, 1]
