"""A directory of recommendations: the columns of its lists, and its manifest."""

from typing import Any

import pyarrow as pa

from widedeep.schema.manifest import DataFile
from widedeep.schema.records import Record

FORMAT_VERSION = 3

REASON_TYPE = pa.struct(
    [("anime_id", pa.int64()), ("title", pa.string()), ("rating", pa.float32()), ("share", pa.float32())]
)
LIST_SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("rank", pa.int32()),  # from 1
        ("anime_id", pa.int64()),
        ("title", pa.string()),
        ("affinity", pa.float32()),  # what ranks: higher is better
        ("predicted_rating", pa.float32()),  # on the scale of the ratings; null if the model ranks only
        # Three parts that add up to the affinity; null if the model does not tell, or did not score the anime itself.
        ("affinity_wide", pa.float32()),
        ("affinity_content", pa.float32()),
        ("affinity_deep", pa.float32()),
        ("reasons", pa.list_(REASON_TYPE)),  # the strongest first; null if the model does not tell
    ]
)


class Reason(Record):
    """An anime of the user's history that speaks for a recommendation; its fields are those of REASON_TYPE."""

    anime_id: int
    title: str
    rating: float  # the user's own
    share: float  # of all that the history adds to the wide and the content part of the affinity, from 0 to 1


class Recommendation(Record):
    """A row of a person's list; the columns are those of LIST_SCHEMA."""

    rank: int
    anime_id: int
    title: str
    affinity: float
    predicted_rating: float | None
    affinity_wide: float | None = None
    affinity_content: float | None = None
    affinity_deep: float | None = None
    reasons: tuple[Reason, ...] | None = None


class Recall(Record):
    """Share of the exact top-N that the two-stage method finds, measured on a sample of users."""

    value: float  # share of the items of the exact lists
    users: int
    candidates: int  # of each user


class RecommendationManifest(Record):
    """`_manifest.json` of a directory of recommendations; written last."""

    format_version: int = FORMAT_VERSION
    config: dict[str, Any]
    data_digest: str  # of the prepared directory
    users: int
    rows: int
    distinct_anime: int
    recall: Recall | None = None  # None if every pair was scored
    files: tuple[DataFile, ...]
