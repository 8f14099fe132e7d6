"""Settings of the architectures in widedeep/models, a section `[model]` each."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from widedeep.config.fields import Count, DropShare, Loss, Names, Section, Widths, comma_separated, of_two_columns


class ArchitectureConfig(Section):
    """What all architectures with embeddings have in common."""

    embedding_dropout: DropShare = Field(default=0.0, description="share of embedding coordinates dropped")
    embedding_sd: float = Field(default=0.05, gt=0, description="sd of the embeddings' initial values")


class TowerConfig(ArchitectureConfig):
    """What all architectures with an MLP have in common."""

    hidden: Widths = Field(default=(128, 64), description="widths of the hidden layers")
    batch_norm: bool = Field(default=False, description="normalise before each ReLU")
    dropout: DropShare = Field(default=0.0, description="share of hidden units dropped while training")


class WideDeepConfig(TowerConfig):
    """wide_deep: item features in a linear model beside an MLP over two embeddings."""

    name: Literal["wide_deep"] = "wide_deep"
    embedding_dim: Count = Field(default=32, ge=1, description="width of the user and of the item embedding")
    wide_numeric: Names = Field(
        default=("score", "popularity", "rank"), description="scaled item columns of the wide part"
    )
    wide_multi_hot: Names = Field(default=("genres",), description="multi-hot item columns of the wide part")


class WideDeepFeaturesConfig(TowerConfig):
    """wide_deep_features: embeddings of ids and categories in a linear model beside an MLP over numbers."""

    name: Literal["wide_deep_features"] = "wide_deep_features"
    hidden: Widths = Field(default=(128, 64, 32), description="widths of the hidden layers")
    dropout: DropShare = Field(default=0.2, description="share of hidden units dropped while training")
    embedding_dim: Count = Field(default=16, ge=1, description="width of all embeddings")
    wide_users: Names = Field(default=("gender",), description="category columns of users in the wide part")
    wide_items: Names = Field(
        default=("type", "status", "producers", "studios", "source", "age_rating"),
        description="category and multi-hot columns of items in the wide part",
    )
    deep_users: Names = Field(
        default=("days_watched", "mean_score", "completed", "total_entries"),
        description="numbers of users that the MLP takes in",
    )
    deep_items: Names = Field(
        default=("episodes", "rank", "popularity", "favorites", "duration", "aired_start", "aired_end"),
        description="numbers of items that the MLP takes in",
    )
    deep_multi_hot: Names = Field(default=("genres",), description="multi-hot columns of items that the MLP takes in")


class WideDeepCrossConfig(TowerConfig):
    """wide_deep_cross: crossed columns in a linear model beside an MLP over embedded columns."""

    name: Literal["wide_deep_cross"] = "wide_deep_cross"
    pair_buckets: Count = Field(
        default=10_000, ge=0, description="weights that the crosses of user and anime are hashed to; 0: no such cross"
    )
    crosses: Annotated[Names, AfterValidator(of_two_columns)] = Field(
        default=("gender*genres", "location*genres", "type*source"),
        description="further crosses, each of two category or multi-hot columns, such as gender*genres",
    )
    wide_users: Names = Field(default=("gender", "location"), description="columns of users with a weight for a value")
    wide_items: Names = Field(
        default=("type", "source", "genres"), description="columns of items with a weight for a value"
    )
    embedding_dim: Count = Field(default=16, ge=1, description="width of the embedding of each column in the MLP")
    deep_items: Names = Field(
        default=("genres", "source", "type", "studios"), description="columns of items embedded for the MLP"
    )
    deep_users: Names = Field(
        default=("mean_score", "days_watched", "completed", "total_entries"),
        description="numbers of users that the MLP takes in",
    )
    deep_numeric: Names = Field(default=(), description="numbers of items that the MLP takes in; none as published")
    wide_only: bool = Field(default=False, description="leave the MLP out")
    deep_only: bool = Field(default=False, description="leave the linear model out")

    @model_validator(mode="after")
    def _something(self) -> "WideDeepCrossConfig":
        if self.wide_only and self.deep_only:
            raise ValueError("wide_only and deep_only together leave nothing: give one of them or none")
        return self


class GenreHybridConfig(TowerConfig):
    """genre_hybrid: a dot product beside an MLP, both of user, anime and genre embeddings."""

    name: Literal["genre_hybrid"] = "genre_hybrid"
    embedding_dim: Count = Field(default=32, ge=1, description="width of all embeddings")
    genres: bool = Field(default=True, description="whether an anime's genres have embeddings, too")


class NCFConfig(TowerConfig):
    """ncf: generalised matrix factorisation beside an MLP, through a sigmoid (He et al., 2017)."""

    name: Literal["ncf"] = "ncf"
    hidden: Widths = Field(default=(64, 32, 16), description="widths of the hidden layers")
    gmf_dim: Count = Field(default=64, ge=1, description="width of the embeddings that are multiplied")
    mlp_dim: Count = Field(default=64, ge=1, description="width of the embeddings that the MLP takes in")
    loss: Loss = Field(default="cross_entropy", description="between rating and prediction, both scaled to 0 to 1")


class RecommenderNetConfig(ArchitectureConfig):
    """recommender_net: a sigmoid over the cosine of two embeddings."""

    name: Literal["recommender_net"] = "recommender_net"
    embedding_dim: Count = Field(default=128, ge=1, description="width of the user and of the item embedding")
    dense: Annotated[tuple[Annotated[Count, Field(ge=1)], ...], BeforeValidator(comma_separated)] = Field(
        default=(64,), description="widths of layers between the cosine and the last one"
    )
    loss: Loss = Field(default="cross_entropy", description="between rating and prediction, both scaled to 0 to 1")


def _architecture(value: Any) -> Any:
    """The architecture that a section asks for; wide_deep if it names none."""
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
