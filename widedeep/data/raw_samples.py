"""The first rows of files of any table format, with how they are read, found out from their content."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from widedeep.schema.dataset import split_typed_name

DELIMITERS = ("::", "\t", "|", ";", ",")
# A table has the same number of fields in this share of its rows.
ENOUGH_OF_ONE_ARITY = 0.9
# Text that is read of a file at most: enough for long rows, and for a letter that tells the encoding.
MOST_BYTES = 1 << 26


class RawSample(NamedTuple):
    """The first rows of a file, as text, and how it is read."""

    path: str  # in the directory
    format: Literal["csv", "parquet", "jsonl"]
    bytes: int
    frame: pd.DataFrame  # of str and None
    delimiter: str = ","
    quote: str = '"'
    has_header: bool = True
    encoding: str = "utf-8"
    multi_line: bool = False
    types: dict[str, str] = {}  # noqa: RUF012 - column -> its type, of a header such as `user_id:token`


def read_samples(directory: Path, rows: int) -> list[RawSample]:
    """Return a sample of every file, or directory of parts, that holds a table; the others are passed over."""
    samples = (_read_sample(path, rows) for path in sorted(directory.iterdir()) if not path.name.startswith(("_", ".")))
    return [sample for sample in samples if sample is not None]


def _read_sample(path: Path, rows: int) -> RawSample | None:
    parts = [path]
    if path.is_dir():  # as Spark writes it
        parts = sorted(part for part in path.iterdir() if part.is_file() and not part.name.startswith(("_", ".")))
    sizes = [part.stat().st_size for part in parts]
    if not sum(sizes):
        return None
    first = next(part for part, size in zip(parts, sizes, strict=True) if size)
    with _open(first) as stream:
        if stream.peek(4)[:4] == b"PAR1":  # type: ignore[attr-defined]
            return RawSample(path.name, "parquet", sum(sizes), _read_parquet(first, rows))
        head = stream.read(MOST_BYTES)
    encoding, lines = _decoded(head, complete=len(head) < MOST_BYTES)
    frame = _read_json(lines, rows)
    if frame is not None:
        return RawSample(path.name, "jsonl", sum(sizes), frame, encoding=encoding)
    return _read_text(path.name, sum(sizes), lines, encoding, rows)


def _open(path: Path) -> BinaryIO:
    return io.BufferedReader(gzip.open(path)) if path.suffix == ".gz" else path.open("rb")  # type: ignore[arg-type]


def _decoded(head: bytes, complete: bool) -> tuple[str, str]:
    """The encoding and the text; without its last line, if that may be cut."""
    whole = head if complete else head[: head.rfind(b"\n") + 1]
    try:
        return "utf-8", whole.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return "iso-8859-1", whole.decode("iso-8859-1")


# --- formats with types --------------------------------------------------------------------------


def _read_parquet(path: Path, rows: int) -> pd.DataFrame:
    with pq.ParquetFile(path) as file:
        batch = next(file.iter_batches(batch_size=rows), None)
        columns = {name: [] for name in file.schema_arrow.names} if batch is None else _columns(batch)
    return pd.DataFrame(columns, dtype=object)


def _columns(batch: pa.RecordBatch) -> dict[str, list[str | None]]:
    names = batch.schema.names
    return {name: [_as_text(value) for value in column.to_pylist()] for name, column in zip(names, batch, strict=True)}


def _read_json(text: str, rows: int) -> pd.DataFrame | None:
    """The rows of a file with an object of JSON in each line; None if it is another file."""
    records = []
    for line, _ in zip(io.StringIO(text), range(rows), strict=False):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if isinstance(record, dict):
            records.append({name: _as_text(value) for name, value in record.items()})
        elif not records:
            return None
    return pd.DataFrame(records, dtype=object).astype(object).where(lambda frame: frame.notna(), None)


def _as_text(value: Any) -> str | None:
    """A value as Spark writes it when it reads the column as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | list | tuple | dict):
        return json.dumps(value, default=str)
    return str(value)


# --- delimited text ------------------------------------------------------------------------------


def _read_text(path: str, size: int, text: str, encoding: str, rows: int) -> RawSample | None:
    split = _best_split(text, rows)
    if split is None:
        return None
    delimiter, quote, table = split
    multi_line = any("\n" in field for row in table for field in row)
    types = dict(split_typed_name(name) for name in table[0])
    typed = any(types.values()) and len(types) == len(table[0])
    has_header = typed or _is_header(table[0], table[1:])
    names = [*types] if typed else table[0] if has_header else [f"column_{n}" for n in range(1, len(table[0]) + 1)]
    frame = pd.DataFrame(table[has_header:], columns=pd.Index(names), dtype=object)
    types = {name: kind for name, kind in types.items() if kind} if typed else {}
    return RawSample(path, "csv", size, frame, delimiter, quote, has_header, encoding, multi_line, types)


def _best_split(text: str, rows: int) -> tuple[str, str, list[list[str]]] | None:
    """The delimiter and the quote that give most rows the same number of fields, and those rows."""
    best, best_key = None, (ENOUGH_OF_ONE_ARITY, 1)
    for delimiter in DELIMITERS:
        for quote in ('"', "") if len(delimiter) == 1 else ("",):
            table = _split(text, delimiter, quote, rows)
            arity, count = Counter(map(len, table)).most_common(1)[0] if table else (0, 0)
            key = (count / max(len(table), 1), arity)
            if arity > 1 and len(table[0]) == arity and key > best_key:
                best, best_key = (delimiter, quote, [row for row in table if len(row) == arity]), key
    return best


def _split(text: str, delimiter: str, quote: str, rows: int) -> list[list[str]]:
    lines = io.StringIO(text, newline="")
    if len(delimiter) > 1:
        return [line.rstrip("\r\n").split(delimiter) for line, _ in zip(lines, range(rows), strict=False)]
    quoting: Any = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    try:
        return list(_take(csv.reader(lines, delimiter=delimiter, **quoting), rows))
    except csv.Error:  # no text, or a quote that is never closed
        return []


def _take(rows: Iterator[list[str]], most: int) -> Iterator[list[str]]:
    """The first rows that are not empty."""
    for row, _ in zip((row for row in rows if row), range(most), strict=False):
        yield row


def _is_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a row has names: distinct texts, where other rows have numbers or where no row has the same again."""
    if len(set(first)) < len(first) or not all(first) or any(map(is_number, first)):
        return False
    columns = list(zip(*rows, strict=True))
    if any(sum(map(is_number, column)) > 0.5 * len(column) for column in columns):
        return True
    return not any(name in column for name, column in zip(first, columns, strict=False))


def is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return abs(float(text)) < float("inf") and "_" not in text
    except ValueError:
        return False
