"""Which rows of the input are good, and why the others go to quarantine; `ingest.py` finds the reason of each row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.common.errors import InputError
from widedeep.schema.dataset import Dataset
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark import shards
from widedeep.spark.preparation import ingest
from widedeep.spark.preparation.ingest import FILE, LINES, REASON, REPLACED, ROW
from widedeep.spark.preparation.workspace import Workspace

# Pairs of (user, item) that a task counts in memory when it looks for duplicates.
PAIRS_PER_TASK = 1 << 20

# The reason of ratings of a pair that has one already.
DUPLICATE_REASON = "duplicate_pair"

# Computes a frame once and keeps it under a name: on disk for this run, or as a step that a later run resumes from.
Keep = Callable[[str, Callable[[], DataFrame]], DataFrame]


@dataclass(frozen=True)
class CheckedFile:
    """An input file: its rows, each with the reason to refuse it, and how many there are."""

    path: str
    rows: DataFrame  # `_reason` is null for good rows; `_row` is the text of bad ones
    read: int
    bad: dict[str, int]  # reason -> rows
    replaced: int  # rows with U+FFFD in the place of bytes that are of another encoding

    @property
    def good(self) -> DataFrame:
        """The rows that are not refused."""
        return self.rows.where(F.col(REASON).isNull())

    @property
    def refused(self) -> DataFrame:
        """The rows that have a reason to be refused."""
        return self.rows.where(F.col(REASON).isNotNull())

    @property
    def bad_count(self) -> int:
        """The number of bad rows."""
        return sum(self.bad.values())

    @property
    def good_count(self) -> int:
        """The number of rows that are not bad."""
        return self.read - self.bad_count


@dataclass(frozen=True)
class CheckedRatings(CheckedFile):
    """The ratings file. Duplicates are counted among the bad rows; one of a pair is kept."""

    unique: DataFrame  # the good rows, one for each (user, item)
    copies: DataFrame | None  # all rows of the pairs that occur more than once, numbered by `copy`; None without any


def check_file(path: str, rows: DataFrame) -> CheckedFile:
    """Count the rows of a file by `_reason`; a row that has swallowed others counts as many."""
    lines = F.sum(LINES) if LINES in rows.columns else F.count("*")
    replaced = F.count_if(F.col(REPLACED)) if REPLACED in rows.columns else F.lit(0)
    found = rows.groupBy(REASON).agg(lines.alias("lines"), replaced.alias("replaced")).collect()
    bad = {row[REASON]: row["lines"] for row in sorted(found, key=lambda row: str(row[REASON])) if row[REASON]}
    return CheckedFile(path, rows, sum(row["lines"] for row in found), bad, sum(row["replaced"] for row in found))


def check_ratings(path: str, rows: DataFrame, dataset: Dataset, scale: RatingScale, keep: Keep) -> CheckedRatings:
    """Count the ratings by `_reason`, and choose one of each pair.

    Args:
        path: of the file.
        rows: from `ingest.typed_ratings`; asked several times.
        dataset: says which rating of a pair counts.
        scale: of the ratings.
        keep: keeps what is asked several times.

    Raises:
        InputError: a pair occurs more than once, and the data set allows none.

    """
    kept = dataset.ratings.duplicates
    checked = check_file(path, rows)
    good, bad = checked.good, dict(checked.bad)
    tasks = max(1, -(-checked.read // PAIRS_PER_TASK))
    repeated = keep("repeated", lambda: ingest.repeated_pairs(good, tasks))
    if repeated.isEmpty():
        return CheckedRatings(path, rows, checked.read, bad, 0, good, None)
    copies = keep("copies", lambda: ingest.copies(good, repeated, kept, scale))
    if duplicates := copies.where("copy > 1").count():
        bad[DUPLICATE_REASON] = duplicates
        if kept == "refuse":
            raise InputError(_twice(path, copies, duplicates))
    first = copies.where("copy = 1").drop("copy")
    unique = ingest.without_pairs(good, repeated).unionByName(first)
    return CheckedRatings(path, rows, checked.read, bad, 0, unique, copies)


def _twice(path: str, copies: DataFrame, duplicates: int) -> str:
    """The message that refuses a file for its duplicates; it shows one pair."""
    row = copies.where("copy = 2").orderBy("user_id", "item_id").first()
    assert row is not None
    return (
        f"input file {path}: {duplicates} rating(s) of a pair that has one already, such as that of user_id "
        f"{row['user_id']} and item_id {row['item_id']}: remove them, or let the description say which counts by "
        "ratings.duplicates"
    )


def require_good_rows(file: CheckedFile) -> None:
    """Refuse a file without a single good row; InputError shows one of its rows."""
    if file.good_count:
        return
    if not file.read:
        raise InputError(f"input file {file.path} has no rows: download it again, or make it again")
    example = file.refused.first()
    shown = f"; for example {example[REASON]}: {example[ROW]}" if example else ""
    raise InputError(
        f"input file {file.path} has no good row ({file.read} read): {file.bad}{shown}; give the --dataset "
        "that describes this file, or mend its description"
    )


def harmless_reasons(dataset: Dataset) -> tuple[str, ...]:
    """The reasons of refused ratings that are not damaged, however many there are.

    They are entries without a score; and copies, where each row is an event or the description asks for their mean.
    """
    repeats = dataset.ratings.scale.implicit or dataset.ratings.duplicates == "mean"
    return (ingest.UNSCORED_REASON, DUPLICATE_REASON) if repeats else (ingest.UNSCORED_REASON,)


def require_few_bad_rows(file: CheckedFile, max_bad_share: float, harmless: Sequence[str] = ()) -> None:
    """Refuse a file with too many bad rows, those of the `harmless` reasons left out; InputError shows three."""
    require_good_rows(file)
    passed_over = sum(file.bad.get(reason, 0) for reason in harmless)
    read, bad = file.read - passed_over, file.bad_count - passed_over
    if bad <= max_bad_share * read:
        return
    damaged = file.rows.where(F.col(REASON).isNotNull() & ~F.col(REASON).isin(*harmless))
    examples = damaged.select(REASON, ROW).limit(3).collect()
    raise InputError(
        f"input file {file.path}: {bad} of {read} rows are bad ({bad / read:.2%}; max_bad_share allows "
        f"{max_bad_share:.2%}): {file.bad}; mend them, the description of the data set, or raise max_bad_share"
        + "".join(f"\n  {row[REASON]}: {row[ROW]}" for row in examples)
    )


def write_quarantine(workspace: Workspace, entities: Sequence[CheckedFile], ratings: CheckedRatings) -> None:
    """Write the refused rows of all files, each with its reason and its text, as `quarantine/`."""
    rows = quarantine_rows(entities, ratings)
    shards.write_parquet(workspace.files, rows.coalesce(1), f"{workspace.staging}/quarantine")


def quarantine_rows(entities: Sequence[CheckedFile], ratings: CheckedRatings) -> DataFrame:
    """file, reason, row: the refused rows of all files, each with its reason and its text."""
    columns = [F.col(name).alias(name.removeprefix("_")) for name in (FILE, REASON, ROW)]
    frame, *others = (file.refused.select(*columns) for file in (*entities, ratings))
    if ratings.copies is not None:
        text = F.to_csv(F.struct("user_id", "item_id", "rating")).alias("row")
        refused = ratings.copies.where("copy > 1")
        others.append(refused.select(columns[0], F.lit(DUPLICATE_REASON).alias("reason"), text))
    for other in others:
        frame = frame.unionByName(other)
    return frame
