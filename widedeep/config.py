"""The settings of every command. TOML files hold them, flags override them, these are the defaults.

All models are frozen and refuse unknown keys. `widedeep.cli.load_config` fills them.
"""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _none(value: object) -> object:
    """TOML has no null: `none` says it there and on the command line."""
    return None if value == "none" else value


Count = Annotated[int, BeforeValidator(_whole_number)]
MaybeCount = Annotated[Count | None, BeforeValidator(_none)]
MaybeFloat = Annotated[float | None, BeforeValidator(_none)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
SplitName = Literal["train", "valid", "test"]


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
    strata: tuple[str, ...] = Field(
        default=("type", "gender"), description="category columns whose combinations `stratified` keeps in proportion"
    )

    @model_validator(mode="after")
    def _whole(self) -> "SplitConfig":
        if abs(self.train + self.valid + self.test - 1.0) > 1e-9:
            raise ValueError(f"train + valid + test must be 1, not {self.train + self.valid + self.test:g}")
        if self.train == 0:
            raise ValueError("train must be above 0: nothing could be learnt")
        return self


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
    split: SplitConfig = SplitConfig()
    features: FeatureConfig = FeatureConfig()

    @model_validator(mode="after")
    def _shards_per_rank(self) -> "PrepareConfig":
        if self.shards is not None and self.shards % self.ranks:
            raise ValueError(f"shards ({self.shards}) must be a multiple of ranks ({self.ranks})")
        return self


# --- train -------------------------------------------------------------------------------------


class ModelConfig(Section):
    """The architecture; see widedeep/models."""

    name: Literal["wide_deep"] = Field(default="wide_deep", description="a name in widedeep.models.REGISTRY")
    embedding_dim: Count = Field(default=32, ge=1, description="width of the user and of the item embedding")
    hidden: tuple[int, ...] = Field(default=(128, 64), description="widths of the hidden layers")
    wide_numeric: tuple[str, ...] = Field(
        default=("score", "popularity", "rank"), description="scaled item columns of the wide part"
    )
    wide_multi_hot: tuple[str, ...] = Field(default=("genres",), description="multi-hot item columns of the wide part")
    batch_norm: bool = Field(default=False, description="normalise before each ReLU")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of hidden units dropped while training")
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1, description="share of embedding coordinates dropped")
    embedding_sd: float = Field(default=0.05, gt=0, description="sd of the embeddings' initial values")

    @model_validator(mode="after")
    def _positive_widths(self) -> "ModelConfig":
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden must name at least one width, each above 0, not {list(self.hidden)}")
        return self


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
    model: ModelConfig = ModelConfig()
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
    top_n: Count = Field(default=10, ge=1, description="anime for each user")
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
    def _enough_candidates(self) -> "ScoreConfig":
        if self.method == "two_stage" and self.candidates_each < self.top_n:
            raise ValueError(f"candidates ({self.candidates}) must be at least top_n ({self.top_n})")
        return self

    @property
    def candidates_each(self) -> int:
        """Candidates of a user: as told, or enough for a recall of 0.99 on models that rank everybody differently."""
        return self.candidates or max(128, 4 * self.top_n)


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
    rating_neighbours: Sizes = Field(default=(5, 10, 20), description="most similar of the user's rated anime")
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
