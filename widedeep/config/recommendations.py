"""Settings of `widedeep recommendations`."""

from pathlib import Path

from pydantic import Field

from widedeep.config.fields import Settings


class LookUpConfig(Settings):
    """Print a user's recommendations as a table."""

    user: str = Field(description="user_id of the user, as in the data set")
    recommendations: Path = Field(
        default=Path("data/recommendations"), description="directory written by jobs/score_all.py"
    )
