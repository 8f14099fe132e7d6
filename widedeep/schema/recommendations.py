"""What a directory of recommendations holds beside its lists."""

from typing import Any

from widedeep.schema.manifest import DataFile
from widedeep.schema.records import Record

COLUMNS = ("user_id", "rank", "anime_id", "title", "score", "predicted_rating")


class Recall(Record):
    """How much of the exact top-N the two-stage method found, on a sample of users."""

    value: float  # share of the exact lists' items
    users: int
    candidates: int  # of each user


class RecommendationManifest(Record):
    """`_manifest.json` of a recommendations directory; written last."""

    config: dict[str, Any]
    data_digest: str  # of the prepared directory
    users: int
    rows: int
    distinct_anime: int
    recall: Recall | None = None  # none where every pair was scored
    files: tuple[DataFile, ...]
