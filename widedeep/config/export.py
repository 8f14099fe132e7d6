"""Settings of `widedeep export`."""

from pathlib import Path

from pydantic import Field

from widedeep.config.fields import OVERWRITE
from widedeep.config.trained_run import TrainedRunSettings


class ExportConfig(TrainedRunSettings):
    """Write a run's encoders, scalers and user and item vectors as Parquet."""

    output: Path = Field(default=Path("data/export"), description="directory to write")
    overwrite: bool = OVERWRITE
