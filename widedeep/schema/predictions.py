"""A directory of predicted ratings: its columns, and its manifest."""

from typing import Any, ClassVar

import pyarrow as pa

from widedeep.schema.manifest import DataFile
from widedeep.schema.records import SealedRecord

PREDICTION_SCHEMA = pa.schema(
    [("user", pa.int32()), ("item", pa.int32()), ("rating", pa.float32()), ("predicted", pa.float32())]
)


class PredictionManifest(SealedRecord):
    """`_manifest.json` of a directory of predictions; written last."""

    kind: ClassVar[str] = "predicted ratings"
    written_format: ClassVar[int] = 2
    written_by: ClassVar[str] = "jobs/score_all.py"

    config: dict[str, Any]
    data_digest: str  # of the prepared directory
    model: str  # sha256 of the model's artifact, or what else tells this model from others
    rows: int
    files: tuple[DataFile, ...]
