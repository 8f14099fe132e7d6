"""Where the raw dump is: shared by the commands that read it."""

from pydantic import Field

from widedeep.config.fields import Settings


class RawDataSettings(Settings):
    """The directory of a raw dump and its three files."""

    input: str = Field(default="data/raw", description="directory with the three CSV files of the dump")
    ratings_file: str = Field(
        default="users-score-2023.csv", description="the ratings: a file, or a directory of part files"
    )
    users_file: str = Field(default="users-details-2023.csv", description="the file of users")
    anime_file: str = Field(default="anime-dataset-2023.csv", description="the file of anime")
