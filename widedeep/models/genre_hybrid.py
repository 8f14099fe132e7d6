"""A dot product beside an MLP, both of user, anime and genre embeddings.

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
from widedeep.models.factorised import Factorised, Side
from widedeep.models.feature_inputs import Columns, Values, describe
from widedeep.parallel.rows import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class GenreHybridConfig(TowerConfig):
    """genre_hybrid: a dot product plus an MLP, both over user, anime and genre embeddings."""

    name: Literal["genre_hybrid"] = "genre_hybrid"
    embedding_dim: Count = Field(default=32, ge=1, description="width of every embedding")
    genres: bool = Field(default=True, description="embed the genres of an anime, too")


class GenreHybrid(Factorised):
    """rating = user . (anime + genres) + MLP([user; anime; genres]); genres is the mean of the anime's genres'.

    Without genres it is user . anime + MLP([user; anime]).
    """

    config_class = GenreHybridConfig

    def __init__(
        self,
        config: GenreHybridConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers; the shape holds that of the genres, besides what `Factorised` needs."""
        super().__init__(config, shape, scale, embedding)
        width = self.dot_width = config.embedding_dim
        self.build_embeddings(width)
        if config.genres:
            self.item_columns = Columns.of_shape("item_columns", shape, shape["items"])
            self.genres = Values(self.item_columns.vocabularies["genres"], width, config.embedding_sd)
        else:
            self.genres = None
        self.build_tower(width, 2 * width if config.genres else width, config)

    @classmethod
    def build_inputs(cls, config: Any, tables: Tables) -> tuple[dict[str, int], dict[str, Tensor]]:
        """As of Factorised, and the genres."""
        shape, buffers = super().build_inputs(config, tables)
        if not config.genres:
            return shape, buffers
        more_shape, more_buffers = describe("item_columns", tables.items, (), ("genres",))
        return shape | more_shape, buffers | more_buffers

    def user_side(self, user: Tensor) -> Side:
        """The embedding, for both."""
        embedded = self.embedded_users(user)
        return Side(dot=embedded, deep=embedded)

    def item_side(self, item: Tensor) -> Side:
        """The embedding, with that of the genres."""
        embedded = self.embedded_items(item)
        if self.genres is None:
            return Side(dot=embedded, deep=embedded)
        genres = self._embedded_genres(item)
        return Side(dot=embedded + genres, deep=torch.cat([embedded, genres], dim=-1))

    def item_vectors(self, item: Tensor) -> Tensor:
        """The embedding and that of the genres: [B] -> [B, 2 D]."""
        embedded = self.embedded_items(item)
        return embedded if self.genres is None else torch.cat([embedded, self._embedded_genres(item)], dim=-1)

    def _embedded_genres(self, item: Tensor) -> Tensor:
        """[B] -> [B, D]."""
        assert self.genres is not None
        return self.genres(self.item_columns.look_up(item)["genres"])
