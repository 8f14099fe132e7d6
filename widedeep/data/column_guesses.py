"""What a column of texts may be, by its name and its values."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import Any

from widedeep.data.raw_samples import is_number
from widedeep.schema.dataset import MISSING_WORDS, RESERVED

MISSING = {*MISSING_WORDS, r"\n"}
USER_WORDS = {"user", "users", "reviewer", "customer", "member", "account", "profile", "reader", "listener", "visitor"}
ITEM_WORDS = {
    *("item", "items", "movie", "movies", "film", "show", "anime", "manga", "book", "books", "isbn", "product"),
    *("products", "asin", "song", "songs", "track", "artist", "business", "game", "games", "recipe", "article"),
}
RATING_WORDS = {"rating", "ratings", "score", "stars", "star", "overall", "rate", "grade"}
TIME_WORDS = {"time", "timestamp", "date", "datetime", "unixreviewtime", "ts", "created", "at"}
NAME_WORDS = {"title", "name", "username", "nickname", "login"}
# Numbers that a site computes from ratings.
LEAK_WORDS = {*RATING_WORDS, "mean", "average", "avg", "rank", "scored", "vote", "votes", "review", "reviews"}
SEPARATORS = ("|", ";", ",")
SHORT, MOST_CATEGORIES = 40, 1000


def words_of(name: str) -> set[str]:
    """The words of a name such as `movieId`, `Mal ID` or `user_id`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return {word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word}


def feature_name(name: str, taken: Collection[str]) -> str:
    """A name for a feature that is neither reserved nor taken."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", spaced).strip("_")
    plain = plain if plain[:1].isalpha() else f"column_{plain}".rstrip("_")
    plain = f"dump_{plain}" if plain in RESERVED else plain
    number = 1
    while (unique := plain if number == 1 else f"{plain}_{number}") in taken:
        number += 1
    return unique


class Column:
    """A column of a sample: its name and its texts."""

    def __init__(self, name: str, texts: Sequence[str | None], kind: str = ""):
        self.name, self.kind, self.words = name, kind, words_of(name)
        self.rows = len(texts)
        self.values = [text for text in texts if isinstance(text, str) and text.strip().lower() not in MISSING]

    def share(self, matches: Iterable[object]) -> float:
        """The share of the values that match; 0 without values."""
        return sum(map(bool, matches)) / max(len(self.values), 1)

    def share_like(self, pattern: str) -> float:
        """The share of the values that a regular expression is found in."""
        return self.share(map(re.compile(pattern).search, self.values))

    @cached_property
    def distinct(self) -> set[str]:
        """The different values."""
        return set(self.values)

    @cached_property
    def unique(self) -> float:
        """Different values by values."""
        return len(self.distinct) / max(len(self.values), 1)

    @cached_property
    def numbers(self) -> list[float]:
        """The values that are numbers."""
        return [float(text) for text in self.values if is_number(text)]

    @property
    def numeric(self) -> bool:
        """Whether nearly all values are numbers."""
        return bool(self.values) and len(self.numbers) >= 0.85 * len(self.values)

    @property
    def whole(self) -> bool:
        """Whether nearly all values are whole numbers from 0, and none has a zero in front, which would be lost."""
        plain = self.share(number >= 0 and number == int(number) for number in self.numbers)
        return plain >= 0.85 and not any(
            text.startswith("0") and text.isdecimal() and text != "0" for text in self.distinct
        )

    @property
    def like_id(self) -> bool:
        """Whether the values may be identifiers: nearly always there, short, and no fractions."""
        short = self.share(len(text) <= SHORT and not text.startswith(("[", "{")) for text in self.values)
        return len(self.values) > 0.8 * self.rows and short > 0.99 and (self.whole or not self.numeric)

    @property
    def like_time(self) -> bool:
        """Whether the values are seconds or milliseconds since 1970, or dates as ISO 8601 has them."""
        if self.numeric:
            low, high = min(self.numbers), max(self.numbers)
            return 1e8 < low <= high < 5e9 or 1e11 < low <= high < 5e12
        return self.share_like(r"^\d{4}-\d\d-\d\d") > 0.9

    @property
    def separator(self) -> str | None:
        """What separates the values of a list, None if the values are no lists; "," stands for a list of JSON, too."""
        if self.kind in ("token_seq", "float_seq"):
            return " "
        if self.share(map(_json_list, self.values)) > 0.9:
            return ","
        return next((mark for mark in SEPARATORS if self._separates(mark)), None)

    def _separates(self, mark: str) -> bool:
        """Whether a mark is in some of the values, and what it separates is short and comes again."""
        parts = [part.strip() for text in self.values for part in text.split(mark)]
        if self.share(mark in text for text in self.values) < 0.03 or max(map(len, parts)) > SHORT:
            return False
        named = self.words & {"genre", "genres", "tags", "categories", "keywords"}
        return bool(named) or (len(set(parts)) <= 0.5 * len(parts) and len(set(parts)) <= len(self.distinct))

    @property
    def is_flag(self) -> bool:
        """Whether the values are 0 and 1 alone."""
        return bool(self.values) and self.distinct <= {"0", "1"}


def _json_list(text: str) -> bool:
    try:
        return text.startswith("[") and isinstance(json.loads(text), list)
    except json.JSONDecodeError:
        return False


def guess_features(columns: Sequence[Column], most_categories: int = MOST_CATEGORIES) -> dict[str, Any]:
    """The features of items or users, by kind as a description has them, and `left_out`: columns without a role."""
    found: dict[str, Any] = {"numeric": {}, "category": {}, "multi_hot": {}, "text": {}, "leaks": [], "left_out": []}
    flags = flag_columns(columns)
    taken: set[str] = set()
    if flags:
        found["multi_hot"]["flags"] = {"flags": [column.name for column in flags]}
        taken.add("flags")
    for column in columns:
        if column in flags:
            continue
        guesses = _guess(column, most_categories)
        for kind, suffix, source in guesses:
            name = feature_name(column.name + suffix, taken)
            taken.add(name)
            found[kind][name] = source
        if not guesses:
            found["left_out"].append(column.name)
        elif guesses[0][0] == "numeric" and column.words & LEAK_WORDS:
            found["leaks"].append(column.name)
    return found


def flag_columns(columns: Sequence[Column]) -> list[Column]:
    """The columns of 0 and 1, if there are at least three."""
    flags = [column for column in columns if column.is_flag]
    return flags if len(flags) >= 3 else []


def _guess(column: Column, most_categories: int) -> list[tuple[str, str, Any]]:
    """(kind, suffix of the name, source) of the features that a column gives; none if it has no role."""
    name = column.name
    if not column.values:
        return []
    if column.kind not in ("token", "token_seq") and column.numeric:
        return [("numeric", "", name)]
    parsers = [(suffix, {"column": name, "parse": parse}) for suffix, parse in _number_parsers(column)]
    if parsers:
        seasons = [("category", "_season", {"column": name, "parse": "season"})]
        return [("numeric", *parser) for parser in parsers] + (seasons if parsers[0][0] == "_year" else [])
    if column.share_like("^https?://") > 0.9:
        return [("text", "", name)]
    if separator := column.separator:
        return [("multi_hot", "", name if separator == "," else {"column": name, "separator": separator})]
    few = len(column.distinct) <= 20 or (len(column.distinct) <= most_categories and column.unique <= 0.5)
    if few and max(map(len, column.distinct)) <= SHORT:
        return [("category", "", name)]
    if column.words & NAME_WORDS:
        return [("text", "", name)]
    return []


def _number_parsers(column: Column) -> list[tuple[str, str]]:
    """(suffix, parser) of the numbers in texts."""
    day = r"(?:[A-Z][a-z]{2} (?:\d{1,2}, )?)?\d{4}"
    if column.share_like(rf"^{day} to (?:{day}|\?)$") > 0.3 and column.share_like(rf"^{day}") > 0.8:
        return [("_start", "range_start"), ("_end", "range_end")]
    for pattern, suffix, parser in (
        (rf"^{day}$", "", "date"),
        (r"^\d{4}-\d\d-\d\d", "", "timestamp"),
        (r"\d\s*(?:hr|min|sec)\b", "", "duration"),
        (r"^[A-Za-z]+ \d{4}$", "_year", "year"),
        (r"^\d{1,2}-[A-Za-z]{3}-\d{4}$", "", "year"),
    ):
        if column.share_like(pattern) > 0.8:
            return [(suffix, parser)]
    return []
