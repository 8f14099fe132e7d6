"""LightGCN (He et al., 2020, arXiv:2002.02126): embeddings propagated over the graph of who rated what.

Legend: B pairs, S negatives beside each, U users, I items, N nodes of the graph (users, then items, then values of the
items' columns), D embedding width, K layers, P people, L ratings of a history.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding as look_up

from widedeep.config.fields import Count, Names, Share
from widedeep.config.models import ArchitectureConfig
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.data.rating_matrices import preference
from widedeep.models.base import Histories, MakeEmbedding, Recommender, Scores
from widedeep.models.graph import Graph, symmetric_product
from widedeep.models.labels import DataNames, Labels, values_of
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class LightGCNConfig(ArchitectureConfig):
    """lightgcn: embeddings of users and items, propagated over the graph of who rated what (He et al., 2020)."""

    name: Literal["lightgcn"] = "lightgcn"
    embedding_dim: Count = Field(default=64, ge=1, description="width of the embeddings")
    embedding_sd: float = Field(default=0.1, gt=0, description="standard deviation of the embeddings' initial values")
    layers: Count = Field(default=3, ge=1, description="how often embeddings are propagated")
    columns: Names = Field(
        default=(), description="category and multi-valued columns of items, whose values are nodes of the graph, too"
    )
    cold_items: Share = Field(default=0.0, description="share of items that a training step treats as if unrated")


class LightGCN(Recommender):
    """affinity = rating = train mean + user . item, where a vector is the mean of a node's layers 0 to K.

    Layer 0 is the node's embedding. Each further layer is the sum of the one before over the node's neighbours, where
    an edge between nodes of degrees d and e counts 1 / sqrt(d e) times its weight, the `preference` of the rating. With
    `columns`, the values that items have are nodes, too, so that content reaches the items that nobody has rated.

    In training, the graph of a step lacks the edges of the step's own pairs: no pair sees itself. Afterwards, the whole
    graph gives the vectors; `eval()` computes them from the embeddings as they then are.
    """

    config_class = LightGCNConfig
    encodes_histories = True
    default_loss = "bpr"

    mean: Tensor  # [1] float32, of the training ratings
    vectors: Tensor  # [U + I, D] float32, of users, then items
    messages: Tensor  # [I, D] float32, what an item adds to the vectors of those who rate it, but for their degrees
    ratings: Graph | None  # who rated what; None in a model that was loaded to score
    content: Graph | None  # which values items have; None without columns
    seen: Tensor  # [N, 1] float32, 0 for users and items without training ratings; as long-lived as the graphs

    def __init__(
        self, config: LightGCNConfig, shape: dict[str, int], scale: RatingScale, _: MakeEmbedding = RowEmbedding
    ):
        """Build without a graph; `shape` has users U, items I, nodes N. No table is sharded: a step reads all rows."""
        super().__init__()
        self.config, self.shape, self.scale = config, shape, scale
        self.users, self.nodes, width = shape["users"], shape["nodes"], config.embedding_dim
        self.embedding = nn.Parameter(nn.init.normal_(torch.empty(self.nodes, width), std=config.embedding_sd))
        self.dropout = nn.Dropout(config.embedding_dropout)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("vectors", torch.zeros(self.users + shape["items"], width))
        self.register_buffer("messages", torch.zeros(shape["items"], width))
        self.ratings = self.content = None

    @classmethod
    def from_tables(cls, config: Any, tables: Tables, embedding: MakeEmbedding = RowEmbedding) -> "LightGCN":
        """Build an untrained model and its graph for prepared data."""
        user, item, rating = (torch.from_numpy(column) for column in tables.train_ratings())
        users, items = tables.users.rows, tables.items.rows
        item_values = [_values(tables.items, name) for name in config.columns]
        nodes = users + items + sum(size for _, _, size in item_values)
        model = cls(config, {"users": users, "items": items, "nodes": nodes}, tables.scale, embedding)
        model.mean.fill_(tables.train_mean)
        model.ratings = Graph(nodes, user.long(), users + item.long(), preference(rating, tables.scale))
        first, second, taken = [], [], users + items
        for with_value, value, size in item_values:
            first.append(users + with_value)
            second.append(taken + value)
            taken += size
        if item_values:
            model.content = Graph(nodes, torch.cat(first), torch.cat(second), torch.ones(sum(map(len, first))))
        seen = model.ratings.start.diff() > 0
        seen[users + items :] = True
        model.register_buffer("seen", seen[:, None].float(), persistent=False)
        return model

    def labels(self, names: DataNames) -> Labels:
        """Return the labels of the embeddings: which user, item or value each row is of."""
        nodes = [("user", name) for name in names.user_id.tolist()]
        nodes += [("item", name) for name in names.item_id.tolist()]
        for column in self.config.columns:
            nodes += values_of(column, names.items)
        return {"embedding": {0: nodes}}

    def item_embeddings(self) -> list[Tensor]:
        """Return the embeddings, of users, too."""
        return [self.embedding]

    # --- propagation ---------------------------------------------------------------------------------

    def _propagate(self, weight: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Propagate the embeddings.

        Args:
            weight: [E + 1] of the entries of the graph of ratings.
            seen: [N, 1] float32; 0 for nodes that have neither ratings nor an embedding of their own.

        Returns:
            the mean of all layers [N, D]; the sum of all but the last, divided as that mean is [N, D]; degrees [N, 1].

        """
        assert self.ratings is not None
        ratings = self.ratings.matrix(weight)
        content = None if self.content is None else self.content.matrix(self.content.weight)
        degree = seen * (ratings @ seen)
        if content is not None:
            degree = degree + content @ torch.ones_like(seen)
        scale = _scale(degree)
        seen_scale = seen * scale
        layer = self.dropout(self.embedding) * seen
        before = torch.zeros_like(layer)
        for _ in range(self.config.layers):
            before = before + layer
            spread = seen_scale * symmetric_product(ratings, seen_scale * layer)
            if content is not None:
                spread = spread + scale * symmetric_product(content, scale * layer)
            layer = spread
        layers = self.config.layers + 1
        return (before + layer) / layers, before / layers, degree

    def train(self, mode: bool = True) -> "LightGCN":
        """Begin to train; or end it, and compute the vectors of the model as trained so far."""
        super().train(mode)
        if not mode and self.ratings is not None:
            self._settle()
        return self

    @torch.no_grad()
    def _settle(self) -> None:
        """Compute the vectors over the whole graph; nodes without neighbours get the mean of the rated ones."""
        assert self.ratings is not None
        vectors, before, degree = self._propagate(self.ratings.weight, self.seen)
        for side in (slice(self.users), slice(self.users, len(self.vectors))):
            seen = self.seen[side]
            mean = (vectors[side] * seen).sum(0) / seen.sum().clamp(min=1.0)
            self.vectors[side] = torch.where(degree[side] > 0, vectors[side], mean)
        items = slice(self.users, len(self.vectors))
        self.messages.copy_(before[items] * _scale(degree[items]))

    def forward(self, user: Tensor, item: Tensor, negatives: Tensor | None = None) -> Scores:
        """Return both answers for pairs; in training, as if the pairs had not been rated.

        An item that the user has rated in another batch is no negative there: its edge is still in the graph, so it
        sees itself, while the rated item does not. Its affinity is -inf.

        Args:
            user: [B] int32 user indexes.
            item: [B] int32 item indexes.
            negatives: [B, S] int32 item indexes, or None.

        """
        if not self.training:
            return super().forward(user, item, negatives)
        assert self.ratings is not None
        lists = item[:, None] if negatives is None else torch.cat([item[:, None], negatives], dim=1)
        lists = lists + self.users  # [B, 1 + S] nodes
        weight = self.ratings.weight_without(user, lists[:, 0])
        vectors, _, _ = self._propagate(weight, self._draw_seen())
        affinity = self.score_pairs(look_up(user, vectors)[:, None], look_up(lists, vectors))
        affinity = affinity.masked_fill(weight[self.ratings.find(user[:, None], lists)] > 0, -torch.inf)
        return Scores(affinity[:, 0] if negatives is None else affinity, affinity[:, 0])

    def _draw_seen(self) -> Tensor:
        """Return `seen`, with 0 also for items that this step treats as if unrated."""
        if not self.config.cold_items:
            return self.seen
        seen, items = self.seen.clone(), slice(self.users, len(self.vectors))
        seen[items] *= torch.rand_like(seen[items]) >= self.config.cold_items
        return seen

    # --- encoding and scoring ------------------------------------------------------------------------

    def encode_users(self, user: Tensor) -> Tensor:
        """Return the vectors of users: [B] int32 -> [B, D]."""
        return self.vectors.index_select(0, user)

    def encode_items(self, item: Tensor) -> Tensor:
        """Return the vectors of items: [B] int32 -> [B, D]."""
        return self.vectors.index_select(0, item + self.users)

    def encode_histories(self, histories: Histories) -> Tensor:
        """Return the vectors of people as if they were nodes without an embedding: histories of P people -> [P, D].

        Items are not propagated anew. Who has rated nothing is the mean of the users.
        """
        known = histories.items >= 0  # [P, L]
        weight = preference(histories.ratings, self.scale) * known
        messages = look_up(histories.items.clamp(min=0), self.messages)  # [P, L, D]
        total = (weight.unsqueeze(-1) * messages).sum(1) * weight.sum(1, keepdim=True).clamp(min=1e-9).rsqrt()
        rated = known.any(1, keepdim=True)  # [P, 1]
        if rated.all():  # as of all who ask for a list: the mean takes longer than the rest
            return total
        return torch.where(rated, total, self.vectors[: self.users].mean(0))

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Return affinities: [..., D] and [..., D], which broadcast -> [...]."""
        return self.mean + torch.einsum("...d,...d->...", users, items)

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """Write the affinities of all pairs by one matrix product: [U, D] and [I, D] -> out [U, I]."""
        torch.addmm(self.mean, users, items.t(), out=out)

    def user_vectors(self, user: Tensor) -> Tensor:
        """Return the vectors of users: [B] int32 -> [B, D]."""
        return self.encode_users(user)

    def item_vectors(self, item: Tensor) -> Tensor:
        """Return the vectors of items: [B] int32 -> [B, D]."""
        return self.encode_items(item)


def _scale(degree: Tensor) -> Tensor:
    """Return 1 / sqrt(degree), 1 for nodes without neighbours."""
    return torch.where(degree > 0, degree, 1.0).rsqrt()


def _values(items: FeatureTable, name: str) -> tuple[Tensor, Tensor, int]:
    """Return items and their values in a column, [n] int64 each; and how many values there are."""
    ids, size = items.category_ids(name), items.vocabulary_size(name)
    item, place = torch.nonzero(ids < size, as_tuple=True)
    return item, ids[item, place].long(), size
