"""Settings of `widedeep serve`."""

from pathlib import Path

from pydantic import Field

from widedeep.config.fields import Count, MaybeText, Names
from widedeep.config.trained_run import TrainedRunSettings


class ServeConfig(TrainedRunSettings):
    """Serve lists over HTTP: an API for services, and a page for people."""

    recommendations: Path = Field(
        default=Path("data/recommendations"), description="directory written by jobs/score_all.py"
    )
    host: str = Field(
        default="127.0.0.1", description="address to listen at; 0.0.0.0: all of this machine, for others to reach"
    )
    port: Count = Field(default=8000, ge=0, le=65535, description="port to listen at; 0: any that is free")
    hide: Names = Field(
        default=("age_rating=Rx - Hentai", "genres=Hentai"),
        description="what lists and searches leave out unless the person asks for it, as column=value; what the data "
        "does not have is passed over if it is of this default",
    )
    relations: MaybeText = Field(
        default=None, description="CSV file that tells franchises, as for [rerank]; none: titles tell them"
    )
    posters: bool = Field(
        default=False, description="show the pictures of items: the browser then asks other hosts for them"
    )
    verify: bool = Field(default=True, description="compare files of lists with their digests before they are used")
    reload_seconds: float = Field(
        default=2.0, gt=0, description="how often to look for newer lists and a newer model, which are then taken"
    )
    most_items: Count = Field(default=100, ge=1, description="longest list that may be asked for")
    body_mb: float = Field(default=16.0, gt=0, description="largest body of a request, in MB")
    timeout_seconds: float = Field(default=10.0, gt=0, description="time for the body of a request, and for its answer")
    processes: Count = Field(
        default=1, ge=1, description="processes that make lists by the model, each with a copy of it in memory"
    )
    most_waiting: Count = Field(
        default=64,
        ge=1,
        description="requests that may wait for the model, and as many for other answers that take time; those beyond "
        "it are told to come back",
    )
    most_connections: Count = Field(default=1000, ge=1, description="connections at a time; others are refused")
    cache_mb: float = Field(default=256.0, gt=0, description="memory for lists that were read from files")
