"""Markdown of the cards: tables, and texts of the data that must stay text."""

import re
from collections.abc import Iterable, Sequence

# A cell of a number, which may have a spread, an interval and a p-value behind it.
NUMBER = re.compile(r"[-+]?\d[\d,.]*( ± [\d.]+)?( \[.*\])?(, p .*)?")


def code(text: object) -> str:
    """Return a text as a code span, in which no sign of it means anything; line breaks become spaces."""
    plain = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`" if plain else ""


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; columns of numbers are aligned to the right, and None is an empty cell."""
    cells = [[_cell(value) for value in row] for row in rows]
    columns = [[cell for cell in column if cell] for column in zip(*cells, strict=True)] or [[]] * len(headings)
    numeric = [bool(column) and all(map(NUMBER.fullmatch, column)) for column in columns]
    lines = [headings, ["---:" if number else "---" for number in numeric], *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def document(head: str, sections: Iterable[tuple[str, str]]) -> str:
    """Return the text of a card: its head, then sections of a title and a text."""
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections)]) + "\n"


def _cell(value: object) -> str:
    """Return a text as it is, and a number with commas between thousands."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)
