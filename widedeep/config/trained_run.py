"""Where a trained model is: shared by the commands that look into one."""

from pathlib import Path

from pydantic import Field

from widedeep.config.fields import RUN_DIR, Settings


class TrainedRunSettings(Settings):
    """The directory of a run and the data that it was trained on."""

    run_dir: Path = Field(
        default=Path("runs/best"), validation_alias=RUN_DIR, description="directory written by widedeep/train.py"
    )
    data: Path = Field(default=Path("data/prepared"), description="prepared data that the run was trained on")
