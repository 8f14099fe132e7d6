"""What a command says: results on stdout, progress and logs on stderr, so that `command > file` works."""

import logging
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

stderr = Console(stderr=True)
stdout = Console(soft_wrap=True)
log = logging.getLogger("widedeep")


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


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], text: Sequence[str] = ()) -> None:
    """Print a summary table to stdout.

    Args:
        title: the line above the table.
        columns: the headings; if all are empty, no heading is shown.
        rows: the cells of each row, as many as columns.
        text: names of the columns aligned to the left; by default the first column. All others are numbers.

    """
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for number, name in enumerate(columns):
        left = name in text if text else number == 0
        table.add_column(name, justify="left" if left else "right")
    for row in rows:
        table.add_row(*map(str, row))
    stdout.print(table)
