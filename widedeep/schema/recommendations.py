"""A directory of recommendations: the columns of its lists, and its manifest."""

from typing import Any

import pyarrow as pa

from widedeep.schema.manifest import DataFile
from widedeep.schema.records import Record

LIST_SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("rank", pa.int32()),  # from 1
        ("anime_id", pa.int64()),
        ("title", pa.string()),
        ("affinity", pa.float32()),  # what ranks: higher is better
        ("predicted_rating", pa.float32()),  # on the scale of the ratings; null if the model ranks only
    ]
)


class Recommendation(Record):
    """A row of a person's list; the columns are those of LIST_SCHEMA."""

    rank: int
    anime_id: int
    title: str
    affinity: float
    predicted_rating: float | None


def rating_text(predicted_rating: float | None) -> str:
    """Return a predicted rating as lists show it: nothing if the model ranks only."""
    return "" if predicted_rating is None else f"{predicted_rating:.2f}"


class Recall(Record):
    """Share of the exact top-N that the two-stage method finds, measured on a sample of users."""

    value: float  # share of the items of the exact lists
    users: int
    candidates: int  # of each user


class RecommendationManifest(Record):
    """`_manifest.json` of a directory of recommendations; written last."""

    format_version: int = 2  # 1: the column affinity was called score
    config: dict[str, Any]
    data_digest: str  # of the prepared directory
    users: int
    rows: int
    distinct_anime: int
    recall: Recall | None = None  # None if every pair was scored
    files: tuple[DataFile, ...]
