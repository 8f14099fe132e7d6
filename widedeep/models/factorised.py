"""Architectures whose rating is made of a user part and an item part: a dot product, an MLP over their sum, a sum.

rating = output(user dot . item dot + MLP(user hidden + item hidden) + user scalar + item scalar)

The first layer of an MLP over `[user; item]` is a sum of a user part and an item part. So a code holds
[dot | hidden | scalar], the hidden part being the side's contribution to the first layer's outputs, and
a block of pairs costs one matrix product and the MLP from its second layer on.

Legend: B pairs, U users, I items, D width of the dot product, E inputs of a side, H first hidden width.
"""

from functools import reduce
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from widedeep.config.models import ArchitectureConfig, TowerConfig
from widedeep.data.feature_tables import Tables, embedding_rows
from widedeep.models.base import MakeEmbedding, Recommender, Scores
from widedeep.models.layers import folded, hidden_layers, split_linear
from widedeep.models.tiled_mlp import score_hidden
from widedeep.parallel.rows import RowEmbedding
from widedeep.schema.rating_scale import RatingScale

F = TypeVar("F", bound="Factorised")


class Side(NamedTuple):
    """What users or items bring into a rating; what they do not is None."""

    dot: Tensor | None = None  # [B, D]
    deep: Tensor | None = None  # [B, E], inputs of the MLP
    scalar: Tensor | None = None  # [B, 1]


class Factorised(Recommender):
    """An architecture supplies the two sides and says how wide they are; the rest is here.

    A subclass makes its tables, calls `build_tower` or `build_bias`, and sets `dot_width` if its sides have a dot.
    """

    user_row: Tensor  # [U] int32, row of the embedding
    item_row: Tensor  # [I] int32, row of the embedding
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
        """Build with empty buffers; `from_tables` or a loaded state fills them.

        Args:
            config: of the architecture.
            shape: users U, items I, user_rows and item_rows with an embedding; more, if the architecture wants it.
            scale: the scale of the ratings.
            embedding: makes a table of (rows, width, sd).

        """
        super().__init__()
        self.config, self.shape, self.scale, self.make_embedding = config, shape, scale, embedding
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.register_parameter("bias", None)
        self.register_buffer("user_row", torch.zeros(shape["users"], dtype=torch.int32))
        self.register_buffer("item_row", torch.zeros(shape["items"], dtype=torch.int32))

    def build_embeddings(self, width: int) -> None:
        """Make the tables of users and items, each with one row more than trained: of all without training ratings."""
        sd = self.config.embedding_sd
        self.user_embedding = self.make_embedding(self.shape["user_rows"] + 1, width, sd)
        self.item_embedding = self.make_embedding(self.shape["item_rows"] + 1, width, sd)

    def build_tower(self, users: int, items: int, config: TowerConfig) -> None:
        """Make the MLP over `users` inputs of the user side and `items` of the item side."""
        self.hidden = config.hidden[0]
        self.user_part, self.item_part = split_linear(users, items, self.hidden)
        layers = hidden_layers(config.hidden, config.batch_norm, config.dropout)
        self.last = nn.Linear(config.hidden[-1], 1)
        self.deep = layers

    def build_bias(self) -> None:
        """What an architecture without a last layer has in place of that layer's bias."""
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

    def user_side(self, user: Tensor) -> Side:
        """[B] positions -> what they bring."""
        raise NotImplementedError

    def item_side(self, item: Tensor) -> Side:
        """[B] positions -> what they bring."""
        raise NotImplementedError

    def output(self, total: Tensor) -> Tensor:
        """The rating of a sum, elementwise."""
        return total

    def output_block(self, out: Tensor) -> None:
        """`output` in place, of a block of sums [U, I]."""

    @torch.no_grad()
    def init_bias(self, mean: float) -> None:
        """Let the first predictions be near the mean rating: the first steps need not find it."""
        (self.last.bias if self.bias is None else self.bias).fill_(mean)

    @classmethod
    def build_inputs(cls, config: Any, tables: Tables) -> tuple[dict[str, int], dict[str, Tensor]]:
        """The shape, and the buffers by their names; an architecture adds its own."""
        user_row, user_rows = embedding_rows(tables.users.values("train_ratings"))
        item_row, item_rows = embedding_rows(tables.items.values("train_ratings"))
        shape = {"users": tables.users.rows, "items": tables.items.rows, "user_rows": user_rows, "item_rows": item_rows}
        return shape, {"user_row": user_row, "item_row": item_row}

    # --- what it gets ---------------------------------------------------------------------------

    def encode_users(self, user: Tensor) -> Tensor:
        """[B] -> [B, D + H + 1]."""
        side = self.user_side(user)
        return self._code(side, self.user_part(side.deep) if self.hidden else None, len(user))

    def encode_items(self, item: Tensor) -> Tensor:
        """[B] -> [B, D + H + 1]."""
        side = self.item_side(item)
        return self._code(side, self.item_part(side.deep) if self.hidden else None, len(item))

    def _code(self, side: Side, hidden: Tensor | None, count: int) -> Tensor:
        scalar = side.scalar if side.scalar is not None else self.user_row.new_zeros(count, 1, dtype=torch.float32)
        return torch.cat([part for part in (side.dot, hidden, scalar) if part is not None], dim=-1)

    def _parts(self, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[..., D + H + 1] -> [..., D], [..., H], [..., 1]."""
        dot, hidden, scalar = code.split([self.dot_width, self.hidden, 1], dim=-1)
        return dot, hidden, scalar

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """[..., D + H + 1] and [..., D + H + 1] -> [...]."""
        (user_dot, user_hidden, user_scalar), (item_dot, item_hidden, item_scalar) = map(self._parts, (users, items))
        total = (user_scalar + item_scalar).squeeze(-1)
        if self.dot_width:
            total = total + (user_dot * item_dot).sum(-1)
        if self.hidden:
            hidden = user_hidden + item_hidden
            # BatchNorm1d wants two dimensions, whatever the codes' shape.
            total = total + self._deep(hidden.reshape(-1, self.hidden)).view(total.shape)
        return self.output(self._biased(total))

    def forward(self, user: Tensor, item: Tensor) -> Scores:
        """Return the scores of pairs, [B] and [B] -> [B]: `score_pairs` without making the encodings first."""
        rating = self.output(self.raw_score(user, item))
        return Scores(rating, rating)

    def raw_score(self, user: Tensor, item: Tensor) -> Tensor:
        """[B], [B] -> [B], before `output`."""
        users, items = self.user_side(user), self.item_side(item)
        terms = [side.scalar for side in (users, items) if side.scalar is not None]  # each [B, 1]
        if self.hidden:
            assert items.deep is not None
            # The sum of the two parts comes with the second product.
            hidden = torch.addmm(self.user_part(users.deep), items.deep, self.item_part.weight.t())  # [B, H]
            terms.insert(0, self._deep(hidden))
        if self.dot_width:
            assert users.dot is not None
            assert items.dot is not None
            terms.append((users.dot * items.dot).sum(-1, keepdim=True))
        total = reduce(torch.add, terms).squeeze(-1) if terms else torch.zeros(len(user), device=user.device)
        return self._biased(total)

    def _deep(self, hidden: Tensor) -> Tensor:
        """[B, H], which is overwritten -> [B, 1]."""
        return self.last(self.deep(hidden))

    def _biased(self, total: Tensor) -> Tensor:
        return total if self.bias is None else total + self.bias

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """All pairs: the dot products at once, the MLP in tiles."""
        (user_dot, user_hidden, user_scalar), (item_dot, item_hidden, item_scalar) = map(self._parts, (users, items))
        if self.dot_width:
            torch.mm(user_dot, item_dot.t(), out=out)
        elif not self.hidden:
            out.zero_()
        if self.hidden:
            (scale, shift), layers = folded([*self.deep, self.last], self.hidden)
            mine, theirs = user_hidden * scale, item_hidden * scale + shift
            score_hidden(mine, theirs, layers, out, add=self.dot_width > 0)
        if self.bias is not None:
            out += self.bias
        out += item_scalar.t()
        out += user_scalar
        self.output_block(out)

    def embedded_users(self, user: Tensor) -> Tensor:
        """[B] -> [B, width of the users' table]."""
        return self.embedding_dropout(self.user_embedding(self.user_row.index_select(0, user)))

    def embedded_items(self, item: Tensor) -> Tensor:
        """[B] -> [B, width of the items' table]."""
        return self.embedding_dropout(self.item_embedding(self.item_row.index_select(0, item)))

    def user_vectors(self, user: Tensor) -> Tensor:
        """The embeddings; an architecture with more than one table of users, or none, overrides it."""
        return self.embedded_users(user)

    def item_vectors(self, item: Tensor) -> Tensor:
        """The embeddings; an architecture with more than one table of items, or none, overrides it."""
        return self.embedded_items(item)
