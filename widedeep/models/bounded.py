"""Ratings through a sigmoid: they stay on their scale, and may be learnt by cross-entropy."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from widedeep.config.models import ArchitectureConfig
from widedeep.data.feature_tables import Tables
from widedeep.models.base import MakeEmbedding
from widedeep.models.factorised import Factorised
from widedeep.parallel.rows import RowEmbedding
from widedeep.schema.manifest import MAX_RATING


class Bounded(Factorised):
    """rating = lowest + (10 - lowest) sigmoid(total); the lowest is 1, or 0 where what has no score counts as that."""

    cross_entropy = True

    def __init__(self, config: ArchitectureConfig, shape: dict[str, int], embedding: MakeEmbedding = RowEmbedding):
        """Build with empty buffers; the shape holds the lowest rating, besides what `Factorised` needs."""
        super().__init__(config, shape, embedding)
        self.lowest, self.span = shape["lowest"], MAX_RATING - shape["lowest"]

    @classmethod
    def inputs(cls, config: Any, tables: Tables) -> tuple[dict[str, int], dict[str, Tensor]]:
        """As of Factorised, and the lowest rating."""
        shape, buffers = super().inputs(config, tables)
        return shape | {"lowest": tables.lowest}, buffers

    def output(self, total: Tensor) -> Tensor:
        """Elementwise."""
        return torch.sigmoid(total) * self.span + self.lowest

    def output_block(self, out: Tensor) -> None:
        """In place."""
        out.sigmoid_().mul_(self.span).add_(self.lowest)

    def start_at(self, mean: float) -> None:
        """As of Factorised; a mean at an end of the scale is taken as a thousandth of it away from there."""
        share = min(max((mean - self.lowest) / self.span, 1e-3), 1 - 1e-3)
        super().start_at(math.log(share / (1 - share)))

    def loss(self, predicted: Tensor, rating: Tensor) -> Tensor:
        """Cross-entropy of the shares of the scale, or the squared error of these; [B], [B] -> [B].

        A rating is taken as the probability of a like, as He et al. (2017) take a click.
        """
        share, true = ((value - self.lowest) / self.span for value in (predicted, rating))
        if self.cross_entropy:
            return binary_cross_entropy(share.clamp(0.0, 1.0), true, reduction="none")
        return (share - true).square()
