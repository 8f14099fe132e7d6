"""A directory of recommendations: the columns of its lists, and its manifest."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa

from widedeep.schema.dataset import Identifiers
from widedeep.schema.manifest import DataFile
from widedeep.schema.records import Record, SealedRecord


def id_type(ids: Identifiers) -> pa.DataType:
    """Return the type of columns of identifiers."""
    return pa.int64() if ids.type == "number" else pa.string()


def reason_type(ids: Identifiers) -> pa.StructType:
    """Return the type of a reason; the first field is named as the data set names items."""
    return pa.struct(
        [(ids.item, id_type(ids)), ("title", pa.string()), ("rating", pa.float32()), ("share", pa.float32())]
    )


def list_schema(ids: Identifiers) -> pa.Schema:
    """Return the columns of lists; that of items is named as the data set names it."""
    return pa.schema(
        [
            ("user_id", id_type(ids)),
            ("rank", pa.int32()),  # from 1
            (ids.item, id_type(ids)),
            ("title", pa.string()),
            ("affinity", pa.float32()),  # what ranks: higher is better
            ("predicted_rating", pa.float32()),  # on the scale of the ratings; null if the model ranks only
            # Three parts that add up to the affinity; null if the model does not tell, or did not score the item.
            ("affinity_wide", pa.float32()),
            ("affinity_content", pa.float32()),
            ("affinity_deep", pa.float32()),
            ("reasons", pa.list_(reason_type(ids))),  # the strongest first; null if the model does not tell
        ]
    )


class Reason(Record):
    """An item of the user's history that speaks for a recommendation; its fields are those of `reason_type`."""

    item_id: int | str
    title: str
    rating: float  # the user's own
    share: float  # of all that the history adds to the wide and the content part of the affinity, from 0 to 1


class Recommendation(Record):
    """A row of a person's list; the columns are those of `list_schema`."""

    rank: int
    item_id: int | str
    title: str
    affinity: float
    predicted_rating: float | None
    affinity_wide: float | None = None
    affinity_content: float | None = None
    affinity_deep: float | None = None
    reasons: tuple[Reason, ...] | None = None


def parse_row(row: Mapping[str, Any], ids: Identifiers) -> Recommendation:
    """Return a row of a list, whatever its data set calls items."""
    values = {name: value for name, value in row.items() if name != "user_id"}
    return Recommendation.model_validate(_renamed(values, ids.item, "item_id"))


def dump_row(row: Recommendation, ids: Identifiers) -> dict[str, Any]:
    """Return a row of a list as JSON has it, with items named as the data set names them."""
    return _renamed(row.model_dump(mode="json"), "item_id", ids.item)


def _renamed(row: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return a row with another name for the item, in its reasons, too."""
    renamed = {new if name == old else name: value for name, value in row.items()}
    if reasons := renamed.get("reasons"):
        renamed["reasons"] = [_renamed(reason, old, new) for reason in reasons]
    return renamed


class Recall(Record):
    """Share of the exact top-N that the two-stage method finds, measured on a sample of users."""

    value: float  # share of the items of the exact lists
    users: int
    candidates: int  # of each user


class RecommendationManifest(SealedRecord):
    """`_manifest.json` of a directory of recommendations; written last."""

    kind: ClassVar[str] = "recommendations"
    written_format: ClassVar[int] = 5
    written_by: ClassVar[str] = "jobs/score_all.py"

    config: dict[str, Any]
    data_digest: str  # of the prepared directory
    model: str  # sha256 of the model's artifact, or what else tells this model from others
    ids: Identifiers
    users: int
    rows: int
    distinct_items: int
    recall: Recall | None = None  # None if every pair was scored
    files: tuple[DataFile, ...]
