"""What a command says: results on stdout, progress and logs on stderr, so that `command > file` works."""

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

stderr = Console(stderr=True)
stdout = Console(soft_wrap=True)
log = logging.getLogger("widedeep")

# All of C0 and C1 but the tab and the newline. Titles in a dump are other people's text: an escape sequence in one
# could rewrite the screen.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


# The formats of the log, and what each line of a log for machines says beside its message.
LOG_FORMATS = ("text", "json")
_context: dict[str, object] = {}


class JsonLines(logging.Formatter):
    """A line of JSON for each message: time (UTC), level, message, stage, run, rank, and counts or an error if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname, "message": record.getMessage(), **_context}
        line["rank"] = int(os.environ.get("RANK", "0"))
        if counts := getattr(record, "counts", None):
            line["counts"] = counts
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def add_log_context(**values: object) -> None:
    """Say of which stage and run all further messages are; a log for machines has it on each line."""
    _context.update(values)


def log_counts(message: str, counts: Mapping[str, int]) -> None:
    """Tell a log for machines how many rows there were of what; people see the tables on stdout instead."""
    if logs_json():
        log.info(message, extra={"counts": dict(counts)})


def logs_json() -> bool:
    """Whether the log is for machines."""
    return any(isinstance(handler.formatter, JsonLines) for handler in log.handlers)


def setup_logging(form: str = "text") -> None:
    """Send the project's log to stderr, once, in one of LOG_FORMATS."""
    if log.handlers:
        return
    if form == "json":
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
    elif stderr.is_terminal:
        handler = RichHandler(console=stderr, show_path=False, log_time_format="%H:%M:%S")
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:  # a log file wants no wrapped columns
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def printable(text: object) -> Text:
    """Return a text that a terminal shows and does not obey: without markup, control characters as �."""
    return Text(CONTROL_CHARACTERS.sub("\ufffd", str(text)))


def say(text: object, end: str = "\n") -> None:
    """Print a line of the result to stdout."""
    stdout.print(printable(text), highlight=False, end=end)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], text: Sequence[str] = ()) -> None:
    """Print a summary table to stdout.

    Args:
        title: the line above the table.
        columns: the headings; if all are empty, no heading is shown.
        rows: the cells of each row, as many as columns.
        text: names of the columns aligned to the left; by default the first column. All others are numbers.

    """
    table = Table(title=printable(title), title_justify="left", show_header=any(columns))
    for number, name in enumerate(columns):
        left = name in text if text else number == 0
        table.add_column(printable(name), justify="left" if left else "right")
    for row in rows:
        table.add_row(*map(printable, row))
    stdout.print(table)
