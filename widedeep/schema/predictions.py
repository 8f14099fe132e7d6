"""A directory of predicted ratings: its columns, and its manifest."""

from typing import Any

import pyarrow as pa

from widedeep.schema.manifest import DataFile
from widedeep.schema.records import Record

PREDICTION_SCHEMA = pa.schema(
    [("user", pa.int32()), ("item", pa.int32()), ("rating", pa.float32()), ("predicted", pa.float32())]
)


class PredictionManifest(Record):
    """`_manifest.json` of a directory of predictions; written last."""

    config: dict[str, Any]
    data_digest: str  # of the prepared directory
    rows: int
    files: tuple[DataFile, ...]
