"""What is kept of what was put."""

import pytest

from widedeep.common.recently_used import RecentlyUsed


def test_the_values_that_were_asked_for_last_stay():
    kept = RecentlyUsed[str](2)
    assert [kept.put(key, key.upper()) for key in "ab"] == ["A", "B"]
    assert kept.get("a") == "A"
    kept.put("c", "C")
    assert [kept.get(key) for key in "abc"] == ["A", None, "C"]


@pytest.mark.parametrize(("sizes", "there"), [((3, 3), [True, True]), ((3, 4), [False, True]), ((1, 9), [False, True])])
def test_values_may_have_sizes_and_the_last_one_stays(sizes, there):
    kept = RecentlyUsed[int](6, lambda value: value)
    for key, size in enumerate(sizes):
        kept.put(key, size)
    assert [kept.get(key) is not None for key in range(2)] == there


def test_a_value_in_place_of_another_counts_once():
    kept = RecentlyUsed[int](6, lambda value: value)
    for size in (5, 3):
        kept.put("a", size)
    kept.put("b", 3)
    assert (kept.get("a"), kept.get("b")) == (3, 3)
