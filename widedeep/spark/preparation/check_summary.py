"""What check-data prints: the files, the roles of their columns, the scale, and the rows that prepare would refuse."""

from typing import NamedTuple

from widedeep.common.console import print_table, say
from widedeep.schema.dataset import Dataset
from widedeep.spark.preparation.column_roles import RoleReport, ScaleSeen

LONGEST_TEXT, LONGEST_ROW = 40, 100  # characters that a table shows of a value and of a row


class Refused(NamedTuple):
    """A reason to refuse rows, how many have it, and one of them."""

    reason: str
    rows: int
    example: str


class FileReport(NamedTuple):
    """What was found in a file."""

    kind: str  # ratings, items, users
    path: str
    format: str
    rows: int
    whole: bool  # whether the sample is the whole file
    roles: tuple[RoleReport, ...]
    refused: tuple[Refused, ...]


class DataReport(NamedTuple):
    """What was found in the files of a data set."""

    dataset: Dataset
    sampled: int  # rows of each file that were read at most
    files: tuple[FileReport, ...]
    scale: ScaleSeen | None  # None: there are no ratings but ones
    missing: tuple[str, ...]  # paths of optional files that are not there
    problems: tuple[str, ...]  # why prepare would refuse the data set


def show_report(report: DataReport) -> None:
    """Print all that was found."""
    rows = [(file.kind, file.path, file.format, _rows(file)) for file in report.files]
    rows += [("optional", path, "", "not there") for path in report.missing]
    print_table(
        f"files of {report.dataset.name}", ("what", "file", "format", "rows read"), rows, ("what", "file", "format")
    )
    leaks = report.dataset.leaks
    for file in report.files:
        _show_roles(file, {column for column, kind in leaks.items() if kind == file.kind})
    _show_scale(report)
    _show_refused(report)
    say(f"left out because they contain test ratings: {', '.join(leaks) or 'none'}")


def _rows(file: FileReport) -> str:
    return f"{file.rows:,} ({'all' if file.whole else 'the first'})"


def _show_roles(file: FileReport, leaks: set[str]) -> None:
    columns = ("role", "column", "type", "missing", "not understood", "example")
    rows = [
        (
            role.role + (" (left out)" if role.column in leaks else ""),
            role.column,
            role.type,
            _share(role.missing),
            _share(role.not_understood) + ("" if role.odd_example is None else f": {_short(role.odd_example)}"),
            "" if role.example is None else _short(role.example),
        )
        for role in file.roles
    ]
    print_table(f"columns of the {file.kind}", columns, rows, text=[name for name in columns if name != "missing"])


def _share(share: float) -> str:
    return f"{share:.1%}" if share else ""


def _short(text: str, most: int = LONGEST_TEXT) -> str:
    """A text on one line, cut, and with brackets that rich does not take for markup."""
    line = " ".join(text.split())
    return (line if len(line) <= most else f"{line[: most - 1]}…").replace("[", r"\[")


def _show_scale(report: DataReport) -> None:
    described, seen = report.dataset.ratings.scale, report.scale
    if described.implicit:
        say("the ratings have no score: every row counts as a 1")
        return
    found = ("none",) * 4
    if seen is not None:
        step = "" if seen.step is None else f"{seen.step:g}"
        found = (f"{seen.lowest:g}", f"{seen.highest:g}", step, str(seen.levels))
    wanted = (f"{described.lowest:g}", f"{described.highest:g}", f"{described.step:g}", str(len(described.levels)))
    columns = ("scale of the ratings", "lowest", "highest", "smallest step", "levels")
    print_table("", columns, [("described", *wanted), ("in the rows read", *found)])
    if marks := report.dataset.ratings.unscored:
        say(f"not counted, as marks of entries without a score: {', '.join(f'{mark:g}' for mark in marks)}")


def _show_refused(report: DataReport) -> None:
    rows = [
        (file.kind, refused.reason, f"{refused.rows:,}", _short(refused.example, LONGEST_ROW))
        for file in report.files
        for refused in file.refused
    ]
    if rows:
        columns = ("file", "reason", "rows", "for example")
        print_table("rows that prepare would refuse", columns, rows, text=("file", "reason", "for example"))
    else:
        say("rows that prepare would refuse: none")
