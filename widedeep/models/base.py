"""What every architecture offers: encode users, encode items, score pairs of codes.

Training, evaluation and batch scoring call the same three, so they cannot disagree. A batch job
encodes each user and each item once and pays only `score_pairs` for each pair.

Legend: B pairs, U users, I items, P items of a user, C width of a code.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

# Pairs of `score_chosen` scored at once: their codes and activations then stay in a core's own cache.
CHOSEN_PAIRS = 1024


class Recommender(nn.Module, ABC):
    """Predicts the rating, on the 1-10 scale, that a user gives an item."""

    # Whether users without training ratings all have the same code; then they need scoring only once.
    cold_users_alike: bool = True

    @abstractmethod
    def encode_users(self, user: Tensor) -> Tensor:
        """[B] int32 positions in the users' table -> [B, C] float32."""

    @abstractmethod
    def encode_items(self, item: Tensor) -> Tensor:
        """[B] int32 positions in the items' table -> [B, C] float32."""

    @abstractmethod
    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """[..., C] and [..., C] codes, which broadcast -> [...] float32 ratings, not clipped."""

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """Score all pairs: [U, C] and [I, C] codes -> out [U, I]. Models with a faster way override it."""
        out.copy_(self.score_pairs(users[:, None], items[None]))

    def score_chosen(self, users: Tensor, items: Tensor, chosen: Tensor, out: Tensor) -> None:
        """Score each user's own items: [U, C] and [I, C] codes, chosen [U, P] positions among I -> out [U, P]."""
        height = max(1, CHOSEN_PAIRS // chosen.shape[1])
        for top in range(0, len(users), height):
            part = slice(top, top + height)
            out[part] = self.score_pairs(users[part, None], items[chosen[part]])

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """[B], [B] int32 -> [B] float32 ratings, not clipped."""
        return self.score_pairs(self.encode_users(user), self.encode_items(item))

    @torch.no_grad()
    def settle(self) -> None:
        """Called before evaluation and export: give what was never trained its value."""
