"""Settings of `widedeep doctor`."""

from pathlib import Path

from pydantic import Field

from widedeep.config.fields import Settings


class DoctorConfig(Settings):
    """Show versions, processors, memory and disk, and what is wrong with them; exit with 1 if something is wrong."""

    data: Path = Field(default=Path(), description="directory that data will be written to; its free space is checked")
