"""Ratings through a sigmoid: they stay on their scale, and may be learnt by cross-entropy."""

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from widedeep.models.factorised import Factorised


class Bounded(Factorised):
    """rating = lowest + span * sigmoid(total), so that it stays on the scale."""

    cross_entropy = True

    def output(self, total: Tensor) -> Tensor:
        """Elementwise."""
        return torch.sigmoid(total) * self.scale.span + self.scale.lowest

    def output_block(self, out: Tensor) -> None:
        """In place."""
        out.sigmoid_().mul_(self.scale.span).add_(self.scale.lowest)

    def start_at(self, mean: float) -> None:
        """As of Factorised; a mean at an end of the scale is taken as a thousandth of it away from there."""
        share = min(max((mean - self.scale.lowest) / self.scale.span, 1e-3), 1 - 1e-3)
        super().start_at(math.log(share / (1 - share)))

    def loss(self, predicted: Tensor, rating: Tensor) -> Tensor:
        """Cross-entropy of the shares of the scale, or the squared error of these; [B], [B] -> [B].

        A rating is taken as the probability of a like, as He et al. (2017) take a click.
        """
        share, true = ((value - self.scale.lowest) / self.scale.span for value in (predicted, rating))
        if self.cross_entropy:
            return binary_cross_entropy(share.clamp(0.0, 1.0), true, reduction="none")
        return (share - true).square()
