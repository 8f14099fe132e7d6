"""Wide & deep with the roles swapped: embeddings of ids and categories in the linear model, numbers in the MLP.

Legend: B pairs, D embedding width, W embedded columns of users or of items.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from widedeep.config.fields import Count, DropShare, Names, Widths
from widedeep.config.models import TowerConfig
from widedeep.data.feature_tables import Tables
from widedeep.models.base import MakeEmbedding
from widedeep.models.factorised import Factorised, SideTerms
from widedeep.models.feature_inputs import EmbeddedColumns, FeatureLookup, ModelInputs, feature_spec, merge_inputs
from widedeep.models.labels import DataNames, Labels, values_of
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class WideDeepFeaturesConfig(TowerConfig):
    """wide_deep_features: a linear model over embeddings of ids and categories, plus an MLP over numbers."""

    name: Literal["wide_deep_features"] = "wide_deep_features"
    hidden: Widths = Field(default=(128, 64, 32), description="widths of the hidden layers")
    dropout: DropShare = Field(default=0.2, description="share of hidden units set to 0 in training")
    embedding_dim: Count = Field(default=16, ge=1, description="width of every embedding")
    wide_users: Names = Field(default=("gender",), description="category columns of users in the wide part")
    wide_items: Names = Field(
        default=("type", "status", "producers", "studios", "source", "age_rating"),
        description="category and multi-hot columns of items in the wide part",
    )
    deep_users: Names = Field(
        default=("days_watched", "mean_score", "completed", "total_entries"),
        description="numbers of users that the MLP reads",
    )
    deep_items: Names = Field(
        default=("episodes", "rank", "popularity", "favorites", "duration", "aired_start", "aired_end"),
        description="numbers of items that the MLP reads",
    )
    deep_multi_hot: Names = Field(default=("genres",), description="multi-hot columns of items that the MLP reads")


class WideDeepFeatures(Factorised):
    """rating = linear([embeddings of the user, the item and their categories; MLP(standardised numbers)]).

    The linear layer is the sum of a user part, an item part and a part of the MLP.
    """

    config_class = WideDeepFeaturesConfig

    def __init__(
        self,
        config: WideDeepFeaturesConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers; `shape` has the sizes of all columns and those that `Factorised` needs."""
        super().__init__(config, shape, scale, embedding)
        self.cold_users_alike = not (config.wide_users or config.deep_users)
        self.build_embeddings(config.embedding_dim)
        self.user_columns = FeatureLookup.from_shape("user_columns", shape, shape["users"])
        self.item_columns = FeatureLookup.from_shape("item_columns", shape, shape["items"])
        self.user_values, self.item_values = (
            EmbeddedColumns(list(side.vocabularies), side.vocabularies, config.embedding_dim, config.embedding_sd)
            for side in (self.user_columns, self.item_columns)
        )
        self.user_wide, self.item_wide = (
            nn.Linear(config.embedding_dim + values.width, 1, bias=False)
            for values in (self.user_values, self.item_values)
        )
        self.build_tower(shape["user_columns.numbers"], shape["item_columns.numbers"], config)

    @classmethod
    def build_inputs(cls, config: Any, tables: Tables) -> ModelInputs:
        """Return the shape and the buffers of `Factorised` and of the columns of users and items."""
        return merge_inputs(
            super().build_inputs(config, tables),
            feature_spec("user_columns", tables.users, config.deep_users, config.wide_users),
            feature_spec("item_columns", tables.items, config.deep_items, config.wide_items, config.deep_multi_hot),
        )

    def labels(self, names: DataNames) -> Labels:
        """Return the labels of the embeddings and of the numbers of items."""
        multi_hot = [value for name in self.config.deep_multi_hot for value in values_of(name, names.items)]
        return {
            **super().labels(names),
            **self.user_values.labels("user_values", names.users),
            **self.item_values.labels("item_values", names.items),
            "item_part.weight": {1: [*self.config.deep_items, *multi_hot]},
        }

    def user_terms(self, user: Tensor) -> SideTerms:
        """Return the terms of users: their numbers and their part of the linear layer."""
        return SideTerms(deep=self.user_columns.look_up_numbers(user), scalar=self.user_wide(self.user_vectors(user)))

    def item_terms(self, item: Tensor) -> SideTerms:
        """Return the terms of items: their numbers and their part of the linear layer."""
        return SideTerms(deep=self.item_columns.look_up_numbers(item), scalar=self.item_wide(self.item_vectors(item)))

    def user_vectors(self, user: Tensor) -> Tensor:
        """Return the embeddings of users and of their categories: [B] int32 user indexes -> [B, (1 + W) D]."""
        values = self.user_values(self.user_columns.look_up_categories(user))
        return torch.cat([self.embed_users(user), *values], dim=-1)

    def item_vectors(self, item: Tensor) -> Tensor:
        """Return the embeddings of items and of their categories: [B] int32 item indexes -> [B, (1 + W) D]."""
        values = self.item_values(self.item_columns.look_up_categories(item))
        return torch.cat([self.embed_items(item), *values], dim=-1)
