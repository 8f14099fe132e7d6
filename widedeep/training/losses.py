"""The losses that models train with. To add one, write a function and give it a line in LOSSES.

Legend: b ratings of a batch.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from widedeep.common.errors import InputError
from widedeep.models import Recommender
from widedeep.models.base import Scores
from widedeep.schema.rating_scale import RatingScale

# (scores of a batch, its true ratings [b], the scale of the ratings) -> the loss of each rating, [b]
Loss = Callable[[Scores, Tensor, RatingScale], Tensor]


def squared_error(scores: Scores, rating: Tensor, _: RatingScale) -> Tensor:
    """Return the squared error of each predicted rating."""
    return (scores.rating - rating).square()


def scaled_squared_error(scores: Scores, rating: Tensor, scale: RatingScale) -> Tensor:
    """Return the squared error of each predicted rating, both mapped from the scale to 0 … 1."""
    return (_share(scores.rating, scale) - _share(rating, scale)).square()


def cross_entropy(scores: Scores, rating: Tensor, scale: RatingScale) -> Tensor:
    """Return the cross-entropy between rating and prediction, both mapped from the scale to 0 … 1.

    It takes a rating as the probability of a like, as He et al. (2017, arXiv:1708.05031) take a click.
    """
    return binary_cross_entropy(_share(scores.rating, scale).clamp(0.0, 1.0), _share(rating, scale), reduction="none")


def _share(value: Tensor, scale: RatingScale) -> Tensor:
    return (value - scale.lowest) / scale.span


LOSSES: dict[str, Loss] = {
    "mse": squared_error,
    "scaled_mse": scaled_squared_error,
    "cross_entropy": cross_entropy,
}


def find_loss(name: str | None, model: Recommender) -> Loss:
    """Return the loss of a name, or the architecture's own if it is None.

    Raises:
        InputError: there is no loss of this name.

    """
    name = name or model.default_loss
    if name not in LOSSES:
        raise InputError(f"loss: there is no {name!r}; choose one of {', '.join(LOSSES)}")
    return LOSSES[name]
