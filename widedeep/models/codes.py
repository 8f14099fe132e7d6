"""The network of an autoencoder: histories are encoded as codes, from which the answers for all items are decoded.

Legend: u users, n ratings of all of them, A rated items, R = A + 1 rows (the last for all unrated items), H width of
the encoder's first layer, K width of a code, D width of the features that the decoder ends in.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag


class Code(NamedTuple):
    """What an encoder says of users: a normal distribution of each number of their codes."""

    mean: Tensor  # [u, K]
    log_variance: Tensor  # [u, K]

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return codes that are drawn from the distributions, as a differentiable function of them: [u, K]."""
        noise = torch.randn(self.mean.shape, generator=generator).to(self.mean.device)
        return self.mean + noise * (0.5 * self.log_variance).exp()

    def divergence(self) -> Tensor:
        """Return the Kullback-Leibler divergence of each user's distribution from the standard normal one, [u]."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1.0 - self.log_variance).sum(1)


class Encoder(nn.Module):
    """An MLP whose first layer reads a history as a sparse vector over all rated items."""

    def __init__(self, items: int, widths: Sequence[int], ratings: bool, dropout: float, sd: float):
        """Build.

        Args:
            items: A.
            widths: of all layers.
            ratings: whether it reads the ratings, too, and not only which items were rated.
            dropout: share of the first layer's sums set to 0 in training.
            sd: standard deviation of the first layer's initial weights.

        """
        super().__init__()
        self.items = nn.Parameter(sd * torch.randn(items, widths[0]))
        self.ratings = nn.Parameter(sd * torch.randn(items, widths[0])) if ratings else None
        self.bias = nn.Parameter(torch.zeros(widths[0]))
        self.dropout = nn.Dropout(dropout)
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            layers += [nn.Tanh(), nn.Linear(wide, narrow)]
        self.layers = nn.Sequential(*layers)

    def forward(self, start: Tensor, row: Tensor, residual: Tensor) -> Tensor:
        """Encode histories, one after another.

        Each is divided by the square root of its length, which is the norm of the vector that says what was rated.

        Args:
            start: [u + 1] int64, where each history begins.
            row: [n] int64 rated items.
            residual: [n] float32, by how much the ratings are better than expected.

        """
        total = embedding_bag(row, self.items, start[:-1], mode="sum")  # [u, H]
        if self.ratings is not None:
            total = total + embedding_bag(row, self.ratings, start[:-1], mode="sum", per_sample_weights=residual)
        length = start.diff().clamp(min=1)[:, None]
        return self.layers(self.dropout(total / length.sqrt()) + self.bias)


class Decoder(nn.Module):
    """An MLP whose last layer has two answers for each item: one ranks, the other is added to the biases' rating."""

    def __init__(self, rows: int, widths: Sequence[int], direct: bool, sd: float):
        """Build.

        Args:
            rows: R.
            widths: of the code and of all hidden layers.
            direct: whether the first hidden layer reads the code itself, not its tanh.
            sd: standard deviation of the last layer's initial weights.

        """
        super().__init__()
        layers: list[nn.Module] = [] if direct else [nn.Tanh()]
        for narrow, wide in pairwise(widths):
            layers += [nn.Linear(narrow, wide), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.affinity = nn.Parameter(sd * torch.randn(rows, widths[-1]))
        self.appeal = nn.Parameter(torch.zeros(rows))
        self.rating = nn.Parameter(sd * torch.randn(rows, widths[-1]))

    def forward(self, code: Tensor) -> Tensor:
        """Return the features of users, from -1 to 1: codes [u, K] -> [u, D]."""
        return self.layers(code)

    @torch.no_grad()
    def fill_last_row(self) -> None:
        """Give unrated items an affinity that no rated item falls below, whatever the features, and no rating."""
        self.affinity[-1], self.rating[-1] = 0.0, 0.0
        self.appeal[-1] = (self.appeal - self.affinity.abs().sum(1))[:-1].min()
