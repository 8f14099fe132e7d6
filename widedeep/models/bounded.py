"""Ratings through a sigmoid, which keeps them on the scale and lets cross-entropy train them."""

import math

import torch
from torch import Tensor

from widedeep.models.factorised import Factorised


class Bounded(Factorised):
    """rating = lowest + span * sigmoid(total), so that it stays on the scale."""

    default_loss = "cross_entropy"

    def output(self, total: Tensor) -> Tensor:
        """Elementwise."""
        return torch.sigmoid(total) * self.scale.span + self.scale.lowest

    def output_block(self, out: Tensor) -> None:
        """In place."""
        out.sigmoid_().mul_(self.scale.span).add_(self.scale.lowest)

    def init_bias(self, mean: float) -> None:
        """As of Factorised; a mean at an end of the scale is taken as a thousandth of it away from there."""
        share = min(max((mean - self.scale.lowest) / self.scale.span, 1e-3), 1 - 1e-3)
        super().init_bias(math.log(share / (1 - share)))
