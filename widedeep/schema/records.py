"""The base of all records that stages write and read."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen record that refuses unknown fields, so that a misspelt one is found at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)
