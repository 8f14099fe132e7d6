"""What a command says: results on stdout, progress and logs on stderr, so that `command > file` works."""

import logging
import re
from collections.abc import Iterable, Sequence

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


def setup_logging() -> None:
    """Send the project's log to stderr, once."""
    if log.handlers:
        return
    if stderr.is_terminal:
        handler: logging.Handler = RichHandler(console=stderr, show_path=False, log_time_format="%H:%M:%S")
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
