"""The items as people see them, and the filters by which they are chosen.

Legend: I items, V values of a category.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import orjson
from rapidfuzz import process

from widedeep.common.errors import InputError
from widedeep.data.feature_tables import FeatureTable
from widedeep.models.artifact import Artifact
from widedeep.schema.dataset import Dataset
from widedeep.schema.manifest import RESERVED_VALUES
from widedeep.scoring.title_search import OTHER_TITLES, other_titles
from widedeep.serve.answers import FilterAnswer, FilterValue

# The column of dates that gives the year, and other columns.
AIRED, YEAR, RATINGS, IMAGE = "aired_start", "year", "ratings", "image_url"
DATES = ("aired_start", "aired_end", "premiered_year")  # the year tells as much
MOST_NAMED = 5  # values in an error
NOT, MIN, MAX = "not_", "_min", "_max"

Parameters = Iterable[tuple[str, str]]  # of a query string


class Choice(NamedTuple):
    """A filter by the values of a category, of which an item may have several."""

    values: tuple[str, ...]  # V
    ids: np.ndarray  # [I, most values of an item] category ids, V where there are fewer
    places: dict[str, int]  # value in small letters -> category id

    def having(self, values: Sequence[int]) -> np.ndarray:
        """Return whether each item, [I], has any of some values, given by their category ids."""
        return np.any(np.isin(self.ids, np.array(values, self.ids.dtype)), axis=1)


class Catalogue:
    """All items of the data."""

    def __init__(self, items: FeatureTable, artifact: Artifact, dataset: Dataset, posters: bool):
        """Read the columns that people see.

        Args:
            items: the feature table.
            artifact: the model, which has the identifiers and the numbers of training ratings.
            dataset: names the pages of items.
            posters: whether to tell the addresses of pictures.

        """
        self._count = items.rows
        self._choices = {name: _choice(items, name) for name in items.table.vocabularies}
        self._numbers = _numbers(items) | {RATINGS: artifact.item_ratings.astype(np.float64)}
        self.shown = _records(items, artifact, dataset, posters, self._choices, self._numbers)

    # --- filters -------------------------------------------------------------------------------------

    def allowed(self, parameters: Parameters) -> np.ndarray:
        """Return whether each item, [I] bool, passes the filters of a query.

        A parameter NAME=VALUE asks for items that have the value, or any of those given if there are several of one
        name; not_NAME=VALUE for those that do not have it. Of numbers, NAME_min and NAME_max are bounds.

        Args:
            parameters: names and values.

        Raises:
            InputError: there is no such filter or no such value.

        """
        named: dict[str, list[int]] = {}  # parameter -> category ids
        allowed = np.ones(self._count, bool)
        for name, value in parameters:
            stem = name.removeprefix(NOT)
            if stem in self._choices:
                named.setdefault(name, []).append(self._value(stem, value))
            else:
                allowed &= self._in_range(name, value)
        for name, values in named.items():
            stem = name.removeprefix(NOT)
            having = self._choices[stem].having(values)
            allowed &= having if name == stem else ~having
        return allowed

    def _value(self, name: str, value: str) -> int:
        """Return the category id of a value."""
        choice = self._choices[name]
        if value.casefold() in choice.places:
            return choice.places[value.casefold()]
        near = [
            choice.values[choice.places[match[0]]]
            for match in process.extract(value[:100].casefold(), choice.places.keys(), limit=MOST_NAMED)
        ]
        raise InputError(f"{name}: there is no {value[:100]!r}; the nearest are {', '.join(map(repr, near))}")

    def _in_range(self, name: str, value: str) -> np.ndarray:
        """Return whether each item has a number within a bound; items without the number have none."""
        for suffix, compare in _COMPARISONS.items():
            stem = name.removesuffix(suffix)
            if name.endswith(suffix) and stem in self._numbers:
                with np.errstate(invalid="ignore"):
                    return compare(self._numbers[stem], _number(name, value))
        names = ", ".join((*self._choices, *self._numbers))
        raise InputError(f"there is no filter {name[:100]!r}: filter by {names}")

    @cached_property
    def filters(self) -> tuple[FilterAnswer, ...]:
        """What there is to choose from."""
        choices = (FilterAnswer(name=name, kind="choice", values=_frequent(one)) for name, one in self._choices.items())
        numbers = {name: values[~np.isnan(values)] for name, values in self._numbers.items()}
        ranges = (
            FilterAnswer(name=name, kind="range", lowest=values.min().item(), highest=values.max().item())
            for name, values in numbers.items()
            if len(values)
        )
        return (*choices, *ranges)


_COMPARISONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    MIN: np.greater_equal,
    MAX: np.less_equal,
    "": np.equal,
}


def _choice(items: FeatureTable, name: str) -> Choice:
    values = items.vocabulary(name)
    places = {value.casefold(): place for place, value in enumerate(values) if value not in RESERVED_VALUES}
    return Choice(values, items.category_ids(name).numpy(), places)


def _numbers(items: FeatureTable) -> dict[str, np.ndarray]:
    """Return the numbers of items that contain no ratings, as they were before scaling: [I] float64, NaN if unknown."""
    columns = [column for column in items.table.columns if column.kind == "numeric" and column.ratings_in_it == "none"]
    numbers = {column.name: _tidy(items.unscaled(column.name)) for column in columns if column.name not in DATES}
    return numbers | ({YEAR: np.floor(items.unscaled(AIRED))} if items.has(AIRED) else {})


def _tidy(values: np.ndarray) -> np.ndarray:
    """Return numbers without the rounding errors of scaling: they were stored with some seven digits."""
    return np.array([float(f"{value:.6g}") for value in values.tolist()])


def _frequent(choice: Choice) -> tuple[FilterValue, ...]:
    """Return the values that items have and their numbers of items, the most frequent first."""
    counts = Counter(choice.ids[choice.ids < len(choice.values)].tolist())
    named = ((choice.values[number], count) for number, count in counts.most_common())
    return tuple(FilterValue(value=value, items=count) for value, count in named if value not in RESERVED_VALUES)


def _number(name: str, text: str) -> float:
    """Return a bound; raise InputError if it is no finite number."""
    try:
        number = float(text) if text.isascii() and "_" not in text else np.nan
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise InputError(f"{name}: {text[:100]!r} is no number")
    return number


def _records(
    items: FeatureTable,
    artifact: Artifact,
    dataset: Dataset,
    posters: bool,
    choices: dict[str, Choice],
    numbers: dict[str, np.ndarray],
) -> list[orjson.Fragment]:
    """Return each item as JSON, see `Item` in answers.py."""
    titles = {name.removeprefix(OTHER_TITLES): items.strings(name) for name in other_titles(items)}
    images = items.strings(IMAGE) if posters and items.has(IMAGE) else None
    url = dataset.items.url if dataset.items else None
    main, records = items.strings("title"), []
    for item, item_id in enumerate(artifact.item_id.tolist()):
        record: dict[str, Any] = {
            "item_id": item_id,
            "title": main[item],
            "titles": {name: texts[item] for name, texts in titles.items() if texts[item] not in ("", main[item])},
            "facts": {name: values for name, choice in choices.items() if (values := _values(choice, item))},
            "numbers": {name: _whole(column[item]) for name, column in numbers.items() if not np.isnan(column[item])},
            "url": url.replace("{id}", quote(str(item_id), safe="")) if url else None,
            "image_url": (images[item] or None) if images else None,
        }
        records.append(orjson.Fragment(orjson.dumps(record)))
    return records


def _values(choice: Choice, item: int) -> list[str]:
    """Return the values that an item has."""
    known = (choice.values[number] for number in choice.ids[item].tolist() if number < len(choice.values))
    return [value for value in known if value not in RESERVED_VALUES]


def _whole(value: np.float64) -> int | float:
    return int(value) if value.is_integer() else float(value)
