"""Settings of jobs/prepare.py."""

from typing import Literal

from pydantic import Field, model_validator

from widedeep.config.fields import Count, MaybeCount, Settings, Share
from widedeep.config.raw_data import RawDataSettings
from widedeep.schema.manifest import LEAKY_COLUMNS, UNSCORED
from widedeep.schema.rating_scale import RatingScale


class SplitConfig(Settings):
    """How ratings are divided into train, valid and test, each rating by a hash of its user, anime and the seed."""

    kind: Literal["random", "per_user", "stratified", "cold_item", "cold_user"] = Field(
        default="random",
        description="random: divides all ratings; per_user: each user's ratings; stratified: those of each stratum; "
        "cold_item: anime; cold_user: users",
    )
    train: Share = Field(default=0.8, description="share to train on: of the ratings, or of the anime or users if cold")
    valid: Share = Field(default=0.1, description="share to choose settings and stop training by")
    test: Share = Field(default=0.1, description="share to measure the reported metrics on")
    sample: float = Field(
        default=1.0, gt=0, le=1, description="keep only this share of the ratings, of each stratum if stratified"
    )
    sample_rows: MaybeCount = Field(
        default=None, ge=1, description="keep this number of ratings instead, each stratum in proportion; none: all"
    )
    strata: tuple[str, ...] = Field(
        default=("type", "gender"), description="category columns whose combinations are the strata of `stratified`"
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> "SplitConfig":
        if abs(self.train + self.valid + self.test - 1.0) > 1e-9:
            raise ValueError(f"train + valid + test must be 1, not {self.train + self.valid + self.test:g}")
        if self.train == 0:
            raise ValueError("train must be above 0: nothing could be learnt")
        if self.sample < 1 and self.sample_rows is not None:
            raise ValueError(f"sample ({self.sample:g}) and sample_rows ({self.sample_rows}) say the same: give one")
        return self


class RatingsConfig(Settings):
    """How lines of the ratings file are read, and the scale of the ratings."""

    lowest: float = Field(default=1.0, description="lowest rating of the scale")
    highest: float = Field(default=10.0, description="highest rating of the scale")
    step: float = Field(default=1.0, gt=0, description="difference between neighbouring ratings, such as 0.5")
    liked: float = Field(default=8.0, description="lowest rating that makes an item relevant to the user")

    unscored: Literal["drop", "zero"] = Field(
        default="drop",
        description="list entries without a score (0 or -1): drop rejects them, zero makes them ratings of 0",
    )

    @model_validator(mode="after")
    def _valid_scale(self) -> "RatingsConfig":
        _ = self.scale
        return self

    @property
    def scale(self) -> RatingScale:
        """The scale of the prepared ratings."""
        lowest = float(UNSCORED[0]) if self.unscored == "zero" else self.lowest
        return RatingScale(lowest=lowest, highest=self.highest, step=self.step, liked=self.liked)


class FeatureConfig(Settings):
    """How columns become numbers. All statistics are fitted on the training split."""

    impute: Literal["mean", "median"] = Field(default="median", description="statistic that replaces missing numbers")
    scale: Literal["standard", "minmax"] = Field(
        default="minmax", description="standard: to mean 0 and standard deviation 1; minmax: to 0 to 1"
    )
    locations: Count = Field(
        default=50, ge=0, description="number of locations kept as categories; all others become `other`"
    )
    min_count: Count = Field(
        default=1, ge=1, description="genres, producers, … of fewer anime than this count as unknown"
    )
    prior_ratings: float = Field(
        default=10.0, ge=0, description="ratings at the global mean that are added to an anime's own for its mean score"
    )
    rank_min_ratings: Count = Field(
        default=5, ge=1, description="anime with fewer training ratings have no rank of their own; it is imputed"
    )
    leaky_columns: tuple[str, ...] = Field(
        default=(),
        description=f"columns to use although they contain test ratings, out of: {', '.join(LEAKY_COLUMNS)}",
    )

    @model_validator(mode="after")
    def _known_leaks(self) -> "FeatureConfig":
        unknown = sorted(set(self.leaky_columns) - set(LEAKY_COLUMNS))
        if unknown:
            raise ValueError(f"leaky_columns: {unknown} not among {list(LEAKY_COLUMNS)}")
        return self


class PrepareConfig(RawDataSettings):
    """Turn a raw CSV dump into validated, encoded, equally sized Parquet shards and feature tables."""

    output: str = Field(default="data/prepared", description="directory to write; an old one is replaced at the end")
    seed: int = Field(default=0, ge=0, description="random seed of the split and of the order of the ratings")
    ranks: Count = Field(default=1, ge=1, description="training ranks that the shards are divided among equally")
    shards: MaybeCount = Field(
        default=None, ge=1, description="files of the training split, a multiple of --ranks; none: by its size"
    )
    max_bad_share: Share = Field(default=0.01, description="stop if a larger share of a file's rows is bad")
    audit: bool = Field(
        default=True, description="measure how well each feature alone predicts held-out ratings, to find leaks"
    )
    ratings: RatingsConfig = RatingsConfig()
    split: SplitConfig = SplitConfig()
    features: FeatureConfig = FeatureConfig()

    @model_validator(mode="after")
    def _shards_per_rank(self) -> "PrepareConfig":
        if self.shards is not None and self.shards % self.ranks:
            raise ValueError(f"shards ({self.shards}) must be a multiple of ranks ({self.ranks})")
        return self
