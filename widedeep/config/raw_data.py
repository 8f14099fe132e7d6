"""Where the raw dump is: shared by the commands that read it."""

from pydantic import Field

from widedeep.config.fields import Settings

RATINGS_FILE, USERS_FILE, ANIME_FILE = "users-score-2023.csv", "users-details-2023.csv", "anime-dataset-2023.csv"


class RawDataSettings(Settings):
    """The directory of a raw dump and its three files."""

    input: str = Field(default="data/raw", description="directory with the three CSV files of the dump")
    ratings_file: str = Field(default=RATINGS_FILE, description="the ratings: a file, or a directory of part files")
    users_file: str = Field(default=USERS_FILE, description="the file of users")
    anime_file: str = Field(default=ANIME_FILE, description="the file of anime")
