"""Wide & deep with crossed columns in the linear model (Cheng et al., 2016, arXiv:1606.07792, section 3.1).

The cross of user and anime has more values than could be held, so they are hashed to a table of weights
(Weinberger et al., 2009, arXiv:0902.2206). That weight is of the pair and no sum of parts: codes carry, last, who
it is, and the weights of a block's pairs are looked up tile by tile.

Legend: B pairs, U users, I items, C width of a code.
"""

from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

from widedeep.common.errors import InputError
from widedeep.config.fields import Count, Names, crosses_of_two_columns
from widedeep.config.models import TowerConfig
from widedeep.data.feature_tables import Tables
from widedeep.models.base import MakeEmbedding
from widedeep.models.crosses import BothSides, SameSide, pair_buckets
from widedeep.models.factorised import Factorised, Side
from widedeep.models.feature_inputs import Columns, Embedded, describe
from widedeep.models.tiled_mlp import tiles
from widedeep.parallel.rows import RowEmbedding
from widedeep.schema.rating_scale import RatingScale

Cross = tuple[str, str]


class WideDeepCrossConfig(TowerConfig):
    """wide_deep_cross: a linear model of crossed columns, plus an MLP over embedded columns."""

    name: Literal["wide_deep_cross"] = "wide_deep_cross"
    pair_buckets: Count = Field(
        default=10_000, ge=0, description="number of weights that user x anime pairs are hashed to; 0: no such cross"
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
    deep_numeric: Names = Field(
        default=(), description="numbers of items that the MLP reads; the published model has none"
    )
    wide_only: bool = Field(default=False, description="train the linear model without the MLP")
    deep_only: bool = Field(default=False, description="train the MLP without the linear model")

    @model_validator(mode="after")
    def _keeps_a_part(self) -> "WideDeepCrossConfig":
        if self.wide_only and self.deep_only:
            raise ValueError("wide_only and deep_only together leave nothing: give one of them or none")
        return self


class WideDeepCross(Factorised):
    """rating = weights of values and of pairs of values + MLP([users' numbers; embedded columns of items])."""

    config_class = WideDeepCrossConfig

    pair_embedding: RowEmbedding | None

    def __init__(
        self,
        config: WideDeepCrossConfig,
        shape: dict[str, int],
        scale: RatingScale,
        embedding: MakeEmbedding = RowEmbedding,
    ):
        """Build with empty buffers; the shape holds those of both sides' columns, besides what `Factorised` needs."""
        super().__init__(config, shape, scale, embedding)
        self.user_columns = Columns.of_shape("user_columns", shape, shape["users"])
        self.item_columns = Columns.of_shape("item_columns", shape, shape["items"])
        users, items = self.user_columns.vocabularies, self.item_columns.vocabularies
        self.cold_users_alike = not (users or shape["user_columns.numbers"])
        wide, deep = not config.deep_only, not config.wide_only
        same_users, same_items, both = sorted_out(config.crosses if wide else (), set(users), set(items))
        self.user_wide = SameSide(list(config.wide_users) if wide else [], same_users, users)
        self.item_wide = SameSide(list(config.wide_items) if wide else [], same_items, items)
        self.both_wide = BothSides(both, users, items)
        self.dot_width = self.both_wide.width
        self.buckets = config.pair_buckets if wide else 0
        # One weight more: of pairs with somebody without training ratings, the mean of all others.
        self.pair_embedding = embedding(self.buckets + 1, 1, 0.0) if self.buckets else None
        if deep:
            self.item_values = Embedded(config.deep_items, items, config.embedding_dim, config.embedding_sd)
            inputs = self.item_values.width + shape["item_columns.numbers"]
            self.build_tower(shape["user_columns.numbers"], inputs, config)
        else:
            self.build_bias()

    @classmethod
    def build_inputs(cls, config: Any, tables: Tables) -> tuple[dict[str, int], dict[str, Tensor]]:
        """As of Factorised, and the columns of both sides; raises InputError for a cross of unknown columns."""
        known = set(tables.users.table.vocabularies), set(tables.items.table.vocabularies)
        sorted_out(config.crosses, *known)
        crossed = [] if config.deep_only else [name for cross in config.crosses for name in cross.split("*")]
        users, items = ([name for name in crossed if name in side] for side in known)
        if not config.deep_only:
            users, items = [*config.wide_users, *users], [*config.wide_items, *items]
        numbers: tuple[tuple[str, ...], ...] = ((), ())
        if not config.wide_only:
            items, numbers = [*items, *config.deep_items], (config.deep_users, config.deep_numeric)
        parts = [
            super().build_inputs(config, tables),
            describe("user_columns", tables.users, numbers[0], users),
            describe("item_columns", tables.items, numbers[1], items),
        ]
        shapes, buffers = zip(*parts, strict=True)
        return {k: v for shape in shapes for k, v in shape.items()}, {k: v for part in buffers for k, v in part.items()}

    def user_side(self, user: Tensor) -> Side:
        """Numbers, weights of the user's values, and their crosses with all values of items."""
        codes = self.user_columns.look_up(user)
        deep = self.user_columns.look_up_numbers(user) if self.hidden else None
        return Side(dot=self.both_wide.of_users(codes), deep=deep, scalar=self.user_wide(codes))

    def item_side(self, item: Tensor) -> Side:
        """Embedded columns and numbers, weights of the item's values, and shares of these."""
        codes = self.item_columns.look_up(item)
        deep = None
        if self.hidden:
            deep = torch.cat([*self.item_values(codes), self.item_columns.look_up_numbers(item)], dim=-1)
        return Side(dot=self.both_wide.of_items(codes), deep=deep, scalar=self.item_wide(codes))

    def user_vectors(self, user: Tensor) -> Tensor:
        """There is no embedding of users: what the model takes in of them, and the weights of their crosses."""
        return _joined(self.user_side(user), user)

    def item_vectors(self, item: Tensor) -> Tensor:
        """There is no embedding of items: their embedded columns, and shares of the crossed ones."""
        return _joined(self.item_side(item), item)

    # --- the hashed cross, which is of both ------------------------------------------------------

    def encode_users(self, user: Tensor) -> Tensor:
        """[B] -> [B, C], last who it is, if the cross of user and anime is wanted."""
        return self._with_key(super().encode_users(user), self._user_key(user))

    def encode_items(self, item: Tensor) -> Tensor:
        """[B] -> [B, C], likewise."""
        return self._with_key(super().encode_items(item), self._item_key(item))

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """[..., C] and [..., C] -> [...]."""
        if self.pair_embedding is None:
            return super().score_pairs(users, items)
        rest = super().score_pairs(users[..., :-1], items[..., :-1])
        return rest + self._pair_weights(_key_of(users), _key_of(items))

    def score_block(self, users: Tensor, items: Tensor, out: Tensor) -> None:
        """All pairs, the hashed crosses in tiles."""
        if self.pair_embedding is None:
            super().score_block(users, items, out)
            return
        super().score_block(users[:, :-1], items[:, :-1], out)
        user_keys, item_keys = _key_of(users)[:, None], _key_of(items)[None]
        for rows, columns in tiles(out):
            out[rows, columns].add_(self._pair_weights(user_keys[rows], item_keys[:, columns]))

    def raw_score(self, user: Tensor, item: Tensor) -> Tensor:
        """[B], [B] -> [B]."""
        rest = super().raw_score(user, item)
        if self.pair_embedding is None:
            return rest
        return rest + self._pair_weights(self._user_key(user), self._item_key(item))

    def _user_key(self, user: Tensor) -> Tensor:
        """[B] -> [B] int32, 0 without training ratings, else from 1."""
        return _keys(self.user_row.index_select(0, user), self.shape["user_rows"])

    def _item_key(self, item: Tensor) -> Tensor:
        """[B] -> [B] int32, likewise."""
        return _keys(self.item_row.index_select(0, item), self.shape["item_rows"])

    def _with_key(self, code: Tensor, key: Tensor) -> Tensor:
        """[B, C - 1] and [B] int32 -> [B, C]: the key's bits as those of a float, which nobody calculates with."""
        return code if self.pair_embedding is None else torch.cat([code, key.view(torch.float32)[:, None]], dim=-1)

    def _pair_weights(self, user: Tensor, item: Tensor) -> Tensor:
        """[...] and [...] int32 keys, which broadcast -> [...]."""
        assert self.pair_embedding is not None
        buckets = pair_buckets(user, item, self.buckets)
        return self.pair_embedding(buckets.flatten()).view(buckets.shape)


def sorted_out(crosses: tuple[str, ...], users: set[str], items: set[str]) -> tuple[list[Cross], ...]:
    """Crosses by what they are of: of users, of items, of both (the user's column first).

    Raises:
        InputError: a column is one of neither.

    """
    same_users, same_items, both = [], [], []
    for cross in crosses:
        one, two = cross.split("*")
        if one in users and two in users:
            same_users.append((one, two))
        elif one in items and two in items:
            same_items.append((one, two))
        elif one in users | items and two in users | items:
            both.append((one, two) if one in users else (two, one))
        else:
            raise InputError(
                f"model.crosses: {cross} is of no category or multi-hot columns of users ({', '.join(sorted(users))}) "
                f"and items ({', '.join(sorted(items))})"
            )
    return same_users, same_items, both


def _joined(side: Side, position: Tensor) -> Tensor:
    """[B, D + E] of a side; [B, 0] if it has neither."""
    parts = [part for part in (side.dot, side.deep) if part is not None]
    return torch.cat(parts, dim=-1) if parts else torch.zeros(len(position), 0, device=position.device)


def _keys(rows: Tensor, trained: int) -> Tensor:
    return torch.where(rows < trained, rows + 1, 0).int()


def _key_of(codes: Tensor) -> Tensor:
    """[..., C] -> [...] int32."""
    return codes[..., -1].contiguous().view(torch.int32)
