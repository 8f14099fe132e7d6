"""Settings of jobs/score_all.py, jobs/evaluate.py and of looking at what a model has learnt."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from widedeep.common.command import CommandConfig
from widedeep.config.fields import RUN_DIR, Count, MaybeCount, SplitName, comma_separated, none
from widedeep.schema.manifest import SPLITS


class ScoreConfig(CommandConfig):
    """Score every anime for every user and write the top-N as Parquet."""

    data: str = Field(default="data/prepared", description="directory written by jobs/prepare.py")
    run_dir: str = Field(
        default="runs/wide_deep", validation_alias=RUN_DIR, description="directory written by widedeep/train.py"
    )
    output: str = Field(
        default="data/recommendations", description="directory to write; replaced only when all is done"
    )
    top_n: Count = Field(default=10, ge=0, description="anime for each user; 0: no lists, only --predictions")
    predictions: Annotated[str | None, BeforeValidator(none)] = Field(
        default=None,
        description="directory for the predicted rating of every rating of the test split; default: none are written",
    )
    exclude: Annotated[tuple[SplitName, ...], BeforeValidator(comma_separated)] = Field(
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


class SimilarConfig(CommandConfig):
    """Print the anime most like an anime, or the users most like a user, as a model sees them."""

    run_dir: Path = Field(
        default=Path("runs/wide_deep"), validation_alias=RUN_DIR, description="directory written by widedeep/train.py"
    )
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

    run_dir: Path = Field(
        default=Path("runs/wide_deep"), validation_alias=RUN_DIR, description="directory written by widedeep/train.py"
    )
    data: Path = Field(default=Path("data/prepared"), description="directory the run was trained on")
    output: Path = Field(default=Path("data/export"), description="directory to write; replaced only when all is done")
