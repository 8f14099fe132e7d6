"""Settings of `widedeep similar`."""

from pydantic import Field, model_validator

from widedeep.config.fields import Count
from widedeep.config.trained_run import TrainedRunSettings


class SimilarConfig(TrainedRunSettings):
    """Print the items most similar to an item, or the users most similar to a user, by a model's vectors."""

    title: str | None = Field(default=None, description="title of the item; small misspellings are understood")
    user: str | None = Field(default=None, description="user_id of the user, as in the data set")
    top: Count = Field(default=10, ge=1, description="number of neighbours to print")
    min_ratings: Count = Field(default=10, ge=1, description="leave out neighbours with fewer training ratings")

    @model_validator(mode="after")
    def _title_or_user(self) -> "SimilarConfig":
        if (self.title is None) == (self.user is None):
            raise ValueError("give either --title or --user")
        return self
