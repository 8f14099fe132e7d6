"""What a history has of the time of a target, and of its franchise: worked out by hand."""

import pytest
import torch

from widedeep.models.history.past import Past
from widedeep.models.history.timeline import NO_GAP, NUMBERS, PERIODS, WELL_KNOWN, Timeline, fit_timeline
from widedeep.models.history.titles import Similar

ITEMS = 64  # two in each period; item i came out at time i
FILLED = 3  # length of the histories


@pytest.fixture
def timeline() -> Timeline:
    timeline = Timeline(ITEMS)
    timeline.load_state_dict(fit_timeline(torch.arange(float(ITEMS)), torch.ones(ITEMS, dtype=torch.bool)))
    return timeline


@pytest.fixture
def past() -> Past:
    """A history of items 10, 12 and 40 with residuals 2, 1 and -3 and a bias of 0.5, and an empty one."""
    present = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    return Past(
        row=torch.tensor([[10, 12, 40], [0, 0, 0]]),
        present=present,
        weight=present,
        residual=torch.tensor([[2.0, 1.0, -3.0], [0.0, 0.0, 0.0]]),
        rating=present,
        bias=torch.tensor([[0.5], [0.0]]),
        count=torch.tensor([[3.0], [1.0]]),
        profile=torch.zeros(2, 1),
    )


def test_periods_have_equally_many_rated_items():
    date = torch.arange(float(ITEMS)).flip(0)
    rated = torch.arange(ITEMS) >= 32  # the 32 earliest
    period = fit_timeline(date, rated)["period"]
    assert period[rated].sort().values.tolist() == list(range(PERIODS))
    assert (period[~rated] == PERIODS - 1).all()


@pytest.mark.parametrize("rated", [True, False])
def test_without_dates_all_is_one_period(rated):
    fitted = fit_timeline(torch.zeros(4), torch.full((4,), rated))
    assert fitted["period"].unique().numel() == 1


def test_a_target_is_compared_with_the_history_in_time(timeline, past):
    target = torch.tensor([[11, 13, 63], [11, 13, 63]])
    later, around, residual = timeline.in_time(past, past.row, target)
    # Periods: 10 is in 5, 11 in 5, 12 and 13 in 6, 40 in 20, 63 in 31.
    torch.testing.assert_close(later[0], torch.tensor([2 / 3, 1 / 3, 0.0]))
    torch.testing.assert_close(around[0], torch.tensor([2 / 3, 2 / 3, 0.0]))
    torch.testing.assert_close(residual[0], torch.tensor([2 / 3, 1 / 3, 0.0]))
    for column in (around, residual):
        assert (column[1] == 0).all()


def test_a_target_is_compared_with_the_known_parts_of_its_franchise(timeline, past):
    target = torch.tensor([[20], [20]])
    neighbour = torch.tensor([10, 12, 40, 15, 50, 30]).expand(2, 1, -1)
    place = torch.tensor([[[0, 1, 2, FILLED, FILLED, FILLED]], [[FILLED] * 6]])
    similarity = torch.tensor([1.0, 0.9, 1.0, 0.7, 1.0, 0.5]).expand(2, 1, -1)  # 30 is no part of the franchise
    count = torch.full((ITEMS,), 99.0)
    count[15] = WELL_KNOWN / 2
    similar = Similar(neighbour, similarity, place, FILLED)
    found = torch.stack(timeline.of_franchise(past, target, similar, count))[:, :, 0]
    # Seen before: 10 and 12; after: 40. Not seen before: 15, half known; after: 50. Deviations 2.5, 1.5 and -2.5.
    expected = [2.0, 1.0, 0.5, 1.0, 1.5 / 3.5, 2.5, -2.5, 8.0]
    torch.testing.assert_close(found[:, 0], torch.tensor(expected))
    nothing = [0.0, 0.0, 2.5, 2.0, 0.0, 0.0, 0.0, NO_GAP]
    torch.testing.assert_close(found[:, 1], torch.tensor(nothing))
    assert len(found) + 3 == NUMBERS


def test_a_part_that_came_out_at_the_same_time_is_neither_before_nor_after(past):
    """So are all parts where no dates are known."""
    timeline = Timeline(ITEMS)
    target, neighbour = torch.tensor([[20], [20]]), torch.tensor([21]).expand(2, 1, -1)
    place = torch.tensor([[[0]], [[FILLED]]])  # the first user has rated it
    similar, count = Similar(neighbour, torch.ones(2, 1, 1), place, FILLED), torch.full((ITEMS,), WELL_KNOWN)
    found = torch.stack(timeline.of_franchise(past, target, similar, count))[:, :, 0]
    assert not found[:4].any()
    assert (found[7] == NO_GAP).all()
    assert found[4].tolist() == pytest.approx([2.5 / 1.5, 0.0])  # its rating counts all the same
