"""Wide & deep with crossed columns in the linear model (Cheng et al., 2016, arXiv:1606.07792, section 3.1).

The cross of user and item has too many values for a weight each, so they are hashed to a table of weights
(Weinberger et al., 2009, arXiv:0902.2206). That weight belongs to the pair and does not split into a user part and an
item part. So the last column of an encoding is the key of the user or item, and weights are looked up tile by tile.

Legend: B pairs, U users, I items, C width of an encoding, D width of the crosses of users with items, E inputs that the
MLP gets from a user or an item.
"""

from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from widedeep.config.fields import Count, Names, crosses_of_two_columns
from widedeep.config.models import TowerConfig
from widedeep.data.feature_tables import Tables
from widedeep.models.base import MakeEmbedding
from widedeep.models.crosses import OneSideWeights, UserItemCrosses, pair_buckets, sort_crosses
from widedeep.models.factorised import Factorised, SideTerms
from widedeep.models.feature_inputs import EmbeddedColumns, FeatureLookup, ModelInputs, feature_spec, merge_inputs
from widedeep.models.labels import DataNames, Labels
from widedeep.models.tiled_mlp import tiles
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.rating_scale import RatingScale


class WideDeepCrossConfig(TowerConfig):
    """wide_deep_cross: a linear model of crossed columns, plus an MLP over embedded columns."""

    name: Literal["wide_deep_cross"] = "wide_deep_cross"
    pair_buckets: Count = Field(
        default=10_000, ge=0, description="number of weights that user x item pairs are hashed to; 0: no such cross"
    )
    crosses: Annotated[Names, AfterValidator(crosses_of_two_columns)] = Field(
        default=("gender*genres", "location*genres", "type*source"),
        description="further crosses of two category or multi-hot columns, such as gender*genres",
    )
    wide_users: Names = Field(
        default=("gender", "location"), description="columns of users in the wide part, one weight for each value"
    )
    wide_items: Names = Field(
        default=("type", "source", "genres"), description="columns of items in the wide part, one weight for each value"
    )
    embedding_dim: Count = Field(default=16, ge=1, description="width of each column's embedding in the MLP")
    deep_items: Names = Field(
        default=("genres", "source", "type", "studios"), description="columns of items embedded for the MLP"
    )
    deep_users: Names = Field(
        default=("mean_score", "days_watched", "completed", "total_entries"),
        description="numbers of users that the MLP reads",
    )
    deep_numeric: Names = Field(default=(), description="numbers of items that the MLP reads")
    wide_only: bool = Field(default=False, description="train the linear model without the MLP")
    deep_only: bool = Field(default=False, description="train the MLP without the linear model")

    @model_validator(mode="after")
    def _keeps_a_part(self) -> "WideDeepCrossConfig":
        if self.wide_only and self.deep_only:
            raise ValueError("wide_only and deep_only together leave nothing: give one of them or none")
        return self


class WideDeepCross(Factorised):
    """rating = weights of values and of pairs of values + MLP([numbers of users; embedded columns of items])."""

    config_class = WideDeepCrossConfig

    pair_embedding: RowEmbedding | None

    def __init__(
        self,
        config: WideDeepCrossConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers; `shape` has the sizes of all columns and those that `Factorised` needs."""
        super().__init__(config, shape, scale, embedding)
        self.user_columns = FeatureLookup.from_shape("user_columns", shape, shape["users"])
        self.item_columns = FeatureLookup.from_shape("item_columns", shape, shape["items"])
        users, items = self.user_columns.vocabularies, self.item_columns.vocabularies
        self.cold_users_alike = not (users or shape["user_columns.numbers"])
        wide, deep = not config.deep_only, not config.wide_only
        of_users, of_items, of_both = sort_crosses(config.crosses if wide else (), set(users), set(items))
        self.user_wide = OneSideWeights(list(config.wide_users) if wide else [], of_users, users)
        self.item_wide = OneSideWeights(list(config.wide_items) if wide else [], of_items, items)
        self.both_wide = UserItemCrosses(of_both, users, items)
        self.dot_width = self.both_wide.width
        self.buckets = config.pair_buckets if wide else 0
        # The last weight is for pairs with a cold user or item: the mean of all others.
        self.pair_embedding = embedding(self.buckets + 1, 1, 0.0) if self.buckets else None
        if deep:
            self.item_values = EmbeddedColumns(config.deep_items, items, config.embedding_dim, config.embedding_sd)
            inputs = self.item_values.width + shape["item_columns.numbers"]
            self.build_tower(shape["user_columns.numbers"], inputs, config)
        else:
            self.build_bias()

    @classmethod
    def build_inputs(cls, config: Any, tables: Tables) -> ModelInputs:
        """Return the shape and the buffers of `Factorised` and of the columns of users and items.

        Raises:
            InputError: a cross names an unknown column.

        """
        known = set(tables.users.table.vocabularies), set(tables.items.table.vocabularies)
        sort_crosses(config.crosses, *known)
        crossed = [] if config.deep_only else [name for cross in config.crosses for name in cross.split("*")]
        users, items = ([name for name in crossed if name in side] for side in known)
        if not config.deep_only:
            users, items = [*config.wide_users, *users], [*config.wide_items, *items]
        numbers: tuple[tuple[str, ...], ...] = ((), ())
        if not config.wide_only:
            items, numbers = [*items, *config.deep_items], (config.deep_users, config.deep_numeric)
        return merge_inputs(
            super().build_inputs(config, tables),
            feature_spec("user_columns", tables.users, numbers[0], users),
            feature_spec("item_columns", tables.items, numbers[1], items),
        )

    def labels(self, names: DataNames) -> Labels:
        """Return the labels of the weights; hashed crosses start anew, as other data gives pairs other buckets."""
        labels: Labels = {"pair_embedding.weight": {0: ()}}
        labels |= self.user_wide.labels("user_wide", names.users) | self.item_wide.labels("item_wide", names.items)
        labels |= self.both_wide.labels("both_wide", names.users, names.items)
        return labels | self.item_values.labels("item_values", names.items) if self.hidden else labels

    def user_terms(self, user: Tensor) -> SideTerms:
        """Return the terms of users: numbers, weights of their values and of their crosses with items."""
        categories = self.user_columns.look_up_categories(user)
        deep = self.user_columns.look_up_numbers(user) if self.hidden else None
        return SideTerms(dot=self.both_wide.user_weights(categories), deep=deep, scalar=self.user_wide(categories))

    def item_terms(self, item: Tensor) -> SideTerms:
        """Return the terms of items: embedded columns and numbers, weights of their values and value shares."""
        categories = self.item_columns.look_up_categories(item)
        deep = None
        if self.hidden:
            deep = torch.cat([*self.item_values(categories), self.item_columns.look_up_numbers(item)], dim=-1)
        return SideTerms(dot=self.both_wide.item_shares(categories), deep=deep, scalar=self.item_wide(categories))

    def user_vectors(self, user: Tensor) -> Tensor:
        """Return the weights of users' crosses and the numbers that the MLP reads: [B] -> [B, D + E]."""
        return _dot_and_deep(self.user_terms(user), user)

    def item_vectors(self, item: Tensor) -> Tensor:
        """Return the value shares of items and their inputs of the MLP: [B] -> [B, D + E]."""
        return _dot_and_deep(self.item_terms(item), item)

    # --- the hashed cross of user and item ------------------------------------------------------

    def encode_users(self, user: Tensor) -> Tensor:
        """Encode users: [B] int32 user indexes -> [B, C]; the key comes last if the model has the hashed cross."""
        return self._with_key(super().encode_users(user), self._user_key(user))

    def encode_items(self, item: Tensor) -> Tensor:
        """Encode items: [B] int32 item indexes -> [B, C]; the key comes last if the model has the hashed cross."""
        return self._with_key(super().encode_items(item), self._item_key(item))

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the ratings of pairs: encodings [..., C] and [..., C], which broadcast -> [...]."""
        if self.pair_embedding is None:
            return super().score_pairs(users, items)
        rest = super().score_pairs(users[..., :-1], items[..., :-1])
        return rest + self._pair_weights(_key_of(users), _key_of(items))

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """Write the ratings of all pairs, encodings [U, C] and [I, C] -> out [U, I]; hashed crosses in tiles."""
        if self.pair_embedding is None:
            super().score_block(users, items, out)
            return
        super().score_block(users[:, :-1], items[:, :-1], out)
        user_keys, item_keys = _key_of(users)[:, None], _key_of(items)[None]
        for rows, columns in tiles(out):
            out[rows, columns].add_(self._pair_weights(user_keys[rows], item_keys[:, columns]))

    def raw_score(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the ratings of pairs: [B] user indexes and [B] item indexes -> [B]."""
        rest = super().raw_score(user, item)
        if self.pair_embedding is None:
            return rest
        return rest + self._pair_weights(self._user_key(user), self._item_key(item))

    def _user_key(self, user: Tensor) -> Tensor:
        """Return the keys of users: [B] int32 user indexes -> [B] int32, 0 for cold users, otherwise from 1."""
        return _keys(self.user_row.index_select(0, user), self.shape["user_rows"])

    def _item_key(self, item: Tensor) -> Tensor:
        """Return the keys of items: [B] int32 item indexes -> [B] int32, 0 for cold items, otherwise from 1."""
        return _keys(self.item_row.index_select(0, item), self.shape["item_rows"])

    def _with_key(self, encoding: Tensor, key: Tensor) -> Tensor:
        """Append int32 keys [B] to encodings, bit-cast to float32: [B, C - 1] -> [B, C]; no change without a cross."""
        if self.pair_embedding is None:
            return encoding
        return torch.cat([encoding, key.view(torch.float32)[:, None]], dim=-1)

    def _pair_weights(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the weights of pairs: int32 keys [...] and [...], which broadcast -> [...] float32."""
        assert self.pair_embedding is not None
        buckets = pair_buckets(user, item, self.buckets)
        return self.pair_embedding(buckets.flatten()).view(buckets.shape)


def _dot_and_deep(terms: SideTerms, index: Tensor) -> Tensor:
    """Return the dot and deep terms of users or items: [B, D + E]; [B, 0] without either."""
    parts = [part for part in (terms.dot, terms.deep) if part is not None]
    return torch.cat(parts, dim=-1) if parts else torch.zeros(len(index), 0, device=index.device)


def _keys(rows: Tensor, trained: int) -> Tensor:
    """Return 1 + the row in the embedding table, 0 for the row of the cold: [B] int32."""
    return torch.where(rows < trained, rows + 1, 0).int()


def _key_of(encodings: Tensor) -> Tensor:
    """Return the keys that encodings end with: [..., C] -> [...] int32."""
    return encodings[..., -1].contiguous().view(torch.int32)
