"""What a directory of recommendations holds beside its lists."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from widedeep.schema.manifest import DataFile

COLUMNS = ("user_id", "rank", "anime_id", "title", "score", "predicted_rating")


class Recall(BaseModel):
    """How much of the exact top-N the two-stage method found, on a sample of users."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float  # share of the exact lists' items
    users: int
    candidates: int  # of each user


class RecommendationManifest(BaseModel):
    """`_manifest.json` of a recommendations directory; written last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: dict[str, Any]
    data_digest: str  # of the prepared directory
    users: int
    rows: int
    distinct_anime: int
    recall: Recall | None = None  # none where every pair was scored
    files: tuple[DataFile, ...]
