"""Settings of jobs/synthesize.py, jobs/prepare.py and jobs/explore.py: what comes before training."""

from typing import Literal

from pydantic import Field, model_validator

from widedeep.common.command import CommandConfig
from widedeep.config.fields import Count, MaybeCount, MaybeText, Section, Share
from widedeep.schema.manifest import LEAKY_COLUMNS


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
