"""Ratings from a sigmoid, which keeps them on the scale and allows cross-entropy as the loss."""

import math

import torch
from torch import Tensor

from widedeep.models.factorised import Factorised


class Bounded(Factorised):
    """An architecture whose rating is lowest + span * sigmoid(total)."""

    default_loss = "cross_entropy"

    def output(self, total: Tensor) -> Tensor:
        """Return the ratings of sums, elementwise."""
        return torch.sigmoid(total) * self.scale.span + self.scale.lowest

    def output_block(self, out: Tensor) -> None:
        """Turn sums into ratings in place."""
        out.sigmoid_().mul_(self.scale.span).add_(self.scale.lowest)

    def init_bias(self, mean: float) -> None:
        """Set the bias so that the first predictions are near the mean rating.

        The sigmoid never reaches the ends of the scale, so the mean is first moved 0.1 % of the span away from them.
        """
        share = min(max((mean - self.scale.lowest) / self.scale.span, 1e-3), 1 - 1e-3)
        super().init_bias(math.log(share / (1 - share)))
