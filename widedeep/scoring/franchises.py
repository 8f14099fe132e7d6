"""Which items belong together, such as the seasons of a series, and in which order one watches them.

Legend: I items, R ratings.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from widedeep.common.errors import InputError
from widedeep.scoring.title_stems import name_titles

# Item types in the order in which they are taken for the main story of a franchise.
MAIN_TYPES = ("TV", "Movie", "ONA", "OVA")
RELATION_COLUMNS = ("related_id", "relation")  # of a file of relations; the other column has the item
# Relations of items that have nothing but a character or less in common.
LOOSE = frozenset(("character", "other"))
# A part is watched after another if at least this share of its raters rated the other, too. On 395 K real ratings, it
# is 0.67 and more for sequels, and 0.61 and less for remakes and stories of their own.
SEQUEL_SHARE = 0.64
# Raters who are assumed to have rated both: of an item with few ratings, the titles tell more.
PRIOR_RATERS = 3


class Franchises(NamedTuple):
    """The franchise of each item and its place there."""

    number: np.ndarray  # [I] int32, 0, 1, 2, …
    place: np.ndarray  # [I] int32, from 0 in the order of watching
    before: np.ndarray  # [I] int32 item of the main story to watch before; -1: none


class Relations(NamedTuple):
    """Which items belong together, as a file tells."""

    pairs: np.ndarray  # [n, 2] item indexes
    before: np.ndarray  # [I] int32 item whose sequel each is; -1: none


def find_franchises(
    titles: Sequence[str],
    aired: np.ndarray,
    types: Sequence[str],
    item_id: Sequence[int],
    relations: Relations | None = None,
) -> Franchises:
    """Group items into franchises and order each by the date it was aired, then the number in its title, then its id.

    The main story are the items of the first of MAIN_TYPES that the franchise has. Before an item one watches the last
    main item that precedes it.

    Args:
        titles: [I]; an item without one is a franchise of its own.
        aired: [I] years; NaN, which comes last, if unknown.
        types: [I] such as TV.
        item_id: [I].
        relations: tell what belongs together and what precedes what; None: items whose titles have the same stem do.

    """
    names = name_titles(titles)
    number = _number_texts([name.stem for name in names]) if relations is None else _components(relations)
    when = np.where(np.isnan(aired), np.inf, aired)
    members: dict[int, list[int]] = defaultdict(list)
    for item in sorted(range(len(titles)), key=lambda i: (when[i], names[i].numbers, item_id[i])):
        members[int(number[item])].append(item)
    place, before = np.zeros(len(titles), np.int32), np.full(len(titles), -1, np.int32)
    for items in members.values():
        main = next((kind for kind in MAIN_TYPES if any(types[item] == kind for item in items)), None)
        last = -1
        for position, item in enumerate(items):
            place[item], before[item] = position, last
            last = item if types[item] == main else last
    return Franchises(number, place, before if relations is None else relations.before)


def confirm(before: np.ndarray, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Return the items before each other without those that many skip: remakes and stories of their own.

    Args:
        before: [I] item before each, -1 for none.
        user: [R] users of ratings.
        item: [R] items of ratings.

    Returns:
        [I], -1 where too few raters of an item have rated the one before it.

    """
    pairs = np.sort(user.astype(np.int64) * len(before) + item)
    user, item = user[before[item] >= 0], item[before[item] >= 0]
    wanted = user.astype(np.int64) * len(before) + before[item]
    found = pairs[np.searchsorted(pairs, wanted).clip(max=len(pairs) - 1)] == wanted
    raters, both = (np.bincount(item, weights, len(before)) for weights in (None, found))
    return np.where(both + PRIOR_RATERS >= SEQUEL_SHARE * (raters + PRIOR_RATERS), before, -1)


def read_relations(file: Path, item_id: np.ndarray) -> Relations:
    """Read a CSV file of related items: related_id, relation and a further column with the item, whatever its name.

    The relation is, for example, `sequel` if the related item is one of the other.

    Items that the data lacks are passed over.

    Args:
        file: the file.
        item_id: [I] the identifier of each item.

    Raises:
        InputError: the file cannot be read, or lacks a column.

    """
    item_of = {str(identifier): item for item, identifier in enumerate(item_id.tolist())}
    pairs, before = [], np.full(len(item_id), -1, np.int32)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            key = next((name for name in reader.fieldnames or () if name not in RELATION_COLUMNS), "item_id")
            for row in reader:
                first, second = item_of.get(row[key]), item_of.get(row["related_id"])
                relation = row["relation"].strip().lower()
                if first is None or second is None or relation in LOOSE:
                    continue
                pairs.append((first, second))
                if relation == "sequel":
                    before[second] = first
                elif relation == "prequel":
                    before[first] = second
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    except KeyError as error:
        raise InputError(f"{file} has no column {error}: it needs the item, related_id and relation") from None
    return Relations(np.array(pairs, np.int64).reshape(-1, 2), before)


def _number_texts(texts: Sequence[str]) -> np.ndarray:
    """Return a number for each text, the same for equal ones but for empty ones, in the order of texts: [I] int32."""
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(text or place, len(numbers)) for place, text in enumerate(texts)], np.int32)


def _components(relations: Relations) -> np.ndarray:
    """Return the number of each item's connected component in the graph of the related pairs: [I] int32."""
    items, (first, second) = len(relations.before), relations.pairs.T
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(items, items))
    return connected_components(graph, directed=False)[1].astype(np.int32)
