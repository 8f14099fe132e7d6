"""Settings of jobs/explore.py."""

from pydantic import Field

from widedeep.config.fields import Count, MaybeText
from widedeep.config.raw_data import RawDataSettings


class ExploreConfig(RawDataSettings):
    """Explore a data set in one HTML page of figures, which needs no network."""

    prepared: MaybeText = Field(
        default=None,
        description="directory that jobs/prepare.py wrote from it; its rejected rows and leak audit are shown",
    )
    output: str = Field(default="explore.html", description="page to write; an old one is replaced at the end")
    studios: Count = Field(default=20, ge=1, le=100, description="number of studios shown, those with most anime")
