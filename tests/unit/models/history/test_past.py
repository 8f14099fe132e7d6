"""Padded histories, worked out by hand."""

import pytest
import torch

from tests.builders import TEN_POINTS
from widedeep.models.history.past import bags_of, make_past, pad
from widedeep.models.history.statistics import ItemStatistics

UNRATED = 3  # the row of all unrated items


@pytest.fixture
def statistics() -> ItemStatistics:
    """Mean rating 7, three items with biases 1, 0 and -1."""
    statistics = ItemStatistics(UNRATED + 1)
    statistics.mean.fill_(7.0)
    statistics.bias.copy_(torch.tensor([1.0, 0.0, -1.0, 0.0]))
    return statistics


def test_a_history_gives_weights_bias_and_residuals(statistics):
    row = torch.tensor([[0, 2, 1], [1, UNRATED, UNRATED], [UNRATED, UNRATED, UNRATED]])
    rating = torch.tensor([[10.0, 6.0, 8.0], [3.0, 5.0, 0.0], [0.0, 0.0, 0.0]])  # the 5.0 is no rating: it is padding
    past = make_past(row, rating, statistics, TEN_POINTS)
    assert past.present.tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    # preference: 1 + (rating - 7) / 4, clipped to 0.1 … 2
    torch.testing.assert_close(past.weight, torch.tensor([[1.75, 0.75, 1.25], [0.1, 0, 0], [0, 0, 0]]))
    # rating - 7 - bias of the item: 2, 0, 1 for user 0, with damping 3 a bias of 3 / 6; -4 for user 1, a bias of -1
    torch.testing.assert_close(past.bias, torch.tensor([[0.5], [-1.0], [0.0]]))
    torch.testing.assert_close(past.residual, torch.tensor([[1.5, -0.5, 0.5], [-3.0, 0, 0], [0, 0, 0]]))
    assert past.count.tolist() == [[3], [1], [1]]


def test_padded_histories_are_laid_one_after_another(statistics):
    row = torch.tensor([[0, 2], [UNRATED, UNRATED], [1, UNRATED]])
    past = make_past(row, torch.tensor([[7.0, 7.0], [0.0, 0.0], [8.0, 0.0]]), statistics, TEN_POINTS)
    bags, residual = bags_of(past)
    assert bags.start.tolist() == [0, 2, 2, 3]
    assert bags.item.tolist() == [0, 2, 1]
    assert bags.count().tolist() == [2, 0, 1]
    torch.testing.assert_close(bags.weight, torch.tensor([1.0, 1.0, 1.25]))
    # user 0: -1 and 1, a bias of 0; user 2: 1, a bias of 1 / 4
    torch.testing.assert_close(residual, torch.tensor([-1.0, 1.0, 0.75]))


def test_some_users_are_taken_with_shorter_histories(statistics):
    row = torch.tensor([[0, 2, 1], [1, UNRATED, UNRATED]])
    past = make_past(row, torch.full((2, 3), 9.0), statistics, TEN_POINTS)
    part = past.part(torch.tensor([1]), 1)
    assert part.row.tolist() == [[1]]
    for name in ("present", "weight", "residual"):
        assert getattr(part, name).tolist() == getattr(past, name)[1:, :1].tolist()
    assert (part.bias.item(), part.count.item()) == (past.bias[1].item(), 1.0)


def test_ragged_columns_are_padded_with_what_is_said():
    start = torch.tensor([0, 2, 2, 5])
    item, rating = pad(start, (torch.arange(5), torch.tensor([1.0, 2, 3, 4, 5])), (-1, -9.0))
    assert item.tolist() == [[0, 1, -1], [-1, -1, -1], [2, 3, 4]]
    assert rating.tolist() == [[1, 2, -9], [-9, -9, -9], [3, 4, 5]]


@pytest.mark.parametrize("users", [0, 2])
def test_without_ratings_there_is_only_padding(users):
    (item,) = pad(torch.zeros(users + 1, dtype=torch.int64), (torch.arange(0),), (7,))
    assert item.tolist() == [[7]] * users
