"""Settings of jobs/check_data.py."""

from pydantic import Field

from widedeep.config.fields import Count, MaybePath, MaybeText, Settings, Share


class CheckDataConfig(Settings):
    """Check that a description of a data set fits its files; without one, propose it."""

    input: str = Field(default="data/raw", description="directory with the files of the data set")
    dataset: MaybeText = Field(
        default=None,
        description="description to check: a preset of conf/data by name, or a TOML file; none: one is proposed",
    )
    rows: Count = Field(default=10_000, ge=1, description="rows of each file that are read, the first ones")
    max_bad_share: Share = Field(default=0.01, description="share of bad rows that prepare is going to be given")
    write: MaybePath = Field(
        default=None, description="TOML file to write the proposal to; none: it is printed, to stdout"
    )
