"""A dot product plus an MLP, both over user, item and genre embeddings.

Legend: B pairs, D embedding width.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from widedeep.config.fields import Count
from widedeep.config.models import TowerConfig
from widedeep.data.feature_tables import Tables
from widedeep.models.base import MakeEmbedding
from widedeep.models.factorised import Factorised, SideTerms
from widedeep.models.feature_inputs import FeatureLookup, ModelInputs, ValueEmbedding, feature_spec, merge_inputs
from widedeep.models.labels import DataNames, Labels
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class GenreHybridConfig(TowerConfig):
    """genre_hybrid: a dot product plus an MLP, both over user, item and genre embeddings."""

    name: Literal["genre_hybrid"] = "genre_hybrid"
    embedding_dim: Count = Field(default=32, ge=1, description="width of every embedding")
    genres: bool = Field(default=True, description="embed the genres of an item, too")


class GenreHybrid(Factorised):
    """rating = user . (item + genres) + MLP([user; item; genres]).

    genres is the mean embedding of the item's genres. Without genres it is user . item + MLP([user; item]).
    """

    config_class = GenreHybridConfig

    def __init__(
        self,
        config: GenreHybridConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers; `shape` has the sizes of the genres and those that `Factorised` needs."""
        super().__init__(config, shape, scale, embedding)
        width = self.dot_width = config.embedding_dim
        self.build_embeddings(width)
        if config.genres:
            self.item_columns = FeatureLookup.from_shape("item_columns", shape, shape["items"])
            self.genres = ValueEmbedding(self.item_columns.vocabularies["genres"], width, config.embedding_sd)
        else:
            self.genres = None
        self.build_tower(width, 2 * width if config.genres else width, config)

    @classmethod
    def build_inputs(cls, config: Any, tables: Tables) -> ModelInputs:
        """Return the shape and the buffers of `Factorised` and of the genres."""
        inputs = super().build_inputs(config, tables)
        if not config.genres:
            return inputs
        return merge_inputs(inputs, feature_spec("item_columns", tables.items, (), ("genres",)))

    def labels(self, names: DataNames) -> Labels:
        """Return the labels of the embeddings."""
        genres: Labels = {} if self.genres is None else {"genres.weight": {0: names.items["genres"]}}
        return super().labels(names) | genres

    def user_terms(self, user: Tensor) -> SideTerms:
        """Return the terms of users: their embedding, for the dot product and the MLP."""
        embedded = self.embed_users(user)
        return SideTerms(dot=embedded, deep=embedded)

    def item_terms(self, item: Tensor) -> SideTerms:
        """Return the terms of items: their embedding and that of their genres."""
        embedded = self.embed_items(item)
        if self.genres is None:
            return SideTerms(dot=embedded, deep=embedded)
        genres = self._embed_genres(item)
        return SideTerms(dot=embedded + genres, deep=torch.cat([embedded, genres], dim=-1))

    def item_vectors(self, item: Tensor) -> Tensor:
        """Return the embeddings of items and of their genres: [B] -> [B, 2 D], or [B, D] without genres."""
        embedded = self.embed_items(item)
        return embedded if self.genres is None else torch.cat([embedded, self._embed_genres(item)], dim=-1)

    def _embed_genres(self, item: Tensor) -> Tensor:
        """Return the embeddings of the genres of items: [B] int32 item indexes -> [B, D]."""
        assert self.genres is not None
        return self.genres(self.item_columns.look_up_categories(item)["genres"])
