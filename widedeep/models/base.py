"""What every architecture offers: encode users, encode items, score pairs of codes.

Training, evaluation and batch scoring call the same three, so they cannot disagree. A batch job
encodes each user and each item once and pays only `score_pairs` for each pair.

Legend: B pairs, U users, I items, P items of a user, C width of a code, D width of a vector.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from widedeep.data.feature_tables import Tables
from widedeep.parallel.rows import RowEmbedding

# Pairs of `score_chosen` scored at once: their codes and activations then stay in a core's own cache.
CHOSEN_PAIRS = 1024

# What makes a table of (rows, width, sd): one that each rank holds as a whole, or a share of one.
MakeEmbedding = Callable[[int, int, float], RowEmbedding]

M = TypeVar("M", bound="Recommender")


class Recommender(nn.Module, ABC):
    """Predicts the rating, on the 1-10 scale, that a user gives an item.

    An architecture of the registry is made by `from_tables`, or of the config and the shape that this gave: its
    weights and buffers are then what `load_state_dict` fills.
    """

    # Whether users without training ratings all have the same code; then they need scoring only once.
    cold_users_alike: bool = True

    @classmethod
    def from_tables(
        cls: type[M], config: Any, tables: Tables, embedding: MakeEmbedding = RowEmbedding
    ) -> tuple[M, dict[str, int]]:
        """An untrained model of prepared data, and the shape it was built with.

        Args:
            config: the architecture's own section of the settings.
            tables: the prepared feature tables.
            embedding: makes a table of (rows, width, sd).

        Raises:
            InputError: the tables lack a column that the config names.

        """
        raise NotImplementedError

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

    def loss(self, predicted: Tensor, rating: Tensor) -> Tensor:
        """What training makes small, of each pair: [B] from `forward` and [B] true ratings -> [B]."""
        return (predicted - rating).square()

    def user_vectors(self, user: Tensor) -> Tensor:
        """What the model has learnt of users: [B] int32 -> [B, D] float32, the embeddings side by side."""
        raise NotImplementedError

    def item_vectors(self, item: Tensor) -> Tensor:
        """What the model has learnt of items: [B] int32 -> [B, D] float32; D need not be that of users."""
        raise NotImplementedError

    @torch.no_grad()
    def settle(self) -> None:
        """Called before evaluation and export: give what was never trained its value.

        The last row of a table, shared by all without training ratings, becomes the mean of the trained ones.
        """
        for module in self.modules():
            if isinstance(module, RowEmbedding):
                module.fill_cold_row()
