"""Texts of a dump -> numbers, categories and lists; Column -> Column.

Every parser gives null (a list: an empty array; a text: an empty one) where the text is missing or not understood.
"""

import math
import re
from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

from widedeep.schema.dataset import MAX_IDENTIFIER, MISSING_WORDS

# Of texts that are cast. Others are not tried: `try_cast` would throw and catch an exception for each, which takes as
# long as fifty regular expressions.
WHOLE = r"^\d{1,18}$"  # as nearly all identifiers are
NUMBER = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def is_missing(text: Column) -> Column:
    """Whether a text stands for no value."""
    return text.isNull() | F.lower(F.trim(text)).isin(*MISSING_WORDS)


def is_marked(text: Column, marks: Sequence[str]) -> Column:
    """Whether a text is one of the marks that a description has for no value."""
    found = [text.startswith(mark[:-1]) if mark.endswith("*") else F.trim(text) == mark for mark in marks]
    return reduce(Column.__or__, found, F.lit(False))


def number(text: Column) -> Column:
    """Text -> double; null where it is missing or no finite number (`26.0` and ` 7 ` are numbers)."""
    # Java takes `8d`, `0x1p3` and a 7 with a zero byte behind it for numbers, too: they are damage.
    value = F.when(text.rlike(NUMBER), text.try_cast("double"))
    return F.when(F.abs(value) < math.inf, value)


def identifier(text: Column) -> Column:
    """Text -> bigint; null unless it is a whole number of at least 0."""
    value = number(text)
    # Not by `floor`, which fails for numbers that are too large for a bigint.
    whole = F.when((value % 1 == 0) & value.between(0, MAX_IDENTIFIER), value.cast("bigint"))
    parsed = F.when(text.rlike(WHOLE), text.try_cast("bigint")).otherwise(whole)
    return F.when(parsed.between(0, MAX_IDENTIFIER), parsed)


def calendar_year(text: Column) -> Column:
    """`Oct 20, 1999`, `Oct 1999` or `1999` -> 1999.8 (years, as a double)."""
    # By regular expression: parsing by a format throws (and catches) an exception for each text in another format.
    month, day, year = (
        F.regexp_extract(text, r"^\s*(?:([A-Z][a-z]{2}) (?:(\d{1,2}), )?)?(\d{4})\s*$", i) for i in (1, 2, 3)
    )
    number_of = literal_map({name: number for number, name in enumerate(MONTHS, 1)})
    month_number = F.when(month == "", 1).otherwise(number_of[month])
    whole = F.concat_ws("-", year, month_number.cast("string"), F.when(day == "", "1").otherwise(day))
    return _years(F.when(month_number.isNotNull(), whole.try_cast("date")))


def timestamp_year(text: Column) -> Column:
    """`2004-11-05T00:00:00+00:00` -> 2004.84 (years, as a double)."""
    return _years(F.when(~is_missing(text), text.try_cast("timestamp")))


def _years(moment: Column) -> Column:
    """A date or timestamp as a double: the year and the part of it that has passed."""
    return F.year(moment) + (F.dayofyear(moment) - 1) / F.lit(366.0)


def minutes(text: Column) -> Column:
    """`1 hr 55 min`, `24 min per ep`, `30 sec` -> minutes, as a double; null for `0 min`: nothing takes no time."""

    def part(unit: str) -> Column:
        return _digits(text, rf"(\d+)\s*{unit}")

    parts = [part("hr"), part("min"), part("sec")]
    total = sum((F.coalesce(p, F.lit(0.0)) * w for p, w in zip(parts, (60.0, 1.0, 1 / 60), strict=True)), F.lit(0.0))
    return F.when(total > 0, total)


def category(text: Column) -> Column:
    """Text -> trimmed text."""
    return F.when(~is_missing(text), F.trim(text))


def text(given: Column) -> Column:
    """Text -> trimmed text; empty where it is missing."""
    return F.coalesce(category(given), F.lit(""))


def without_year(title: Column) -> Column:
    """`Toy Story (1995)` -> `Toy Story`."""
    return F.trim(F.regexp_replace(title, r"\s*\(\d{4}\)(\s*\([A-Z]+\))?\s*$", ""))  # MovieLens has `(1995) (V)`, too


def year(text: Column) -> Column:
    """`spring 1998` or `Toy Story (1995)` -> 1998 or 1995, as a double: the last number of four digits."""
    return _digits(text, r".*(?<!\d)(\d{4})(?!\d)")


def _digits(text: Column, pattern: str) -> Column:
    """The digits that the first group of a pattern finds, as a double; null without any."""
    return F.nullif(F.regexp_extract(text, pattern, 1), F.lit("")).try_cast("double")


def season(text: Column) -> Column:
    """`spring 1998` -> `spring`."""
    return category(F.regexp_extract(text, r"([A-Za-z]+)\s+\d{4}", 1))


def text_identifier(text: Column) -> Column:
    """Text -> the same text; null if it is empty or holds what stands for bytes that are not in the file's encoding.

    No word means that it is missing: somebody is called `null`.
    """
    return F.when((F.trim(text) != "") & ~text.contains("\ufffd"), text)


def value_list(text: Column, separator: str = ",") -> Column:
    """`Action, Sci-Fi` or `["Action", "Sci-Fi"]` -> a sorted array of its distinct values."""
    split = F.split(text, "[\\s]+" if separator == " " else re.escape(separator))
    in_json = F.when(text.startswith("["), F.from_json(text, "array<string>"))
    parts = F.transform(F.coalesce(in_json, split), lambda part: F.trim(part))
    return F.when(is_missing(text), F.array().cast("array<string>")).otherwise(
        F.array_sort(F.array_distinct(F.filter(parts, lambda part: part != "")))
    )


def flag_list(flags: Mapping[str, Column]) -> Column:
    """Texts of 0 and 1 by the name of a value -> a sorted array of the names whose text is 1."""
    named = (F.when(number(flag) == 1.0, F.lit(name)) for name, flag in flags.items())
    return F.array_sort(F.array_compact(F.array(*named)))


def literal_map(numbers: Mapping[str, int]) -> Column:
    """A literal map column from strings to integers; an unknown key gives null."""
    pairs = [F.lit(part) for pair in numbers.items() for part in pair]
    return F.create_map(*pairs) if pairs else F.create_map().cast("map<string,int>")
