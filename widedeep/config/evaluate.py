"""Settings of jobs/evaluate.py."""

from typing import Literal

from pydantic import Field, model_validator

from widedeep.config.fields import MaybeText, Settings


class EvaluateConfig(Settings):
    """Measure systems on the test split: the errors of their predicted ratings and the quality of their lists.

    A system is a directory with `recommendations/`, `predictions/` or both in it. The command writes evaluation.json
    and evaluation/, with the metrics of each user and each rating, into it. Evaluations that are up to date are kept.
    """

    data: str = Field(default="data/prepared", description="directory written by jobs/prepare.py")
    systems: str = Field(default="data/systems", description="directory that contains one directory for each system")
    recommendations: MaybeText = Field(
        default=None,
        description="lists of a single system, evaluated instead of --systems; they must not leave out test items",
    )
    predictions: MaybeText = Field(
        default=None, description="predicted ratings of the test split of a single system, instead of --systems"
    )
    output: MaybeText = Field(
        default=None, description="directory to write evaluation.json and evaluation/ of a single system to"
    )
    against: MaybeText = Field(
        default=None,
        description="name of a system; all others are compared with it, user by user, in against_NAME.json",
    )
    resume: Literal["auto", "never"] = Field(
        default="auto", description="auto: keep evaluations that are up to date; never: evaluate all systems again"
    )

    @model_validator(mode="after")
    def _single_system_is_complete(self) -> "EvaluateConfig":
        inputs = self.recommendations or self.predictions
        if bool(inputs) != bool(self.output):
            raise ValueError("a single system needs --output and --recommendations or --predictions (or both)")
        if inputs and self.against:
            raise ValueError("against names a system below --systems, so it cannot go with a single system")
        return self
