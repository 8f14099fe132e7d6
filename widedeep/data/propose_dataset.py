"""The files in a directory -> a proposal of their description, guessed from names and first values of columns."""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from widedeep.common.errors import InputError
from widedeep.data.column_guesses import (
    ITEM_WORDS,
    NAME_WORDS,
    RATING_WORDS,
    TIME_WORDS,
    USER_WORDS,
    Column,
    feature_name,
    guess_features,
    words_of,
)
from widedeep.data.rating_scales import guess_scale
from widedeep.data.raw_samples import RawSample, read_samples
from widedeep.schema.dataset import KEYS, Dataset

# Of the values of a file of items or users, these may come again: faulty rows.
MOSTLY_UNIQUE = 0.7


class Pairs(NamedTuple):
    """A file that may hold the ratings."""

    sample: RawSample
    user: Column
    item: Column
    rating: Column | None
    time: Column | None
    names: int  # how many columns are named like their roles


class Entities(NamedTuple):
    """A file that may hold the items or the users."""

    sample: RawSample
    id: Column
    evidence: float


def propose_dataset(directory: Path, rows: int) -> str:
    """Return a description of the files in a directory, as TOML.

    Args:
        directory: of the files.
        rows: how many rows of each file are looked at.

    Raises:
        InputError: there is no such directory, or no file in it looks like ratings.

    """
    if not directory.is_dir():
        raise InputError(
            f"--input {directory} is no directory of this machine: give the one with the files to describe"
        )
    samples = read_samples(directory, rows)
    found = [pairs for sample in samples if (pairs := find_pairs(sample))]
    if not found:
        read = ", ".join(f"{sample.path} ({', '.join(sample.frame.columns[:6])})" for sample in samples) or "none"
        raise InputError(
            f"{directory}: no file looks like ratings, which have a column of users and one of items; tables found: "
            f"{read}; write the description yourself (docs/datasets.md)"
        )
    ratings = max(found, key=lambda pairs: (pairs.names, pairs.sample.bytes))
    notes: list[str] = []
    described = {"ids": _ids(ratings), "ratings": _ratings(ratings, notes)}
    others = [sample for sample in samples if sample is not ratings.sample]
    items = find_entities(others, ratings.item, ITEM_WORDS, USER_WORDS)
    users = find_entities(
        [s for s in others if not items or s is not items.sample], ratings.user, USER_WORDS, ITEM_WORDS
    )
    for kind, entities in (("items", items), ("users", users)):
        if entities:
            described[kind] = _entities(entities, kind, notes)
    used = {described[kind]["path"] for kind in ("ratings", "items", "users") if kind in described}
    notes += [f"{sample.path} is not used" for sample in samples if sample.path not in used]
    return _checked(f"# Guessed from the first {rows:,} rows of each file: read it through.\n{_toml(described, notes)}")


def _checked(text: str) -> str:
    """The text, if it describes a data set; a guess that does not is a bug."""
    try:
        Dataset.model_validate({"name": "proposal", **tomllib.loads(text)})
    except ValidationError as error:
        raise AssertionError(f"the proposal describes no data set: {error}\n{text}") from error
    return text


# --- the ratings ---------------------------------------------------------------------------------


def columns_of(sample: RawSample) -> list[Column]:
    """The columns of a sample."""
    return [Column(name, sample.frame[name].tolist(), sample.types.get(name, "")) for name in sample.frame.columns]


def find_pairs(sample: RawSample) -> Pairs | None:
    """Return which columns hold users, items, ratings and times; None if the file has no pairs of users and items."""
    columns = columns_of(sample)
    ids = [column for column in columns if column.like_id and not column.words & NAME_WORDS and not column.like_time]
    user = _first(ids, lambda column: column.words & USER_WORDS)
    item = _first(ids, lambda column: column.words & ITEM_WORDS and column is not user)
    names = 2 * (user is not None) + 2 * (item is not None)
    if sample.has_header and names == 0:
        return None
    rest = [column for column in ids if column not in (user, item) and not column.words & (RATING_WORDS | TIME_WORDS)]
    user = user or (rest.pop(0) if rest else None)
    item = item or (rest.pop(0) if rest else None)
    # Each row of a file of items or users is of another one.
    if user is None or item is None or item.unique == 1 or (user.unique == 1 and names < 4):
        return None
    free = [column for column in columns if column not in (user, item)]
    time = _first(free, lambda c: c.like_time and c.words & TIME_WORDS) or _first(free, lambda c: c.like_time)
    free = [column for column in free if column is not time and column.numeric]
    rating = _first(free, lambda column: column.words & RATING_WORDS)
    if rating is None and not sample.has_header:
        rating = free[0] if free else None
    names += (rating is not None) + (time is not None)
    return Pairs(sample, user, item, rating, time, names)


def _first(columns: Sequence[Column], fits: Callable[[Column], object]) -> Column | None:
    return next((column for column in columns if fits(column)), None)


def _ids(ratings: Pairs) -> dict[str, Any]:
    described = {"type": "number" if ratings.user.whole and ratings.item.whole else "text"}
    name = feature_name(ratings.item.name, ())
    if ratings.sample.has_header and name.endswith("_id") and name not in KEYS and not name.startswith("dump_"):
        described["item"] = name
    return described


def _ratings(ratings: Pairs, notes: list[str]) -> dict[str, Any]:
    roles = {"user": ratings.user, "item": ratings.item, "rating": ratings.rating, "time": ratings.time}
    given = {role: column.name for role, column in roles.items() if column is not None}
    described = _file(ratings.sample, {name: role for role, name in given.items()})
    scale = None if ratings.rating is None else guess_scale(ratings.rating.numbers)
    if ratings.rating is not None and scale is None:
        del given["rating"]
        notes.append(f"{ratings.rating.name} has no scale of ratings: every row counts as a 1")
    described |= {role: name if ratings.sample.has_header else role for role, name in given.items()}
    return {**described, **(scale or {})}


def _file(sample: RawSample, renamed: Mapping[str, str]) -> dict[str, Any]:
    """How a file is read, without defaults; `renamed` has names for columns of files without a header."""
    described: dict[str, Any] = {"path": sample.path}
    if sample.format != "csv":
        described["format"] = sample.format
    if sample.format == "csv" and sample.delimiter != ",":
        described["delimiter"] = sample.delimiter
    if sample.format == "csv" and sample.quote != '"':
        described["quote"] = sample.quote
    if not sample.has_header:
        described["header"] = [renamed.get(name, name) for name in sample.frame.columns]
    if sample.encoding != "utf-8":
        described["encoding"] = sample.encoding
    if sample.multi_line:
        described["multi_line"] = True
    return described


# --- the items and the users ---------------------------------------------------------------------


def find_entities(samples: Sequence[RawSample], ids: Column, own: set[str], foreign: set[str]) -> Entities | None:
    """Return the file that has a row for each of the ids, by names, and by the ids that it shares with the ratings.

    Args:
        samples: the files to choose from.
        ids: the column of the ratings.
        own: words in names of such files and their columns.
        foreign: words in names of the other kind.

    """
    found = []
    for sample in samples:
        stem = words_of(sample.path)
        by_path = 1.0 * bool(stem & own) - 1.0 * bool(stem & foreign)
        for column in columns_of(sample):
            same_type = column.whole == ids.whole or column.name == ids.name
            if not column.like_id or column.unique < MOSTLY_UNIQUE or not same_type:
                continue
            by_name = (
                1.0 * bool(column.words & own) - 1.0 * bool(column.words & foreign) + 1.0 * (column.name == ids.name)
            )
            shared = len(column.distinct & ids.distinct)
            overlap = shared / min(len(column.distinct), len(ids.distinct))
            found.append(Entities(sample, column, by_path + by_name + overlap))
    best = max(found, key=lambda entities: entities.evidence, default=None)
    return best if best and best.evidence >= 0.5 else None


def _entities(entities: Entities, kind: str, notes: list[str]) -> dict[str, Any]:
    """The description of a file of items or users."""
    sample, columns = entities.sample, [c for c in columns_of(entities.sample) if c.name != entities.id.name]
    name = _name_column(columns, sample.has_header, kind)
    renamed = {entities.id.name: "id", **({name.name: "name"} if name else {})}
    described = _file(sample, renamed)
    if sample.has_header:
        renamed = {}
    described["id"] = renamed.get(entities.id.name, entities.id.name)
    if name:
        described["name"] = renamed.get(name.name, name.name)
    features = guess_features([column for column in columns if column is not name])
    if name and kind == "items" and name.share_like(r"\(\d{4}\)") > 0.8:
        features["numeric"]["year"] = {"column": described["name"], "parse": "year"}
    if left_out := features.pop("left_out"):
        notes.append(f"{sample.path}: without a role: {', '.join(left_out)}")
    return described | {key: value for key, value in features.items() if value}


def _name_column(columns: Sequence[Column], has_header: bool, kind: str) -> Column | None:
    """The titles of items or the names of users: by name, or the first texts that differ, of items without a header."""
    texts = [column for column in columns if not column.numeric]
    if has_header:
        plain = {"title", "name", "username"}
        return _first(texts, lambda c: c.name.lower() in plain) or _first(texts, lambda c: c.words & NAME_WORDS)
    return _first(texts, lambda column: column.unique > 0.9 and column.separator is None) if kind == "items" else None


# --- TOML ----------------------------------------------------------------------------------------


def _toml(described: Mapping[str, Any], notes: Sequence[str]) -> str:
    lines = [f"# {note}" for note in notes]
    for name, table in described.items():
        inner = {key: value for key, value in table.items() if isinstance(value, dict)}
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items() if key not in inner)]
        for key, values in inner.items():
            lines += ["", f"[{name}.{key}]", *(f"{feature} = {_value(source)}" for feature, source in values.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_value(inner)}' for key, inner in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return f"{value:.10g}"
    # A text of JSON is one of TOML; raw letters, as TOML knows no pairs of surrogates.
    return json.dumps(value, ensure_ascii=False)
