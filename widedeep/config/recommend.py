"""Settings of `widedeep recommend`."""

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field

from widedeep.config.fields import Count, none
from widedeep.config.rerank import RerankConfig
from widedeep.config.trained_run import TrainedRunSettings


class RecommendConfig(TrainedRunSettings):
    """Recommend items to a person by their own ratings; the person need not be in the data."""

    ratings: Path = Field(
        description="the person's ratings: a CSV file with the columns rating, and title or the identifier of items, "
        "such as anime_id; or a list that MyAnimeList exported (.xml, .xml.gz)"
    )
    top_n: Count = Field(default=10, ge=1, description="items in the list")
    # A field called `json` would hide a method of pydantic's models.
    json_file: Annotated[Path | None, BeforeValidator(none)] = Field(
        default=None,
        validation_alias=AliasChoices("json"),
        description="file to write the list to as JSON; none: no file",
    )
    rerank: RerankConfig = RerankConfig()
