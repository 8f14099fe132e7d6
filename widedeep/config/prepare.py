"""Settings of jobs/prepare.py."""

from typing import Literal

from pydantic import Field, model_validator

from widedeep.config.fields import DRY_RUN, OVERWRITE, Count, MaybeCount, MaybeDate, Names, Settings, Share
from widedeep.config.raw_data import RawDataSettings


class SplitConfig(Settings):
    """How ratings are divided into train, valid and test, each rating by a hash of its user, item and the seed."""

    kind: Literal["random", "per_user", "stratified", "cold_item", "cold_user", "time", "date"] = Field(
        default="random",
        description="random: divides all ratings; per_user: each user's ratings; stratified: those of each stratum; "
        "cold_item: items; cold_user: users; time: each user's ratings, the last ones are held out; date: by "
        "valid-from and test-from",
    )
    train: Share = Field(default=0.8, description="share to train on: of the ratings, or of the items or users if cold")
    valid: Share = Field(default=0.1, description="share to choose settings and stop training by")
    test: Share = Field(default=0.1, description="share to measure the reported metrics on")
    valid_from: MaybeDate = Field(
        default=None,
        description="date: day of the first valid rating, as 2020-12-31 (UTC); none: there is no valid split",
    )
    test_from: MaybeDate = Field(default=None, description="date: day of the first test rating; none: no test split")
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
        if (self.kind == "date") == (self.valid_from is None and self.test_from is None):
            raise ValueError("kind = date needs valid_from or test_from, and no other kind may have them")
        if self.valid_from and self.test_from and self.valid_from >= self.test_from:
            raise ValueError(f"valid_from ({self.valid_from}) must be before test_from ({self.test_from})")
        if self.sample < 1 and self.sample_rows is not None:
            raise ValueError(f"sample ({self.sample:g}) and sample_rows ({self.sample_rows}) say the same: give one")
        return self


class RatingsConfig(Settings):
    """How rows of the ratings are read."""

    unscored: Literal["drop", "zero"] = Field(
        default="drop",
        description="entries without a score (0 or -1 in MyAnimeList): drop rejects them, zero makes them ratings of "
        "the first such mark",
    )


class FeatureConfig(Settings):
    """How columns become numbers. All statistics are fitted on the training split."""

    impute: Literal["mean", "median"] = Field(default="median", description="statistic that replaces missing numbers")
    mean_columns: Names = Field(
        default=(), description="columns of numbers that the mean replaces missing values of, whatever `impute` says"
    )
    scale: Literal["standard", "minmax"] = Field(
        default="minmax", description="standard: to mean 0 and standard deviation 1; minmax: to 0 to 1"
    )
    max_categories: Count = Field(
        default=50, ge=0, description="values that a category keeps at most, the most frequent; others become `other`"
    )
    max_list_values: Count = Field(
        default=10_000,
        ge=0,
        description="values that a column of lists keeps at most, the most frequent; others are left out",
    )
    min_count: Count = Field(default=1, ge=1, description="values of lists of fewer items than this count as unknown")
    prior_ratings: float = Field(
        default=10.0, ge=0, description="ratings at the global mean that are added to an item's own for its mean score"
    )
    rank_min_ratings: Count = Field(
        default=5, ge=1, description="items with fewer training ratings have no rank of their own; it is imputed"
    )
    leaky_columns: Names = Field(
        default=(), description="columns to use although they contain test ratings, out of `leaks` of the data set"
    )


class PrepareConfig(RawDataSettings):
    """Turn raw ratings into validated, encoded, equally sized Parquet shards and feature tables."""

    output: str = Field(default="data/prepared", description="directory to write")
    overwrite: bool = OVERWRITE
    dry_run: bool = DRY_RUN
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
