"""Which columns of MyAnimeList's dump become which features, and how their texts are parsed."""

from typing import NamedTuple

from pyspark.sql import Column
from pyspark.sql import functions as F

from widedeep.spark.preparation.text_parsers import (
    calendar_year,
    category,
    minutes,
    number,
    text,
    timestamp_year,
    value_list,
)


class Field(NamedTuple):
    """A feature: its name, the dump's column it comes from, and the parsed value."""

    name: str
    source: str
    parse: Column


class Fields(NamedTuple):
    """The features of a file of the dump, by kind."""

    numeric: tuple[Field, ...]  # double
    category: tuple[Field, ...]  # string
    multi_hot: tuple[Field, ...]  # array<string>
    text: tuple[Field, ...]  # string, kept as it is, for people to read and search

    def all(self) -> tuple[Field, ...]:
        """The features of all kinds."""
        return self.numeric + self.category + self.multi_hot + self.text

    def sources(self) -> list[str]:
        """The dump's columns that any feature comes from, each once."""
        return list(dict.fromkeys(field.source for field in self.all()))


class EntityFile(NamedTuple):
    """A file of the dump with a row for each anime or user."""

    kind: str  # `anime` or `users`
    key: str  # the column of identifiers
    name: str  # the column of titles or user names
    fields: Fields
    multi_line: bool  # whether quoted texts may contain newlines

    def columns(self) -> list[str]:
        """The columns that prepare reads, the key first."""
        return list(dict.fromkeys([self.key, self.name, *self.fields.sources()]))


def anime_file() -> EntityFile:
    """The anime; needs a running Spark, as all parsers do."""
    return EntityFile("anime", "anime_id", "Name", anime_fields(), multi_line=True)


def users_file() -> EntityFile:
    """The users; needs a running Spark, as all parsers do."""
    return EntityFile("users", "Mal ID", "Username", user_fields(), multi_line=False)


def anime_fields() -> Fields:
    """How the anime file's columns become features."""
    col = F.col
    return Fields(
        numeric=(
            Field("episodes", "Episodes", number(col("Episodes"))),
            Field("duration", "Duration", minutes(col("Duration"))),
            Field("aired_start", "Aired", calendar_year(F.split_part(col("Aired"), F.lit(" to "), F.lit(1)))),
            Field("aired_end", "Aired", calendar_year(F.split_part(col("Aired"), F.lit(" to "), F.lit(2)))),
            Field("premiered_year", "Premiered", F.regexp_extract("Premiered", r"(\d{4})", 1).try_cast("double")),
            Field("favorites", "Favorites", number(col("Favorites"))),
            Field("members", "Members", number(col("Members"))),
            Field("dump_popularity", "Popularity", number(col("Popularity"))),
            Field("dump_score", "Score", number(col("Score"))),
            Field("dump_rank", "Rank", number(col("Rank"))),
            Field("dump_scored_by", "Scored By", number(col("Scored By"))),
        ),
        category=(
            Field("type", "Type", category(col("Type"))),
            Field("source", "Source", category(col("Source"))),
            Field("status", "Status", category(col("Status"))),
            Field("age_rating", "Rating", category(col("Rating"))),
            Field("premiered_season", "Premiered", category(F.regexp_extract("Premiered", r"([A-Za-z]+)\s+\d{4}", 1))),
        ),
        multi_hot=tuple(
            Field(name.lower(), name, value_list(col(name))) for name in ("Genres", "Producers", "Licensors", "Studios")
        ),
        text=(
            Field("title_english", "English name", text(col("English name"))),
            Field("title_japanese", "Other name", text(col("Other name"))),
        ),
    )


def user_fields() -> Fields:
    """How the users file's columns become features."""
    counters = (
        "Days Watched",
        "Watching",
        "Completed",
        "On Hold",
        "Dropped",
        "Plan to Watch",
        "Total Entries",
        "Rewatched",
        "Episodes Watched",
    )
    return Fields(
        numeric=(
            *(Field(name.lower().replace(" ", "_"), name, number(F.col(f"`{name}`"))) for name in counters),
            Field("joined", "Joined", timestamp_year(F.col("Joined"))),
            Field("birthday", "Birthday", timestamp_year(F.col("Birthday"))),
            Field("dump_mean_score", "Mean Score", number(F.col("`Mean Score`"))),
        ),
        category=(
            Field("gender", "Gender", category(F.col("Gender"))),
            Field("location", "Location", category(F.col("Location"))),
        ),
        multi_hot=(),
        text=(),
    )
