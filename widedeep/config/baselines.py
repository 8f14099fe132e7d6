"""Settings of jobs/baselines.py that do not belong to one baseline; each baseline adds a section of its own."""

from typing import Literal

from pydantic import Field

from widedeep.config.fields import Count, Names, Settings


class BaselinesConfig(Settings):
    """Fit known methods on train, tune them on valid, write their lists and predictions for test.

    Lists are written for every user with a test rating of 8 or more; they leave out the items of the train and
    valid splits. Users without training ratings get the most rated items. Predictions are written for every rating
    of the test split.

    Every combination of the values of a baseline's settings is tried. With many users, shorten the lists of user_knn
    and of the ranks first: they take most of the time.
    """

    data: str = Field(default="data/prepared", description="directory written by jobs/prepare.py")
    output: str = Field(default="data/systems", description="directory of systems, one directory for each baseline")
    only: Names = Field(default=(), description="baselines to run, NAME,NAME")
    top_n: Count = Field(default=20, ge=1, description="items for each user")
    resume: Literal["auto", "never"] = Field(
        default="auto", description="auto: skip the baselines that are finished; never: run them again"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the users tuned on and of ALS")
    tune_users: Count = Field(default=5000, ge=1, description="users whose valid ratings choose the settings")
    memory_gb: float = Field(
        default=16.0, gt=0, description="refuse to start a baseline that needs more memory than this to be fitted"
    )
