"""Settings of jobs/score_all.py."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from widedeep.config.fields import (
    DRY_RUN,
    OVERWRITE,
    RUN_DIR,
    Count,
    MaybeCount,
    MaybeText,
    Settings,
    SplitName,
    comma_separated,
)
from widedeep.config.rerank import RerankConfig
from widedeep.schema.manifest import SPLITS

# Spark reads a file whole for its digest, up to 2 GiB; a row takes at most 64 bytes.
MOST_ROWS_OF_FILE = 1 << 25


class ScoreConfig(Settings):
    """Score every item for every user and write the top-N as Parquet."""

    data: str = Field(default="data/prepared", description="directory written by jobs/prepare.py")
    run_dir: str = Field(
        default="runs/best", validation_alias=RUN_DIR, description="directory written by widedeep/train.py"
    )
    output: str = Field(default="data/recommendations", description="directory to write")
    overwrite: bool = OVERWRITE
    dry_run: bool = DRY_RUN
    verify: bool = Field(default=True, description="check the digest of each file of the data before it is used")
    top_n: Count = Field(default=10, ge=0, description="items in each user's list; 0: write --predictions only")
    predictions: MaybeText = Field(
        default=None, description="directory to write a predicted rating for every test rating to; none: do not predict"
    )
    exclude: Annotated[tuple[SplitName, ...], BeforeValidator(comma_separated)] = Field(
        default=SPLITS,
        description="splits whose items are left out of their raters' lists; train,valid to evaluate on test",
    )
    cold_users: Literal["popular", "model"] = Field(
        default="popular",
        description="lists of users without training ratings: the items with most ratings, or the model's best",
    )
    method: Literal["exact", "two_stage"] = Field(
        default="exact",
        description="exact: the model scores every pair; two_stage: only each user's candidates, which is faster; a "
        "model that chooses candidates itself, such as wide_deep_history, scores those either way",
    )
    candidates: MaybeCount = Field(
        default=None,
        ge=1,
        description="two_stage: items that the model scores for each user; none: 128, or 4 x as many as a list is "
        "chosen from if that is more",
    )
    landmarks: Count = Field(
        default=64,
        ge=1,
        description="two_stage: items that the model scores for all users, to predict their candidates",
    )
    recall_users: Count = Field(
        default=1000, ge=1, description="two_stage: users for whom the recall of the candidates is measured"
    )
    sample_users: MaybeCount = Field(
        default=None, ge=1, description="score only this many users, chosen by a hash; none: all"
    )
    reasons: bool = Field(
        default=True,
        description="whether to write why each item is in a list, if the model can tell; about a fifth more time",
    )
    users_per_file: Count = Field(
        default=16_384,
        ge=1,
        le=1 << 20,
        description="maximal number of users in an output file, which one Spark task writes",
    )

    rerank: RerankConfig = RerankConfig()

    @model_validator(mode="after")
    def _something_to_write(self) -> "ScoreConfig":
        if not self.top_n and not self.predictions:
            raise ValueError("top_n is 0 and predictions names no directory: there would be nothing to write")
        if self.predictions and self.top_n and self.predictions.rstrip("/") == self.output.rstrip("/"):
            raise ValueError(f"predictions and output are the same directory ({self.output}): name two")
        return self

    @model_validator(mode="after")
    def _files_that_can_be_digested(self) -> "ScoreConfig":
        if self.users_per_file * self.top_n > MOST_ROWS_OF_FILE:
            raise ValueError(
                f"users_per_file ({self.users_per_file}) x top_n ({self.top_n}) is above {MOST_ROWS_OF_FILE}, the rows "
                "that a file may have: lower users_per_file"
            )
        return self

    @model_validator(mode="after")
    def _enough_candidates(self) -> "ScoreConfig":
        needed = self.rerank.pool(self.top_n)
        if self.method == "two_stage" and self.candidates_each < needed:
            name = "top_n" if needed == self.top_n else "rerank.candidates"
            raise ValueError(f"candidates ({self.candidates}) must be at least {name} ({needed})")
        return self

    @property
    def candidates_each(self) -> int:
        """Candidates of each user: as set, or enough for a recall of 0.99 with models whose lists differ most."""
        return self.candidates or max(128, 4 * self.rerank.pool(self.top_n))
