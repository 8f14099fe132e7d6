"""Ratings through a sigmoid: they stay between 1 and 10, and may be learnt by cross-entropy."""

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from widedeep.models.factorised import Factorised
from widedeep.schema import MAX_RATING, MIN_RATING

SPAN = MAX_RATING - MIN_RATING


def logit_of(rating: float) -> float:
    """The number whose sigmoid is a rating's place between the lowest and the highest; within a thousandth of these."""
    share = min(max((rating - MIN_RATING) / SPAN, 1e-3), 1 - 1e-3)
    return math.log(share / (1 - share))


class Bounded(Factorised):
    """rating = 1 + 9 sigmoid(total)."""

    cross_entropy = True

    def output(self, total: Tensor) -> Tensor:
        """Elementwise."""
        return torch.sigmoid(total) * SPAN + MIN_RATING

    def output_block(self, out: Tensor) -> None:
        """In place."""
        out.sigmoid_().mul_(SPAN).add_(MIN_RATING)

    def start_at(self, mean: float) -> None:
        """As of Factorised."""
        super().start_at(logit_of(mean))

    def loss(self, predicted: Tensor, rating: Tensor) -> Tensor:
        """Cross-entropy of the shares of the scale, or the squared error of these; [B], [B] -> [B].

        A rating is taken as the probability of a like, as He et al. (2017) take a click.
        """
        share, true = ((value - MIN_RATING) / SPAN for value in (predicted, rating))
        if self.cross_entropy:
            return binary_cross_entropy(share.clamp(0.0, 1.0), true, reduction="none")
        return (share - true).square()
