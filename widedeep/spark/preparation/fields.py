"""The features that a description of a data set names, and how their texts are parsed."""

from collections.abc import Callable
from typing import NamedTuple

from pyspark.sql import Column
from pyspark.sql import functions as F

from widedeep.schema.dataset import CategoryParser, EntityFile, ListSource, NumberParser, TextParser, TextSource
from widedeep.spark.preparation.text_parsers import (
    calendar_year,
    category,
    flag_list,
    is_marked,
    minutes,
    number,
    season,
    text,
    timestamp_year,
    value_list,
    without_year,
    year,
)

NUMBER_PARSERS: dict[NumberParser, Callable[[Column], Column]] = {
    "number": number,
    "date": calendar_year,
    "range_start": lambda column: calendar_year(F.split_part(column, F.lit(" to "), F.lit(1))),
    "range_end": lambda column: calendar_year(F.split_part(column, F.lit(" to "), F.lit(2))),
    "timestamp": timestamp_year,
    "year": year,
    "duration": minutes,
}
CATEGORY_PARSERS: dict[CategoryParser, Callable[[Column], Column]] = {"text": category, "season": season}
TEXT_PARSERS: dict[TextParser, Callable[[Column], Column]] = {
    "text": lambda column: column,
    "without_year": without_year,
}


class Field(NamedTuple):
    """A feature: its name, the column that it comes from (of flags the first), and the parsed value."""

    name: str
    source: str
    parse: Column


class Fields(NamedTuple):
    """The features of items or users, by kind."""

    numeric: tuple[Field, ...] = ()  # double
    category: tuple[Field, ...] = ()  # string
    multi_hot: tuple[Field, ...] = ()  # array<string>
    text: tuple[Field, ...] = ()  # string, kept as it is, for people to read and search

    def all(self) -> tuple[Field, ...]:
        """The features of all kinds."""
        return self.numeric + self.category + self.multi_hot + self.text


def fields_of(file: EntityFile | None) -> Fields:
    """The features of a file, none without one; needs a running Spark, as all parsers do."""
    if file is None:
        return Fields()
    marks = file.missing

    def known(name: str) -> Column:
        return F.when(~is_marked(column_named(name), marks), column_named(name)) if marks else column_named(name)

    return Fields(
        numeric=tuple(
            Field(name, source.column, NUMBER_PARSERS[source.parse](known(source.column)))
            for name, source in file.numeric.items()
        ),
        category=tuple(
            Field(name, source.column, CATEGORY_PARSERS[source.parse](known(source.column)))
            for name, source in file.category.items()
        ),
        multi_hot=tuple(
            Field(name, source.columns[0], _values(source, known)) for name, source in file.multi_hot.items()
        ),
        text=tuple(Field(name, column, text(known(column))) for name, column in file.text.items()),
    )


def _values(source: ListSource, column: Callable[[str], Column]) -> Column:
    if source.column is None:
        return flag_list({name: column(name) for name in source.flags})
    return value_list(column(source.column), source.separator)


def name_of(source: TextSource) -> Column:
    """The title of an item or the name of a user, as it is, or without what the description wants removed."""
    return TEXT_PARSERS[source.parse](column_named(source.column))


def column_named(name: str) -> Column:
    """The column of a name, whatever characters are in it."""
    return F.col(f"`{name.replace('`', '``')}`")
