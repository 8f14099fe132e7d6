"""The settings of every command. TOML files hold them, flags override them, these are the defaults.

All models are frozen and refuse unknown keys. `widedeep.cli.load_config` fills them.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from widedeep.cli import CommandConfig
from widedeep.schema import LEAKY_COLUMNS, SPLITS


def _whole_number(value: object) -> object:
    """Let whole numbers be written as people write large ones: 24.3e6."""
    try:
        if isinstance(value, str | float) and float(value).is_integer():
            return int(float(value))
    except ValueError:
        pass
    return value


def _comma_separated(value: object) -> object:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        return value
    trimmed = [part.strip() if isinstance(part, str) else part for part in parts]
    return [part for part in trimmed if part != ""]  # a flag such as --model.crosses "" leaves none


def _none(value: object) -> object:
    """TOML has no null: `none` says it there and on the command line."""
    return None if value == "none" else value


def _positive_widths(widths: tuple[int, ...]) -> tuple[int, ...]:
    if not widths or min(widths) < 1:
        raise ValueError(f"hidden must name at least one width, each above 0, not {list(widths)}")
    return widths


def _of_two_columns(crosses: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [cross for cross in crosses if cross.count("*") != 1 or not all(cross.split("*"))]
    if wrong:
        raise ValueError(f"{wrong} are no crosses of two columns, such as gender*genres")
    return crosses


Count = Annotated[int, BeforeValidator(_whole_number)]
MaybeCount = Annotated[Count | None, BeforeValidator(_none)]
MaybeText = Annotated[str | None, BeforeValidator(_none)]
MaybeFloat = Annotated[float | None, BeforeValidator(_none)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
DropShare = Annotated[float, Field(ge=0.0, lt=1.0)]
Names = Annotated[tuple[str, ...], BeforeValidator(_comma_separated)]
Widths = Annotated[tuple[Count, ...], BeforeValidator(_comma_separated), AfterValidator(_positive_widths)]
SplitName = Literal["train", "valid", "test"]
Loss = Literal["cross_entropy", "squared"]


class Section(BaseModel):
    """A table of a TOML file, such as `[model]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


# --- synthesize --------------------------------------------------------------------------------


class SynthesizeConfig(CommandConfig):
    """Write a dump in the schema of MyAnimeList 2023, of any size, with a known answer planted in it."""

    output: str = Field(default="data/raw", description="directory (or Hadoop URL) of the dump")
    ratings: Count = Field(default=24_325_191, gt=0, description="rows of users-score-2023.csv; 24.3e6 is understood")
    seed: int = Field(
        default=2023, ge=0, description="the same seed and sizes give the same bytes, whatever the parallelism"
    )
    users: MaybeCount = Field(
        default=None, gt=0, description="all users, raters or not; default: the dump's proportion"
    )
    anime: MaybeCount = Field(default=None, gt=1, description="all anime; default: grows with the root of --ratings")
    noise: float = Field(default=1.0, gt=0, description="sd of the noise beside a taste signal of sd 1")
    unscored: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the ratings that are entries without a score (0), as in lists people export",
    )
    bad_rows: Share = Field(
        default=0.0, description="share of further, broken rows in the ratings file, to try quarantine"
    )


# --- prepare -----------------------------------------------------------------------------------


class SplitConfig(Section):
    """How ratings are divided; every rule is a hash of (user, anime, seed)."""

    kind: Literal["random", "per_user", "stratified", "cold_item", "cold_user"] = Field(
        default="random", description="random: by rating; per_user: shares of each user's; cold_*: whole users or anime"
    )
    train: Share = Field(default=0.8, description="share of the ratings (users, anime for cold_*) trained on")
    valid: Share = Field(default=0.1, description="share used to choose settings and to stop early")
    test: Share = Field(default=0.1, description="share used once, for the reported figures")
    sample: float = Field(default=1.0, gt=0, le=1, description="keep only this share of the ratings (of each stratum)")
    sample_rows: MaybeCount = Field(
        default=None, ge=1, description="keep this many ratings instead (a stratum its share of them); none: all"
    )
    strata: tuple[str, ...] = Field(
        default=("type", "gender"), description="category columns whose combinations `stratified` keeps in proportion"
    )

    @model_validator(mode="after")
    def _whole(self) -> "SplitConfig":
        if abs(self.train + self.valid + self.test - 1.0) > 1e-9:
            raise ValueError(f"train + valid + test must be 1, not {self.train + self.valid + self.test:g}")
        if self.train == 0:
            raise ValueError("train must be above 0: nothing could be learnt")
        if self.sample < 1 and self.sample_rows is not None:
            raise ValueError(f"sample ({self.sample:g}) and sample_rows ({self.sample_rows}) say the same: give one")
        return self


class RatingsConfig(Section):
    """What a line of the ratings file means."""

    unscored: Literal["drop", "zero"] = Field(
        default="drop",
        description="list entries without a score (0 or -1): drop puts them aside, zero makes them ratings of 0",
    )


class FeatureConfig(Section):
    """How columns become numbers. All values are fitted on the training split."""

    impute: Literal["mean", "median"] = Field(default="median", description="what replaces a missing number")
    scale: Literal["standard", "minmax"] = Field(default="minmax", description="standard: mean 0, sd 1; minmax: 0 to 1")
    locations: Count = Field(
        default=50, ge=0, description="keep this many locations as categories, the rest is `other`"
    )
    min_count: Count = Field(
        default=1, ge=1, description="a genre, producer, … below this many anime counts as unknown"
    )
    prior_ratings: float = Field(
        default=10.0, ge=0, description="damped mean: an anime's score starts from the global mean with this many votes"
    )
    rank_min_ratings: Count = Field(
        default=5, ge=1, description="anime with fewer training ratings get an imputed rank"
    )
    leaky_columns: tuple[str, ...] = Field(
        default=(),
        description=f"columns of the dump that contain test ratings, to be used all the same: {LEAKY_COLUMNS}",
    )

    @model_validator(mode="after")
    def _known_leaks(self) -> "FeatureConfig":
        unknown = sorted(set(self.leaky_columns) - set(LEAKY_COLUMNS))
        if unknown:
            raise ValueError(f"leaky_columns: {unknown} not among {list(LEAKY_COLUMNS)}")
        return self


class PrepareConfig(CommandConfig):
    """Turn a raw CSV dump into validated, encoded, equally sized Parquet shards and feature tables."""

    input: str = Field(default="data/raw", description="directory of the dump's three CSV files")
    output: str = Field(default="data/prepared", description="directory to write; replaced only when all is done")
    ratings_file: str = Field(default="users-score-2023.csv", description="ratings, a file or a directory of parts")
    users_file: str = Field(default="users-details-2023.csv", description="users")
    anime_file: str = Field(default="anime-dataset-2023.csv", description="anime")
    seed: int = Field(default=0, ge=0, description="of the split and of the order of the shards")
    ranks: Count = Field(default=1, ge=1, description="training ranks the shards must be dealt to equally")
    shards: MaybeCount = Field(
        default=None, ge=1, description="files of the training split, a multiple of --ranks; default: by size"
    )
    max_bad_share: Share = Field(default=0.01, description="stop if more than this share of a file's rows is bad")
    audit: bool = Field(
        default=True, description="measure how well each feature alone predicts held-out ratings, and look for leaks"
    )
    ratings: RatingsConfig = RatingsConfig()
    split: SplitConfig = SplitConfig()
    features: FeatureConfig = FeatureConfig()

    @model_validator(mode="after")
    def _shards_per_rank(self) -> "PrepareConfig":
        if self.shards is not None and self.shards % self.ranks:
            raise ValueError(f"shards ({self.shards}) must be a multiple of ranks ({self.ranks})")
        return self


# --- the architectures, see widedeep/models ------------------------------------------------------


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
    crosses: Annotated[Names, AfterValidator(_of_two_columns)] = Field(
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
    dense: Annotated[tuple[Annotated[Count, Field(ge=1)], ...], BeforeValidator(_comma_separated)] = Field(
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


# --- train -------------------------------------------------------------------------------------


class OptimConfig(Section):
    """How weights move."""

    name: Literal["adam", "adamw", "sgd", "adagrad"] = Field(default="adam", description="the update rule")
    lr: float = Field(default=5e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(default=0.0, ge=0, description="of the dense layers")
    embedding_decay: float = Field(default=0.0, ge=0, description="of the embeddings of the users and items in a batch")
    schedule: Literal["constant", "cosine", "linear"] = Field(default="constant", description="of the learning rate")
    warmup: Share = Field(default=0.0, description="share of all steps over which the rate rises from 0")
    clip_norm: MaybeFloat = Field(default=None, gt=0, description="largest norm of the gradient of the dense layers")


class EmbeddingConfig(Section):
    """Where the embedding tables are while training."""

    sharding: Literal["none", "row"] = Field(
        default="none", description="none: every rank holds all tables; row: each rank holds a share of their rows"
    )


class LoaderConfig(Section):
    """How ratings reach the trainer."""

    mode: Literal["auto", "resident", "stream"] = Field(
        default="auto", description="resident: ratings in memory; stream: flat memory, whatever the size"
    )
    resident_limit: Count = Field(
        default=200_000_000, ge=0, description="auto streams when the training split has more ratings than this"
    )
    shuffle_buffer: Count = Field(default=1 << 20, ge=1, description="rows a streaming rank shuffles over")
    verify: bool = Field(default=True, description="check each shard's digest before the first epoch")


class TrainConfig(CommandConfig):
    """Train a model on prepared ratings; one process, or many under torchrun."""

    data: Path = Field(default=Path("data/prepared"), description="directory written by jobs/prepare.py")
    run: Path = Field(default=Path("runs/wide_deep"), description="directory of checkpoints, metrics and the model")
    resume: str = Field(
        default="auto", description="auto: go on from the newest checkpoint; never: start anew; or a checkpoint's path"
    )
    # NumPy and petastorm take 32 bits, and petastorm is given the seed plus the epoch.
    seed: int = Field(default=0, ge=0, lt=2**31, description="of initial weights, order of samples and dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: CUDA where there is one")
    epochs: Count = Field(default=20, ge=1, description="the most passes over the training split")
    batch_size: Count = Field(default=8192, ge=1, description="ratings a step, over all ranks together")
    eval_batch_size: Count = Field(default=65_536, ge=1, description="ratings a step in evaluation, on each rank")
    patience: MaybeCount = Field(
        default=3, ge=1, description="stop after this many epochs without a better valid RMSE; none: never"
    )
    checkpoint_seconds: float = Field(default=300.0, gt=0, description="between checkpoints within an epoch")
    keep_checkpoints: Count = Field(default=2, ge=1, description="newest checkpoints kept")
    ranking_users: Count = Field(
        default=2000, ge=0, description="test users whose ranking metrics are measured; 0: none"
    )
    model: ModelConfig = Field(default=WideDeepConfig(), description="the architecture; see widedeep/models")
    optim: OptimConfig = OptimConfig()
    embedding: EmbeddingConfig = EmbeddingConfig()
    loader: LoaderConfig = LoaderConfig()


# --- score -------------------------------------------------------------------------------------


class ScoreConfig(CommandConfig):
    """Score every anime for every user and write the top-N as Parquet."""

    data: str = Field(default="data/prepared", description="directory written by jobs/prepare.py")
    run: str = Field(default="runs/wide_deep", description="directory written by widedeep/train.py")
    output: str = Field(
        default="data/recommendations", description="directory to write; replaced only when all is done"
    )
    top_n: Count = Field(default=10, ge=0, description="anime for each user; 0: no lists, only --predictions")
    predictions: Annotated[str | None, BeforeValidator(_none)] = Field(
        default=None,
        description="directory for the predicted rating of every rating of the test split; default: none are written",
    )
    exclude: Annotated[tuple[SplitName, ...], BeforeValidator(_comma_separated)] = Field(
        default=SPLITS, description="splits whose rated anime are left out; train,valid to evaluate on test"
    )
    cold_users: Literal["popular", "model"] = Field(
        default="popular",
        description="what users without training ratings get: the most rated anime, or the model's best",
    )
    method: Literal["exact", "two_stage"] = Field(
        default="exact",
        description="exact: the model scores every pair; two_stage: only each user's candidates, for speed",
    )
    candidates: MaybeCount = Field(
        default=None,
        ge=1,
        description="two_stage: anime of each user that the model scores; default: 128, or 4 x top-n if that is more",
    )
    landmarks: Count = Field(default=64, ge=1, description="two_stage: anime whose scores tell who is a candidate")
    recall_users: Count = Field(default=1000, ge=1, description="two_stage: users on whom recall is measured")
    sample_users: MaybeCount = Field(
        default=None, ge=1, description="score this many users, drawn by a hash; default: all"
    )
    users_per_file: Count = Field(
        default=16_384, ge=1, description="most users of one output file, that is of one Spark task"
    )

    @model_validator(mode="after")
    def _something_to_write(self) -> "ScoreConfig":
        if not self.top_n and not self.predictions:
            raise ValueError("top_n is 0 and predictions names no directory: there would be nothing to write")
        if self.predictions and self.top_n and self.predictions.rstrip("/") == self.output.rstrip("/"):
            raise ValueError(f"predictions and output are the same directory ({self.output}): name two")
        return self

    @model_validator(mode="after")
    def _enough_candidates(self) -> "ScoreConfig":
        if self.method == "two_stage" and self.candidates_each < self.top_n:
            raise ValueError(f"candidates ({self.candidates}) must be at least top_n ({self.top_n})")
        return self

    @property
    def candidates_each(self) -> int:
        """Candidates of a user: as told, or enough for a recall of 0.99 on models that rank everybody differently."""
        return self.candidates or max(128, 4 * self.top_n)


# --- evaluate ----------------------------------------------------------------------------------


class EvaluateConfig(CommandConfig):
    """Measure systems on the test split: errors of predicted ratings, quality of lists.

    A system is a directory with `recommendations/`, `predictions/` or both in it. Its evaluation.json, and beside it
    the figures of each user and each rating in evaluation/, are written into it. Evaluations that are up to date are
    kept.
    """

    data: str = Field(default="data/prepared", description="directory written by jobs/prepare.py")
    systems: str = Field(default="data/systems", description="directory of the systems, each a directory in it")
    recommendations: str | None = Field(
        default=None, description="the lists of a single system, in place of --systems; they must hold test anime"
    )
    predictions: str | None = Field(default=None, description="its predicted ratings of the test split")
    output: str | None = Field(default=None, description="where its evaluation.json and evaluation/ are written")
    against: str | None = Field(
        default=None, description="name of a system; compare all others with it, user by user, in against_NAME.json"
    )
    resume: Literal["auto", "never"] = Field(
        default="auto", description="never: evaluate systems again that have not changed since"
    )

    @model_validator(mode="after")
    def _one_system_whole(self) -> "EvaluateConfig":
        inputs = self.recommendations or self.predictions
        if bool(inputs) != bool(self.output):
            raise ValueError("a single system needs --output and --recommendations or --predictions (or both)")
        if inputs and self.against:
            raise ValueError("against names a system below --systems, so it cannot go with a single system")
        return self


# --- baselines ---------------------------------------------------------------------------------

BaselineName = Literal["global_mean", "bias", "popularity", "user_knn", "item_knn", "als", "mf", "implicit_als", "ease"]
BASELINES: tuple[BaselineName, ...] = get_args(BaselineName)
Correlation = Literal["cosine", "pearson"]
Sizes = tuple[Annotated[Count, Field(ge=1)], ...]
Amounts = tuple[Annotated[float, Field(ge=0)], ...]


class Grid(Section):
    """What is tried on valid: every combination of the values of a baseline's lists, or of its ratings."""

    @model_validator(mode="after")
    def _something_to_try(self) -> "Grid":
        empty = [name for name, values in self if values == ()]
        if empty:
            raise ValueError(f"{', '.join(empty)} must name at least one value")
        return self


class BiasGrid(Grid):
    """Of `bias`, for its ratings and its lists."""

    user_priors: Amounts = Field(default=(1.0, 2.0, 5.0), description="ratings at zero bias given to each user")
    item_priors: Amounts = Field(
        default=(0.5, 1.0, 3.0, 30.0, 300.0), description="ratings at zero bias given to each anime"
    )


class PopularityGrid(Grid):
    """Of `popularity`."""

    least_ratings: Amounts = Field(default=(1.0, 8.0), description="ratings below do not count")


class UserKnnGrid(Grid):
    """Of `user_knn`."""

    list_exponents: Amounts = Field(
        default=(0.5, 0.7), description="0.5: cosine; above, users of long lists count less"
    )
    list_shrinkages: Amounts = Field(default=(0.0, 20.0), description="added to the similarity's divisor")
    list_neighbours: Sizes = Field(default=(50, 100, 200), description="users who vote on a list")
    rating_similarities: tuple[Correlation, ...] = Field(default=("cosine", "pearson"), description="of residuals")
    rating_shrinkages: Amounts = Field(default=(10.0, 50.0), description="common anime that halve a correlation")
    rating_neighbours: Sizes = Field(default=(300, 1000), description="most similar users of all, raters or not")
    rating_dampings: Amounts = Field(default=(0.1, 0.5), description="weight of a correction of 0")


class ItemKnnGrid(Grid):
    """Of `item_knn`."""

    list_exponents: Amounts = Field(
        default=(0.5, 0.7, 0.8), description="0.5: cosine; above, a much rated anime says less of its raters"
    )
    list_shrinkages: Amounts = Field(default=(0.0, 20.0), description="added to the similarity's divisor")
    list_neighbours: Sizes = Field(default=(5, 10, 20), description="anime that speak for an anime")
    rating_similarities: tuple[Correlation, ...] = Field(default=("cosine", "pearson"), description="of residuals")
    rating_shrinkages: Amounts = Field(default=(200.0, 1000.0), description="common raters that halve a correlation")
    rating_neighbours: Sizes = Field(default=(10, 20, 50), description="most similar of the user's rated anime")
    rating_dampings: Amounts = Field(default=(0.01, 0.05, 0.2), description="weight of a correction of 0")


class AlsGrid(Grid):
    """Of `als` (on ratings) and of `mf` (on what the biases leave of them)."""

    ranks: Sizes = Field(default=(32, 64), description="factors")
    regularisations: Amounts = Field(
        default=(0.1, 0.14, 0.18), description="penalty of a vector for each of its ratings"
    )
    iterations: Count = Field(default=10, ge=1, description="sweeps over users and anime")


class ImplicitAlsGrid(Grid):
    """Of `implicit_als`."""

    ranks: Sizes = Field(default=(64,), description="factors")
    regularisations: Amounts = Field(default=(0.05, 0.2), description="penalty of a vector for each of its ratings")
    alphas: Amounts = Field(default=(0.5, 2.0), description="confidence in a rated anime is 1 + alpha")
    iterations: Count = Field(default=10, ge=1, description="sweeps over users and anime")


class EaseGrid(Grid):
    """Of `ease`."""

    l2: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(50.0, 100.0, 200.0, 400.0), description="penalty of the weights; grows with the number of users"
    )


class BaselinesConfig(CommandConfig):
    """Fit known methods on train, tune them on valid, write their lists and predictions for test.

    Lists are written for every user with a test rating of 8 or more; they leave out the anime of the train and
    valid splits. Users without training ratings get the most rated anime. Predictions are written for every rating
    of the test split.
    """

    data: str = Field(default="data/prepared", description="directory written by jobs/prepare.py")
    output: str = Field(default="data/systems", description="directory of systems, one directory for each baseline")
    only: Annotated[tuple[BaselineName, ...], BeforeValidator(_comma_separated)] = Field(
        default=BASELINES, description="baselines to run, NAME,NAME"
    )
    top_n: Count = Field(default=20, ge=1, description="anime for each user")
    resume: Literal["auto", "never"] = Field(
        default="auto", description="auto: skip the baselines that are finished; never: run them again"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the users tuned on and of ALS")
    tune_users: Count = Field(default=5000, ge=1, description="users whose valid ratings choose the settings")
    memory_gb: float = Field(
        default=16.0, gt=0, description="refuse to start with more rated anime than item_knn and ease can hold in this"
    )
    bias: BiasGrid = BiasGrid()
    popularity: PopularityGrid = PopularityGrid()
    user_knn: UserKnnGrid = UserKnnGrid()
    item_knn: ItemKnnGrid = ItemKnnGrid()
    als: AlsGrid = AlsGrid()
    mf: AlsGrid = AlsGrid()
    implicit_als: ImplicitAlsGrid = ImplicitAlsGrid()
    ease: EaseGrid = EaseGrid()


# --- explore -----------------------------------------------------------------------------------


class ExploreConfig(CommandConfig):
    """Look at a dump: one HTML page of figures, which needs no network."""

    input: str = Field(default="data/raw", description="directory of the dump's three CSV files")
    prepared: MaybeText = Field(
        default=None, description="directory that jobs/prepare.py made of the dump: adds its quarantine and its leaks"
    )
    output: str = Field(default="explore.html", description="the page to write; replaced only when all is done")
    ratings_file: str = Field(default="users-score-2023.csv", description="ratings, a file or a directory of parts")
    users_file: str = Field(default="users-details-2023.csv", description="users")
    anime_file: str = Field(default="anime-dataset-2023.csv", description="anime")
    studios: Count = Field(default=20, ge=1, le=100, description="most rated studios shown")


# --- what a model has learnt -------------------------------------------------------------------


class SimilarConfig(CommandConfig):
    """Print the anime most like an anime, or the users most like a user, as a model sees them."""

    run: Path = Field(default=Path("runs/wide_deep"), description="directory written by widedeep/train.py")
    data: Path = Field(default=Path("data/prepared"), description="directory the run was trained on")
    anime: str | None = Field(default=None, description="title, or nearly so")
    user: int | None = Field(default=None, description="user_id of the dump")
    top: Count = Field(default=10, ge=1, description="how many neighbours")
    min_ratings: Count = Field(default=10, ge=1, description="training ratings that a neighbour has at least")

    @model_validator(mode="after")
    def _one_of_both(self) -> "SimilarConfig":
        if (self.anime is None) == (self.user is None):
            raise ValueError("give either --anime or --user")
        return self


class ExportConfig(CommandConfig):
    """Write a run's encoders, scalers and user and anime vectors as Parquet."""

    run: Path = Field(default=Path("runs/wide_deep"), description="directory written by widedeep/train.py")
    data: Path = Field(default=Path("data/prepared"), description="directory the run was trained on")
    output: Path = Field(default=Path("data/export"), description="directory to write; replaced only when all is done")
