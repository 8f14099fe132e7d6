"""The description of a data set: its files, which column plays which role, and the scale of its ratings.

The presets are conf/data/NAME.toml; docs/datasets.md tells how to write one.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from widedeep.common.errors import InputError
from widedeep.schema.rating_scale import RatingScale
from widedeep.schema.records import Record

# What a text can be read as.
NumberParser = Literal["number", "date", "range_start", "range_end", "timestamp", "year", "duration"]
CategoryParser = Literal["text", "season"]
TextParser = Literal["text", "without_year"]
Duplicates = Literal["first", "last", "mean", "refuse"]

# Texts that stand for no value, in small letters.
MISSING_WORDS = ("", "unknown", "not available", "nan", "none", "null")

# What a header of typed columns, such as `user_id:token`, may say after the name.
COLUMN_TYPES = ("token", "token_seq", "float", "float_seq")

# Columns of the feature tables that prepare computes or copies itself; features cannot have their names.
KEYS = ("user", "user_id", "username", "item", "item_id", "title")
RESERVED = {
    *KEYS,
    "train_ratings",
    "train_mean",
    "damped_mean",
    "mean_score",
    "score",
    "popularity",
    "rank",
    "rank_missing",
}


def split_typed_name(name: str) -> tuple[str, str]:
    """Return the name of a column and its type, which is empty if the header says none."""
    stem, _, kind = name.rpartition(":")
    return (stem, kind) if stem and kind in COLUMN_TYPES else (name, "")


def _as_source(value: Any) -> Any:
    """Return a bare name of a column as the table that it is short for."""
    return {"column": value} if isinstance(value, str) else value


class NumberSource(Record):
    """A number, and the column that it is read from."""

    column: str
    parse: NumberParser = "number"


class CategorySource(Record):
    """A category, and the column that it is read from."""

    column: str
    parse: CategoryParser = "text"


class TextSource(Record):
    """A text for people, and the column that it is read from."""

    column: str
    parse: TextParser = "text"


class ListSource(Record):
    """Several values: in one column with a separator or as a JSON list, or a column of 0 and 1 for each value."""

    column: str | None = None
    separator: str = ","
    flags: tuple[str, ...] = ()  # columns named like the values

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.column is None) == (not self.flags):
            raise ValueError("give either a column or flags")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is read from."""
        return self.flags if self.column is None else (self.column,)


NumberField = Annotated[NumberSource, BeforeValidator(_as_source)]
CategoryField = Annotated[CategorySource, BeforeValidator(_as_source)]
TextField = Annotated[TextSource, BeforeValidator(_as_source)]
ListField = Annotated[ListSource, BeforeValidator(_as_source)]
FeatureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class RowFile(Record):
    """A file of rows: where it is, and how it is read."""

    # In the input directory: a file, a directory of parts, or a pattern as `part-*`. NAME.gz is found as NAME, too.
    path: str = Field(min_length=1)
    format: Literal["csv", "parquet", "jsonl"] = "csv"
    delimiter: str = Field(default=",", min_length=1)  # of CSV; it may have several characters
    quote: str = Field(default='"', max_length=1)  # of CSV; empty: nothing is quoted
    header: tuple[str, ...] = ()  # names of the columns of CSV; empty: the first line has them
    encoding: Literal["utf-8", "iso-8859-1"] = "utf-8"  # of CSV and JSON; iso-8859-1 is Latin-1
    multi_line: bool = False  # whether quoted texts of CSV may contain newlines
    # Further texts that stand for no value, beside empty ones and words such as `unknown`; a final * for any ending.
    missing: tuple[str, ...] = ()


class RatingsFile(RowFile):
    """The ratings: a row for each user and item."""

    user: str
    item: str
    rating: str | None = None  # None: every row is a 1, that is, the user has had to do with the item
    time: str | None = None  # seconds or ms since 1970, or a date and time as in ISO 8601
    lowest: float = 1.0
    highest: float = 5.0
    step: float = 1.0
    liked: float = 4.0  # lowest rating that makes an item relevant to the user
    unscored: tuple[float, ...] = ()  # what stands for "in the list, but without a score"
    duplicates: Duplicates = "last"  # which rating of a pair counts, by time if there is one, else by place

    @model_validator(mode="after")
    def _valid_scale(self) -> Self:
        _ = self.scale
        return self

    @property
    def scale(self) -> RatingScale:
        """The scale of the ratings."""
        if self.rating is None:
            return RatingScale(lowest=0.0, highest=1.0, step=1.0, liked=1.0, implicit=True)
        return RatingScale(lowest=self.lowest, highest=self.highest, step=self.step, liked=self.liked)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        named = (self.user, self.item, self.rating, self.time)
        return tuple(dict.fromkeys(name for name in named if name is not None))


class EntityFile(RowFile):
    """The items or the users: a row for each, and the features that are read from its columns."""

    id: str
    name: TextField | None = None  # the title, or the name of the user
    optional: bool = False  # whether prepare goes on without the file if it is not there
    numeric: dict[FeatureName, NumberField] = Field(default_factory=dict)
    category: dict[FeatureName, CategoryField] = Field(default_factory=dict)
    multi_hot: dict[FeatureName, ListField] = Field(default_factory=dict)
    # For people: kept as they are; those named title_… are searched, too.
    text: dict[FeatureName, str] = Field(default_factory=dict)
    leaks: tuple[str, ...] = ()  # columns that are computed from all ratings, those of the test split included
    # Address of the page of each, with {id} for its identifier.
    url: Annotated[str, Field(pattern=r"^https?://[^{}\s]+\{id\}[^{}\s]*$")] | None = None

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [name for kind in (self.numeric, self.category, self.multi_hot, self.text) for name in kind]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice} name more than one feature")
        taken = sorted(RESERVED & set(names))
        if taken:
            raise ValueError(f"{taken} are names of columns that prepare computes: name the features otherwise")
        unread = sorted(set(self.leaks) - {source.column for source in self.numeric.values()})
        if unread:
            raise ValueError(f"leaks: {unread} are columns of no numeric feature: leave them out")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, the identifier first."""
        names = [self.id, *([] if self.name is None else [self.name.column])]
        names += [source.column for kind in (self.numeric, self.category) for source in kind.values()]
        names += [name for source in self.multi_hot.values() for name in source.columns]
        return tuple(dict.fromkeys([*names, *self.text.values()]))


MAX_IDENTIFIER = 2**53 - 1  # of identifiers that are numbers: up to it a double holds every whole number


class Identifiers(Record):
    """How users and items are named in the data and in the lists."""

    type: Literal["number", "text"] = "text"  # number: whole numbers, also written as 26.0
    item: FeatureName = "item_id"  # name of the column of items in the lists

    def parse(self, text: str, name: str) -> int | str:
        """Return an identifier that somebody has given as text.

        Args:
            text: what was given.
            name: of what it is one, for the message.

        Raises:
            InputError: it is no whole number up to MAX_IDENTIFIER, and identifiers are.

        """
        if self.type == "text":
            return text
        digits = text.strip()
        if not (digits.isdecimal() and len(digits) <= len(str(MAX_IDENTIFIER)) and int(digits) <= MAX_IDENTIFIER):
            raise InputError(f"{name} {text[:40]!r} is no whole number, as identifiers of this data set are")
        return int(digits)


class Dataset(Record):
    """A data set of ratings."""

    name: str
    ids: Identifiers = Identifiers()
    ratings: RatingsFile
    items: EntityFile | None = None  # None: items are known by the ratings alone
    users: EntityFile | None = None  # None: users are known by the ratings alone

    @property
    def files(self) -> dict[str, RatingsFile | EntityFile]:
        """The files that are described, by what they hold: `ratings`, `items`, `users`."""
        files = {"ratings": self.ratings, "items": self.items, "users": self.users}
        return {kind: file for kind, file in files.items() if file is not None}

    @property
    def leaks(self) -> dict[str, str]:
        """Leaky column -> the file that has it, `items` or `users`."""
        files = {"items": self.items, "users": self.users}
        return {column: kind for kind, file in files.items() if file is not None for column in file.leaks}

    def scale(self, unscored: Literal["drop", "zero"]) -> RatingScale:
        """Return the scale of the prepared ratings.

        Args:
            unscored: drop: entries without a score are refused; zero: they are ratings of the first of `unscored`.

        """
        scale = self.ratings.scale
        marks = self.ratings.unscored
        return scale.model_copy(update={"lowest": marks[0]}) if unscored == "zero" and marks else scale
