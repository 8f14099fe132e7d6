import math

import pytest
import torch

from tests.builders import TEN_POINTS
from widedeep.common.errors import InputError
from widedeep.models.base import Scores
from widedeep.models.ncf import NCF
from widedeep.models.wide_deep import WideDeep
from widedeep.training.losses import LOSSES, cross_entropy, find_loss, scaled_squared_error, squared_error

ZERO_TO_TEN = TEN_POINTS.model_copy(update={"lowest": 0.0})


def scores(rating) -> Scores:
    return Scores(torch.full_like(rating, math.nan), rating)


def test_losses_by_hand():
    # On a scale of 1 to 10, 4 is a third of the way and 7 two thirds.
    given = scores(torch.tensor([4.0])), torch.tensor([7.0]), TEN_POINTS
    assert squared_error(*given).tolist() == [9.0]
    assert scaled_squared_error(*given).tolist() == pytest.approx([1 / 9])
    expected = -(2 / 3 * math.log(1 / 3) + 1 / 3 * math.log(2 / 3))
    assert cross_entropy(*given).tolist() == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("scale", [TEN_POINTS, ZERO_TO_TEN])
@pytest.mark.parametrize("loss", [squared_error, scaled_squared_error, cross_entropy])
def test_a_loss_is_least_where_the_prediction_is_the_rating(loss, scale):
    predicted = torch.linspace(scale.lowest, scale.highest, 91 if scale.lowest else 101)
    for true in (scale.lowest, 3.0, 10.0):
        losses = loss(scores(predicted), torch.full(predicted.shape, true), scale)
        assert predicted[losses.argmin()].item() == pytest.approx(true, abs=1e-5)


@pytest.mark.parametrize(("architecture", "name"), [(WideDeep, "mse"), (NCF, "cross_entropy")])
def test_an_architecture_has_a_loss_of_its_own(architecture, name):
    model = architecture.__new__(architecture)
    assert find_loss(None, model) is LOSSES[name]
    assert find_loss("scaled_mse", model) is scaled_squared_error


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="loss: there is no 'hinge'; choose one of mse, scaled_mse, cross_entropy"):
        find_loss("hinge", WideDeep.__new__(WideDeep))
