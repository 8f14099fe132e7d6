"""Settings of `widedeep similar`."""

from pydantic import Field, model_validator

from widedeep.config.fields import Count
from widedeep.config.trained_run import TrainedRunSettings


class SimilarConfig(TrainedRunSettings):
    """Print the anime most similar to an anime, or the users most similar to a user, by a model's vectors."""

    anime: str | None = Field(default=None, description="title of the anime; small misspellings are understood")
    user: int | None = Field(default=None, description="user_id of the user, as in the dump")
    top: Count = Field(default=10, ge=1, description="number of neighbours to print")
    min_ratings: Count = Field(default=10, ge=1, description="leave out neighbours with fewer training ratings")

    @model_validator(mode="after")
    def _anime_or_user(self) -> "SimilarConfig":
        if (self.anime is None) == (self.user is None):
            raise ValueError("give either --anime or --user")
        return self
