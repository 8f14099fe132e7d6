"""Settings of jobs/synthesize.py."""

from pydantic import Field

from widedeep.config.fields import OVERWRITE, Count, MaybeCount, Settings, Share


class SynthesizeConfig(Settings):
    """Write a dump of any size in the schema of MyAnimeList 2023, with a known answer planted in it."""

    output: str = Field(default="data/raw", description="directory or Hadoop URL to write the dump to")
    overwrite: bool = OVERWRITE
    ratings: Count = Field(default=24_325_191, gt=0, description="number of ratings; may be written as 24.3e6")
    seed: int = Field(
        default=2023,
        ge=0,
        description="random seed; the same seed and sizes give the same bytes on any number of cores",
    )
    users: MaybeCount = Field(
        default=None, gt=0, description="number of users, with and without ratings; none: in the dump's proportion"
    )
    anime: MaybeCount = Field(
        default=None, gt=1, description="number of anime; none: grows with the square root of --ratings, up to 24,905"
    )
    noise: float = Field(
        default=1.0, gt=0, description="standard deviation of the noise; the taste signal has a standard deviation of 1"
    )
    unscored: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the ratings that are list entries without a score (0), as exported lists have them",
    )
    bad_rows: Share = Field(
        default=0.0,
        description="broken rows added to the ratings file, as a share of the ratings, to try the checks of prepare",
    )
