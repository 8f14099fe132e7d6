"""Wide & deep (Cheng et al., 2016, arXiv:1606.07792).

A linear model over item features plus an MLP over user and item embeddings.

Legend: B pairs, I items, D embedding width, F wide features.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from widedeep.config.fields import Count, Names
from widedeep.config.models import TowerConfig
from widedeep.data.feature_tables import Tables
from widedeep.models.base import MakeEmbedding
from widedeep.models.factorised import Factorised, SideTerms
from widedeep.models.feature_inputs import ModelInputs
from widedeep.models.labels import DataNames, Labels, values_of
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class WideDeepConfig(TowerConfig):
    """wide_deep: a linear model of item features, plus an MLP over a user and an item embedding."""

    name: Literal["wide_deep"] = "wide_deep"
    embedding_dim: Count = Field(default=32, ge=1, description="width of the user and of the item embedding")
    wide_numeric: Names = Field(
        default=("score", "popularity", "rank"), description="numbers of items in the wide part"
    )
    wide_multi_hot: Names = Field(default=("genres",), description="multi-hot item columns of the wide part")


class WideDeep(Factorised):
    """rating = wide(item features) + MLP([user embedding; item embedding])."""

    config_class = WideDeepConfig

    item_wide: Tensor  # [I, F] float32

    def __init__(
        self, config: WideDeepConfig, shape: dict[str, int], scale: RatingScale, embedding: MakeEmbedding = RowEmbedding
    ):
        """Build with empty buffers; `shape` has F as "wide" and the sizes that `Factorised` needs."""
        super().__init__(config, shape, scale, embedding)
        self.build_embeddings(config.embedding_dim)
        width = config.embedding_dim
        self.build_tower(width, width, config)
        self.wide = nn.Linear(shape["wide"], 1, bias=False)
        nn.init.zeros_(self.wide.weight)
        self.register_buffer("item_wide", torch.zeros(shape["items"], shape["wide"]))

    @classmethod
    def build_inputs(cls, config: WideDeepConfig, tables: Tables) -> ModelInputs:
        """Return the shape and the buffers of `Factorised` and of the wide features."""
        items = tables.items
        wide = torch.cat(
            [items.numeric(config.wide_numeric), *(items.multi_hot(name) for name in config.wide_multi_hot)], 1
        )
        shape, buffers = super().build_inputs(config, tables)
        return {**shape, "wide": wide.shape[1]}, {**buffers, "item_wide": wide}

    def labels(self, names: DataNames) -> Labels:
        """Return the labels of the embeddings and of the wide features."""
        values = [value for name in self.config.wide_multi_hot for value in values_of(name, names.items)]
        wide: Labels = {"wide.weight": {1: [*self.config.wide_numeric, *values]}}
        return super().labels(names) | wide

    def user_terms(self, user: Tensor) -> SideTerms:
        """Return the terms of users: their embedding. They add nothing to the wide sum."""
        return SideTerms(deep=self.embed_users(user))

    def item_terms(self, item: Tensor) -> SideTerms:
        """Return the terms of items: their embedding and the wide sum."""
        return SideTerms(deep=self.embed_items(item), scalar=self.wide(self.item_wide.index_select(0, item)))
