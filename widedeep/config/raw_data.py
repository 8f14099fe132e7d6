"""Which data set is read, and where it is: shared by the commands that read raw files."""

from pydantic import Field

from widedeep.config.fields import Settings

# The files of the default data set, which jobs/synthesize.py writes.
RATINGS_FILE, USERS_FILE, ANIME_FILE = "users-score-2023.csv", "users-details-2023.csv", "anime-dataset-2023.csv"


class RawDataSettings(Settings):
    """The directory of a data set, and the description of its files."""

    input: str = Field(default="data/raw", description="directory with the files of the data set")
    dataset: str = Field(
        default="mal2023",
        description="description of the files: a preset of conf/data by name, or a TOML file (docs/datasets.md)",
    )
