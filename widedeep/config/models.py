"""Settings of the architectures in widedeep/models: the section `[model]` of one of them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from widedeep.config.fields import (
    Count,
    DropShare,
    Loss,
    Names,
    Settings,
    Widths,
    comma_separated,
    crosses_of_two_columns,
)


class ArchitectureConfig(Settings):
    """Settings of all architectures with embeddings."""

    embedding_dropout: DropShare = Field(default=0.0, description="share of embedding coordinates set to 0 in training")
    embedding_sd: float = Field(default=0.05, gt=0, description="standard deviation of the embeddings' initial values")


class TowerConfig(ArchitectureConfig):
    """Settings of all architectures with an MLP."""

    hidden: Widths = Field(default=(128, 64), description="widths of the hidden layers")
    batch_norm: bool = Field(default=False, description="batch normalisation before each ReLU")
    dropout: DropShare = Field(default=0.0, description="share of hidden units set to 0 in training")


class WideDeepConfig(TowerConfig):
    """wide_deep: a linear model of item features, plus an MLP over a user and an item embedding."""

    name: Literal["wide_deep"] = "wide_deep"
    embedding_dim: Count = Field(default=32, ge=1, description="width of the user and of the item embedding")
    wide_numeric: Names = Field(
        default=("score", "popularity", "rank"), description="numbers of items in the wide part"
    )
    wide_multi_hot: Names = Field(default=("genres",), description="multi-hot item columns of the wide part")


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


class GenreHybridConfig(TowerConfig):
    """genre_hybrid: a dot product plus an MLP, both over user, anime and genre embeddings."""

    name: Literal["genre_hybrid"] = "genre_hybrid"
    embedding_dim: Count = Field(default=32, ge=1, description="width of every embedding")
    genres: bool = Field(default=True, description="embed the genres of an anime, too")


class NCFConfig(TowerConfig):
    """ncf: generalised matrix factorisation plus an MLP, through a sigmoid (He et al., 2017)."""

    name: Literal["ncf"] = "ncf"
    hidden: Widths = Field(default=(64, 32, 16), description="widths of the hidden layers")
    gmf_dim: Count = Field(default=64, ge=1, description="width of the embeddings of the matrix factorisation")
    mlp_dim: Count = Field(default=64, ge=1, description="width of the embeddings of the MLP")
    loss: Loss = Field(default="cross_entropy", description="loss between rating and prediction, both scaled to 0 to 1")


class RecommenderNetConfig(ArchitectureConfig):
    """recommender_net: a sigmoid over the cosine of two embeddings."""

    name: Literal["recommender_net"] = "recommender_net"
    embedding_dim: Count = Field(default=128, ge=1, description="width of the user and of the item embedding")
    dense: Annotated[tuple[Annotated[Count, Field(ge=1)], ...], BeforeValidator(comma_separated)] = Field(
        default=(64,), description="widths of the layers between the cosine and the output"
    )
    loss: Loss = Field(default="cross_entropy", description="loss between rating and prediction, both scaled to 0 to 1")


def _architecture(value: Any) -> Any:
    """Return the name of the architecture that a section chooses; wide_deep if it has no name."""
    return value.get("name", "wide_deep") if isinstance(value, dict) else getattr(value, "name", None)


ModelConfig = Annotated[
    Annotated[WideDeepConfig, Tag("wide_deep")]
    | Annotated[WideDeepFeaturesConfig, Tag("wide_deep_features")]
    | Annotated[WideDeepCrossConfig, Tag("wide_deep_cross")]
    | Annotated[GenreHybridConfig, Tag("genre_hybrid")]
    | Annotated[NCFConfig, Tag("ncf")]
    | Annotated[RecommenderNetConfig, Tag("recommender_net")],
    Discriminator(_architecture),
]
