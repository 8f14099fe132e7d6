"""Architectures whose rating splits into a user part and an item part: a dot product, an MLP over their sum, and a sum.

rating = output(user dot . item dot + MLP(user hidden + item hidden) + user scalar + item scalar)

The first layer of an MLP over `[user; item]` is the sum of a user part and an item part. So an encoding is
[dot | hidden | scalar], where hidden is the user's or item's part of the first layer's outputs. A block of pairs then
costs one matrix product, and the MLP from its second layer on.

Legend: B pairs, U users, I items, D width of the dot product, E inputs that the MLP gets from a user or an item, H
width of the first hidden layer.
"""

from functools import reduce
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from widedeep.config.models import ArchitectureConfig, TowerConfig
from widedeep.data.feature_tables import Tables, embedding_rows
from widedeep.models.base import MakeEmbedding, Recommender, Scores
from widedeep.models.feature_inputs import ModelInputs
from widedeep.models.labels import DataNames, Labels
from widedeep.models.layers import fold_batch_norm, hidden_layers, split_linear
from widedeep.models.tiled_mlp import score_mlp_tiled
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale

F = TypeVar("F", bound="Factorised")


class SideTerms(NamedTuple):
    """What users (or items) contribute to a rating; None for terms that the architecture does not have."""

    dot: Tensor | None = None  # [B, D]
    deep: Tensor | None = None  # [B, E], inputs of the MLP
    scalar: Tensor | None = None  # [B, 1]


class Factorised(Recommender):
    """Scores pairs from the terms of the user and of the item, which an architecture supplies.

    An architecture makes its embedding tables, calls `build_tower` or `build_bias`, and sets `dot_width` if its terms
    have a dot.
    """

    user_row: Tensor  # [U] int32, each user's row in the embedding table
    item_row: Tensor  # [I] int32, each item's row in the embedding table
    bias: nn.Parameter | None
    dot_width = 0  # D; 0: no dot product
    hidden = 0  # H; 0: no MLP

    def __init__(
        self,
        config: ArchitectureConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers, which `from_tables` or a loaded state fills.

        Args:
            config: the architecture's section of the settings.
            shape: users U, items I, user_rows and item_rows with an embedding, and the architecture's own sizes.
            scale: the scale of the ratings.
            embedding: makes an embedding table of (rows, width, sd).

        """
        super().__init__()
        self.config, self.shape, self.scale, self.make_embedding = config, shape, scale, embedding
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.register_parameter("bias", None)
        self.register_buffer("user_row", torch.zeros(shape["users"], dtype=torch.int32))
        self.register_buffer("item_row", torch.zeros(shape["items"], dtype=torch.int32))

    def build_embeddings(self, width: int) -> None:
        """Make the embedding tables of users and items, each with one more row, which cold users or items share."""
        sd = self.config.embedding_sd
        self.user_embedding = self.make_embedding(self.shape["user_rows"] + 1, width, sd)
        self.item_embedding = self.make_embedding(self.shape["item_rows"] + 1, width, sd)

    def build_tower(self, users: int, items: int, config: TowerConfig) -> None:
        """Make the MLP over `users` inputs from the user and `items` inputs from the item."""
        self.hidden = config.hidden[0]
        self.user_part, self.item_part = split_linear(users, items, self.hidden)
        layers = hidden_layers(config.hidden, config.batch_norm, config.dropout)
        self.last = nn.Linear(config.hidden[-1], 1)
        self.deep = layers

    def build_bias(self) -> None:
        """Make the bias of an architecture without a last layer, which would have one."""
        self.bias = nn.Parameter(torch.zeros(1))

    @classmethod
    def from_tables(cls: type[F], config: Any, tables: Tables, embedding: MakeEmbedding = RowEmbedding) -> F:
        """Build an untrained model for prepared data; see `Recommender.from_tables`."""
        shape, buffers = cls.build_inputs(config, tables)
        model = cls(config, shape, tables.scale, embedding)
        for name, value in buffers.items():
            model.get_buffer(name).copy_(value)
        model.init_bias(tables.train_mean)
        return model

    # --- what an architecture supplies ----------------------------------------------------------

    def user_terms(self, user: Tensor) -> SideTerms:
        """Return what users contribute to their ratings: [B] int32 user indexes -> terms."""
        raise NotImplementedError

    def item_terms(self, item: Tensor) -> SideTerms:
        """Return what items contribute to their ratings: [B] int32 item indexes -> terms."""
        raise NotImplementedError

    def output(self, total: Tensor) -> Tensor:
        """Return the ratings of sums, elementwise."""
        return total

    def output_block(self, out: Tensor) -> None:
        """Turn a block of sums [U, I] into ratings in place, as `output` does."""

    @torch.no_grad()
    def init_bias(self, mean: float) -> None:
        """Set the bias so that the first predictions are near the mean rating."""
        (self.last.bias if self.bias is None else self.bias).fill_(mean)

    @classmethod
    def build_inputs(cls, config: Any, tables: Tables) -> ModelInputs:
        """Return the shape and the buffers of a model for prepared data; an architecture adds its own."""
        user_row, user_rows = embedding_rows(tables.users.values("train_ratings"))
        item_row, item_rows = embedding_rows(tables.items.values("train_ratings"))
        shape = {"users": tables.users.rows, "items": tables.items.rows, "user_rows": user_rows, "item_rows": item_rows}
        return shape, {"user_row": user_row, "item_row": item_row}

    def labels(self, names: DataNames) -> Labels:
        """Return the labels of the embeddings of users and items; an architecture adds its own."""
        trained = (
            (self.user_row.cpu() < self.shape["user_rows"]).numpy(),
            (self.item_row.cpu() < self.shape["item_rows"]).numpy(),
        )
        return {
            "user_embedding.weight": {0: names.user_id[trained[0]]},
            "item_embedding.weight": {0: names.item_id[trained[1]]},
        }

    # --- what an architecture gets --------------------------------------------------------------

    def encode_users(self, user: Tensor) -> Tensor:
        """Encode users: [B] int32 user indexes -> [B, D + H + 1]."""
        terms = self.user_terms(user)
        return self._join_encoding(terms, self.user_part(terms.deep) if self.hidden else None, len(user))

    def encode_items(self, item: Tensor) -> Tensor:
        """Encode items: [B] int32 item indexes -> [B, D + H + 1]."""
        terms = self.item_terms(item)
        return self._join_encoding(terms, self.item_part(terms.deep) if self.hidden else None, len(item))

    def _join_encoding(self, terms: SideTerms, hidden: Tensor | None, count: int) -> Tensor:
        """Return encodings from their parts: [B, D], [B, H], [B, 1] -> [B, D + H + 1]."""
        scalar = terms.scalar if terms.scalar is not None else self.user_row.new_zeros(count, 1, dtype=torch.float32)
        return torch.cat([part for part in (terms.dot, hidden, scalar) if part is not None], dim=-1)

    def _split_encoding(self, encoding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the parts of encodings: [..., D + H + 1] -> [..., D], [..., H], [..., 1]."""
        dot, hidden, scalar = encoding.split([self.dot_width, self.hidden, 1], dim=-1)
        return dot, hidden, scalar

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the ratings of pairs: encodings [..., D + H + 1] and [..., D + H + 1], which broadcast -> [...]."""
        user_dot, user_hidden, user_scalar = self._split_encoding(users)
        item_dot, item_hidden, item_scalar = self._split_encoding(items)
        total = (user_scalar + item_scalar).squeeze(-1)
        if self.dot_width:
            total = total + (user_dot * item_dot).sum(-1)
        if self.hidden:
            hidden = user_hidden + item_hidden
            # BatchNorm1d needs two dimensions, whatever the shape of the encodings.
            total = total + self._apply_tower(hidden.reshape(-1, self.hidden)).view(total.shape)
        return self.output(self._add_bias(total))

    def forward(self, user: Tensor, item: Tensor, negatives: Tensor | None = None) -> Scores:
        """Return both answers, see `Recommender.forward`; without negatives it need not make encodings first."""
        if negatives is not None:
            return super().forward(user, item, negatives)
        rating = self.output(self.raw_score(user, item))
        return Scores(rating, rating)

    def raw_score(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the sums of pairs before `output`: [B] user indexes and [B] item indexes -> [B]."""
        users, items = self.user_terms(user), self.item_terms(item)
        terms = [side.scalar for side in (users, items) if side.scalar is not None]  # each [B, 1]
        if self.hidden:
            assert items.deep is not None
            # The second matrix product adds the user part.
            hidden = torch.addmm(self.user_part(users.deep), items.deep, self.item_part.weight.t())  # [B, H]
            terms.insert(0, self._apply_tower(hidden))
        if self.dot_width:
            assert users.dot is not None
            assert items.dot is not None
            terms.append((users.dot * items.dot).sum(-1, keepdim=True))
        total = reduce(torch.add, terms).squeeze(-1) if terms else torch.zeros(len(user), device=user.device)
        return self._add_bias(total)

    def _apply_tower(self, hidden: Tensor) -> Tensor:
        """Apply the MLP after its first linear layer: [B, H], which it overwrites -> [B, 1]."""
        return self.last(self.deep(hidden))

    def _add_bias(self, total: Tensor) -> Tensor:
        return total if self.bias is None else total + self.bias

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """Write the ratings of all pairs, encodings [U, C] and [I, C] -> out [U, I]: one matrix product, tiled MLP."""
        user_dot, user_hidden, user_scalar = self._split_encoding(users)
        item_dot, item_hidden, item_scalar = self._split_encoding(items)
        if self.dot_width:
            torch.mm(user_dot, item_dot.t(), out=out)
        elif not self.hidden:
            out.zero_()
        if self.hidden:
            (scale, shift), layers = fold_batch_norm([*self.deep, self.last], self.hidden)
            score_mlp_tiled(user_hidden * scale, item_hidden * scale + shift, layers, out, add=self.dot_width > 0)
        if self.bias is not None:
            out += self.bias
        out += item_scalar.t()
        out += user_scalar
        self.output_block(out)

    def embed_users(self, user: Tensor) -> Tensor:
        """Return the embeddings of users: [B] int32 user indexes -> [B, width of their table]."""
        return self.embedding_dropout(self.user_embedding(self.user_row.index_select(0, user)))

    def embed_items(self, item: Tensor) -> Tensor:
        """Return the embeddings of items: [B] int32 item indexes -> [B, width of their table]."""
        return self.embedding_dropout(self.item_embedding(self.item_row.index_select(0, item)))

    def user_vectors(self, user: Tensor) -> Tensor:
        """Return the embeddings of users; an architecture with other or more vectors overrides it."""
        return self.embed_users(user)

    def item_vectors(self, item: Tensor) -> Tensor:
        """Return the embeddings of items; an architecture with other or more vectors overrides it."""
        return self.embed_items(item)
