import numpy as np
import pytest
import torch

from tests.spoil import spoil
from widedeep.common.errors import DamagedFileError
from widedeep.data.batches import Batch
from widedeep.data.histories import UserHistories, group_ratings, load_histories

# Users 7, 2 and 5 with 2, 1 and 3 ratings.
ROWS = Batch(
    torch.tensor([7, 7, 2, 5, 5, 5], dtype=torch.int32),
    torch.tensor([10, 11, 20, 30, 31, 32], dtype=torch.int32),
    torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
)


def plain(histories: UserHistories) -> list[tuple[int, list[int], list[float]]]:
    """User, items and ratings of each user."""
    start = histories.start.tolist()
    assert start[0] == 0
    assert start[-1] == len(histories.item) == len(histories.rating)
    items, ratings = histories.item.tolist(), histories.rating.tolist()
    return [
        (user, items[low:high], ratings[low:high])
        for user, low, high in zip(histories.user.tolist(), start[:-1], start[1:], strict=True)
    ]


SEVEN, TWO, FIVE = (7, [10, 11], [1.0, 2.0]), (2, [20], [3.0]), (5, [30, 31, 32], [4.0, 5.0, 6.0])


def test_rows_grouped_by_user_become_histories():
    histories = group_ratings(ROWS)
    assert len(histories) == 3
    assert plain(histories) == [SEVEN, TWO, FIVE]
    assert [column.dtype for column in histories] == [torch.int32, torch.int64, torch.int32, torch.float32]


@pytest.mark.parametrize("users", [0, 1])
def test_histories_of_nobody_and_of_one_user(users):
    rows = ROWS.take(slice(0, 2 * users))
    assert plain(group_ratings(rows)) == [SEVEN][:users]
    assert len(group_ratings(rows).start) == users + 1


@pytest.mark.parametrize("ratings", [None, 6])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_selected_histories_come_in_the_order_asked_for(ratings, dtype):
    selected = group_ratings(ROWS).select(torch.tensor([2, 1, 0], dtype=dtype), ratings)
    assert plain(selected) == [FIVE, TWO, SEVEN]
    assert [column.dtype for column in selected] == [torch.int32, torch.int64, torch.int32, torch.float32]


def test_a_part_of_the_ratings_keeps_all_users():
    histories = group_ratings(ROWS)
    assert histories.owner().tolist() == [0, 0, 1, 2, 2, 2]
    part = histories.part(torch.tensor([False, True, False, True, False, True]))
    assert plain(part) == [(7, [11], [2.0]), (2, [], []), (5, [30, 32], [4.0, 6.0])]
    assert part.owner().tolist() == [0, 2, 2]
    assert plain(histories.part(torch.zeros(6, dtype=torch.bool))) == [(7, [], []), (2, [], []), (5, [], [])]


def test_a_user_can_be_selected_twice_or_nobody():
    histories = group_ratings(ROWS)
    assert plain(histories.select(torch.tensor([1, 2, 1]))) == [TWO, FIVE, TWO]
    assert plain(histories.select(torch.tensor([], dtype=torch.int64))) == []
    assert plain(histories.select(torch.tensor([0]))) == [SEVEN]


def test_a_selection_can_be_selected_from():
    assert plain(group_ratings(ROWS).select(torch.tensor([2, 0])).select(torch.tensor([1]))) == [SEVEN]


@pytest.mark.parametrize("reader", ["petastorm", "pyarrow"])
def test_all_histories_are_loaded_in_the_order_of_users(small, reader):
    rows = small.ratings("train")
    expected = [
        (user, *(column.tolist() for column in sorted_by_item(rows[rows[:, 0] == user])))
        for user in np.unique(rows[:, 0]).tolist()
    ]
    assert plain(load_histories(small.path, small.manifest, reader)) == expected


def sorted_by_item(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = rows[np.argsort(rows[:, 1])]
    return rows[:, 1], rows[:, 2]


@pytest.mark.parametrize("how", ["missing", "truncated", "flipped"])
def test_damaged_histories_are_not_loaded(copied, how):
    path, manifest = copied
    file = path / manifest.ratings.by_user[3].path
    spoil(file, how)
    with pytest.raises(DamagedFileError, match="by_user/part-00003") as caught:
        load_histories(path, manifest, "pyarrow")
    assert str(file) in str(caught.value)
