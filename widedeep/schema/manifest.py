"""What the stages agree on: columns, dtypes and the manifest of a prepared directory.

A rating row is 12 bytes, `user:int32, item:int32, rating:float32`. `user` and `item` are row numbers
in the feature tables `users/` and `items/`, which map them back to `user_id` and `item_id`.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from widedeep.common.errors import InputError
from widedeep.schema.dataset import Dataset
from widedeep.schema.rating_scale import RatingScale
from widedeep.schema.records import Record, SealedRecord

MANIFEST = "manifest.json"
# What people read of a prepared directory or a run: a data card or a model card. No program reads it.
CARD_FILE = "README.md"
# Where the manifest stands beside Parquet files: readers of a directory pass over names with an underscore.
HIDDEN_MANIFEST = "_manifest.json"

SPLITS = ("train", "valid", "test")

# Every vocabulary of a category begins with these two, unknown and other: category ids 0 and 1.
RESERVED_VALUES = ("", "<other>")

# What a column of a feature table is; see Column.
ColumnKind = Literal["key", "statistic", "numeric", "indicator", "category", "multi_hot"]
# Which ratings a column was computed from: none, those of the training split, or all, held-out ones included.
RatingsInIt = Literal["none", "train", "all"]


def _inside(path: str) -> str:
    """Refuse a path that may lead out of its directory, or that a shell or Spark may read as something else."""
    if not re.fullmatch(r"[\w=-][\w.=-]*(/[\w=-][\w.=-]*)*", path, re.ASCII):
        raise ValueError(f"{path!r} is not a plain path below the directory of the manifest")
    return path


class DataFile(Record):
    """A Parquet file of a directory with a manifest."""

    path: Annotated[str, AfterValidator(_inside)]  # relative to the directory, "/" between its parts
    rows: int
    bytes: int
    sha256: str  # of the bytes: tells damage; a JVM orders parts of a footer by chance, so it differs between runs
    content: str  # of the rows, in hex: the same for the same rows


class Column(Record):
    """A column of a feature table.

    kind: `key` (identifiers, titles), `statistic` (raw counts and means of the training split),
    `numeric` (imputed and scaled float32), `indicator` (1 where the number was missing, else 0),
    `category` (int32 category id), `multi_hot` (list of int32 category ids, ascending).
    """

    name: str
    kind: ColumnKind
    source: str | None = None  # column of the file it comes from; None: computed by us
    ratings_in_it: RatingsInIt = "none"


class Numeric(Record):
    """Fitted values of a numeric column: stored = ((value or fill) - center) / scale."""

    impute: str
    fill: float
    scaler: str
    center: float
    scale: float
    missing: int
    unparsed: int


class Table(Record):
    """A feature table and all that was fitted for it."""

    files: tuple[DataFile, ...]
    rows: int
    columns: tuple[Column, ...]
    numeric: dict[str, Numeric]
    vocabularies: dict[str, tuple[str, ...]]  # column -> values; a value's index is its category id

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Return the names of the columns of one kind."""
        return tuple(column.name for column in self.columns if column.kind == kind)

    def file_columns(self, filled: bool) -> tuple[str, ...]:
        """Return the features that come from a file: those with any value, or the others, which are empty."""
        features = [c for c in self.columns if c.source is not None and c.kind not in ("key", "indicator")]
        return tuple(c.name for c in features if self.has_values(c.name) == filled)

    def has_values(self, name: str) -> bool:
        """Return whether there is a feature of this name and any row has a value of it."""
        if name in self.numeric:
            return self.numeric[name].missing < self.rows
        if name in self.vocabularies:
            return any(value not in RESERVED_VALUES for value in self.vocabularies[name])
        return any(column.name == name for column in self.columns)


class Ratings(Record):
    """What of the ratings was read, refused and kept, and where it is."""

    read: int
    quarantined: dict[str, int]  # reason -> rows
    not_sampled: int
    train_mean: float
    shards: dict[str, tuple[DataFile, ...]]  # split -> files, each of one row group
    by_user: tuple[DataFile, ...]  # the ratings of train once more, in files of whole users
    scale: RatingScale

    def rows(self, split: str) -> int:
        """Number of ratings in a split."""
        return sum(shard.rows for shard in self.shards[split])

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of the ratings of all splits, as three numbers of 4 bytes each."""
        return 12 * sum(map(self.rows, self.shards))


class AuditedFeature(Record):
    """How well a feature alone predicts ratings, fitted on train; see docs/leak-audit.md."""

    table: Literal["items", "users"]
    name: str
    kind: str  # as that of a Column
    source: str | None  # column of the file it comes from; None: computed by us
    used: bool  # whether it is in the feature table
    ratings_in_it: RatingsInIt
    train_rmse: float | None  # None where there is nothing to measure
    train_r2: float | None
    held_out_rmse: float | None
    held_out_r2: float | None
    slope: float | None  # of held-out deviations: at most 1 for an honest feature
    slope_error: float | None  # its standard error
    leaks: bool  # slope above what is honest by more than chance allows


class Audit(Record):
    """What each feature alone says of held-out ratings, and whether it was computed from them."""

    split: Literal["valid", "test"]  # whose ratings are held out: the features are measured on them
    items: tuple[AuditedFeature, ...]  # the best first
    users: tuple[AuditedFeature, ...]


class Manifest(SealedRecord):
    """`manifest.json` of a prepared directory: written last, so a directory with one is whole."""

    kind: ClassVar[str] = "prepared ratings"
    written_format: ClassVar[int] = 5
    written_by: ClassVar[str] = "jobs/prepare.py"

    config: dict[str, Any]
    dataset: Dataset  # without optional files that were not there
    inputs: dict[str, dict[str, Any]]
    ratings: Ratings
    users: Table
    items: Table
    rank_regression: dict[str, float]  # rank = slope * popularity + intercept
    quarantined: dict[str, dict[str, int]]  # file -> reason -> rows, of the users and the items
    replaced: dict[str, int] = Field(default_factory=dict)  # file -> rows with U+FFFD for bytes of another encoding
    leaks: dict[str, dict[str, Any]]  # column of a file -> why it leaks and whether it was used
    audit: Audit | None = None  # None: not asked for, or no rating is held out
    digest: str  # sha256 over the content of all files but those of by_user, which follow: names this very data

    @property
    def split(self) -> dict[str, Any]:
        """The settings that decide whether a rating is held out."""
        split = self.config.get("split", {})
        names = ("valid_from", "test_from") if split.get("kind") == "date" else ("train", "valid")
        return {"seed": self.config.get("seed")} | {name: split.get(name) for name in ("kind", *names)}

    @property
    def used_leaks(self) -> list[str]:
        """The leaky columns that were used all the same."""
        return [column for column, leak in self.leaks.items() if leak["used"]]


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest of a prepared directory of this machine; raises as `parse_manifest`."""
    file = Path(directory) / MANIFEST
    return parse_manifest(file.read_text(encoding="utf-8") if file.is_file() else None, str(directory))


def parse_manifest(text: str | None, directory: str) -> Manifest:
    """Check the manifest of a prepared directory.

    Args:
        text: content of manifest.json; None if there is none.
        directory: where it was looked for.

    Raises:
        InputError: there is none (the directory was never committed), it is not readable as one, or it was changed.

    """
    if text is None:
        raise InputError(
            f"{directory} holds no {MANIFEST}: it was not prepared, or not to the end; "
            f"run: spark-submit jobs/prepare.py --output {directory}"
        )
    file = f"{directory}/{MANIFEST}"
    manifest = Manifest.unseal(text, file)
    actual = digest_of(*manifest.ratings.shards.values(), manifest.items.files, manifest.users.files)
    if manifest.digest != actual:
        raise InputError(
            f"{file}: digest is {manifest.digest}, that of the files it lists {actual}; run jobs/prepare.py again"
        )
    return manifest


def digest_of(*groups: Iterable[DataFile]) -> str:
    """Return one digest that stands for the content of all files."""
    lines = sorted(f"{file.content} {file.rows} {file.path}" for group in groups for file in group)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
