"""Markdown of the cards: tables, and texts of the data that must stay text."""

from collections.abc import Iterable, Sequence


def code(text: object) -> str:
    """Return a text as a code span, in which no sign of it means anything; line breaks become spaces."""
    plain = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`" if plain else ""


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; numbers are aligned to the right, with commas between thousands, and None is an empty cell."""
    filled = [tuple(row) for row in rows]
    numeric = [
        bool(filled) and all(isinstance(row[place], int | float) for row in filled) for place in range(len(headings))
    ]
    lines = [headings, ["---:" if number else "---" for number in numeric]]
    lines += [[_cell(value) for value in row] for row in filled]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def document(head: str, sections: Iterable[tuple[str, str]]) -> str:
    """Return the text of a card: its head, then sections of a title and a text."""
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections)]) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)
