"""A person's own ratings: from a CSV file, a list that MyAnimeList exported as XML, or pairs of Python values."""

import csv
import gzip
import io
import zlib
from collections.abc import Container, Iterable, Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from widedeep.common.errors import InputError
from widedeep.schema.dataset import Dataset, Identifiers
from widedeep.schema.rating_scale import RatingScale

DELIMITERS = ",;\t"
# The longest lists take some MB; a small file can unpack to any size.
MOST_BYTES = 1 << 26
# How MyAnimeList marks anime to be watched later; older exports have the number.
PLANNED = ("plan to watch", "6")
XML_UNSCORED = (0.0,)
GZIP_MAGIC = b"\x1f\x8b"


class ListEntry(NamedTuple):
    """An item of a person's list."""

    place: str  # where it stands, such as `line 3` of a file
    item_id: int | str | None
    title: str
    rating: float | None  # None: not rated
    planned: bool  # to be watched later


def read_rating_list(file: Path, dataset: Dataset, scale: RatingScale) -> list[ListEntry]:
    """Return the entries of a person's list.

    Args:
        file: an export of MyAnimeList (`.xml`, `.xml.gz`), or else a CSV file whose header has `rating`, and `item_id`
            (or what the data set calls it) or `title`; it may be separated by commas, semicolons or tabs.
        dataset: says what identifiers are, and what stands for no score.
        scale: the scale of the ratings. An empty rating and a mark below the scale mean: not rated.

    Raises:
        InputError: the file cannot be read as one of these, or a value is wrong.

    """
    opener = gzip.open if file.suffix.lower() == ".gz" else open
    try:
        with opener(file, "rb") as stream:
            content = _read(str(file), stream)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    if file.name.lower().endswith((".xml", ".xml.gz")):
        return list(_xml_entries(str(file), content, dataset.ids, scale))
    return list(_csv_entries(str(file), content, dataset, scale))


def read_export(content: bytes, ids: Identifiers, scale: RatingScale) -> list[ListEntry]:
    """Return the entries of a list that MyAnimeList exported, from the bytes of the file, packed by gzip or not.

    Raises:
        InputError: it is no such export, or a value is wrong.

    """
    name = "the export"
    if content.startswith(GZIP_MAGIC):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                content = _read(name, stream)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{name} cannot be unpacked: {error}") from None
    return list(_xml_entries(name, content, ids, scale))


def read_rating_pairs(
    pairs: Iterable[tuple[int | str, float | None]], known: Container[int | str], scale: RatingScale
) -> list[ListEntry]:
    """Return the entries of a list that is given as (identifier or title, rating); a rating of None means: not rated.

    Args:
        pairs: the list.
        known: the identifiers of all items.
        scale: the scale of the ratings.

    Raises:
        InputError: an entry is no pair, or its rating no number of the scale.

    """
    entries = []
    for number, pair in enumerate(pairs):
        place = f"history[{number}]"
        try:
            item, rating = pair
        except (TypeError, ValueError):
            raise InputError(f"{place} is {pair!r}: give a pair of identifier or title, and rating") from None
        if rating is not None and not (isinstance(rating, Real) and scale.lowest <= rating <= scale.highest):
            raise InputError(f"{place}: rating {rating!r} is no number of {scale}; give None if it was not rated")
        entries.append(entry_of(place, item, known, None if rating is None else float(rating)))
    return entries


def entry_of(place: str, item: Any, known: Container[int | str], rating: float | None = None) -> ListEntry:
    """Return the entry of an item that is named by its identifier or by a title: texts that are none of the former."""
    if isinstance(item, str) and item not in known:
        return ListEntry(place, None, item, rating, False)
    return ListEntry(place, item, "", rating, False)


def _read(file: str, stream: io.BufferedIOBase) -> bytes:
    """Return the content of a stream; InputError if it is too long."""
    content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{file} has more than {MOST_BYTES >> 20} MB: give a list of one person's ratings")
    return content


def _csv_entries(file: str, content: bytes, dataset: Dataset, scale: RatingScale) -> Iterator[ListEntry]:
    """Yield the entries of a CSV file."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 ({error}): save it as CSV in UTF-8") from None
    header = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=header.count))
    names, key = [name.strip().lower() for name in next(reader, [])], dataset.ids.item
    if "rating" not in names or not {key, "item_id", "title"} & set(names):
        raise InputError(f"{file}: the header has {names}: it needs the columns rating, and {key} or title")
    try:
        for cells in filter(any, reader):
            place = f"line {reader.line_num}"
            if len(cells) != len(names):
                raise InputError(
                    f"{file}, {place}: {len(cells)} cells instead of {len(names)} in {cells}: "
                    "put texts that contain a separator between double quotes"
                )
            row = dict(zip(names, cells, strict=True))
            rating = _rating(file, place, row["rating"], scale, dataset.ratings.unscored)
            given = row.get(key, row.get("item_id", "")), row.get("title", "")
            yield _entry(file, place, *given, rating, False, dataset.ids)
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}: {error}") from None


def _xml_entries(file: str, content: bytes, ids: Identifiers, scale: RatingScale) -> Iterator[ListEntry]:
    """Yield the entries of an export of MyAnimeList."""
    try:
        _refuse_doctype(file, content)
        animes = ElementTree.fromstring(content).findall("anime")
    except (ElementTree.ParseError, expat.ExpatError) as error:
        raise InputError(f"{file} is no XML: {error}; export the list again") from None
    if not animes:
        raise InputError(f"{file} has no <anime>: export the list of anime from MyAnimeList")
    for number, anime in enumerate(animes, start=1):
        place = f"anime {number}"
        rating = _rating(file, place, anime.findtext("my_score", ""), scale, XML_UNSCORED)
        planned = anime.findtext("my_status", "").strip().lower() in PLANNED
        title = anime.findtext("series_title", "")
        yield _entry(file, place, anime.findtext("series_animedb_id", ""), title, rating, planned, ids)


def _refuse_doctype(file: str, content: bytes) -> None:
    """Raise InputError if an XML document has a DOCTYPE: only there can entities be defined, which may grow or leak."""

    def refuse(*_: object) -> None:
        raise InputError(f"{file} has a DOCTYPE, which exported lists do not have: remove it, or export the list again")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(content, True)


def _entry(
    file: str, place: str, identifier: str, title: str, rating: float | None, planned: bool, ids: Identifiers
) -> ListEntry:
    identifier, title = identifier.strip(), title.strip()
    if not (identifier or title):
        raise InputError(f"{file}, {place}: neither {ids.item} nor title: give one, or delete the entry")
    item_id = ids.parse(identifier, f"{file}, {place}: {ids.item}") if identifier else None
    return ListEntry(place, item_id, title, rating, planned)


def _rating(file: str, place: str, text: str, scale: RatingScale, unscored: Sequence[float]) -> float | None:
    """Return a rating, or None for an item that was not rated."""
    remedy = f"give a number of {scale}, or nothing if it was not rated"
    if not text.strip():
        return None
    try:
        rating = float(text.replace(",", "."))
    except ValueError:
        raise InputError(f"{file}, {place}: rating {text!r} is no number: {remedy}") from None
    if rating in unscored and rating < scale.lowest:
        return None
    if not scale.lowest <= rating <= scale.highest:
        raise InputError(f"{file}, {place}: rating {text!r} is out of the scale: {remedy}")
    return rating
