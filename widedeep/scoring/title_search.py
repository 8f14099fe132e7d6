"""Titles as people write them -> titles as they are in the data."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz import fuzz, process, utils

from widedeep.common.errors import InputError

# Likeness of 0 to 100: from GOOD on a title may be what was meant, from HINT on it is worth a mention. A title that
# holds all that was typed, and more, has at most PART of the likeness.
GOOD, HINT, PART = 80, 50, 0.9
SHOWN = 6


class Matches(NamedTuple):
    """Positions of titles."""

    taken: int
    others: list[int]  # good matches, too, the best first


def match_title(query: str, titles: Sequence[str], popularity: Sequence[int]) -> Matches:
    """Find a title, whatever its case, punctuation and small slips; of equally alike ones the most rated.

    Args:
        query: as typed.
        titles: all there are.
        popularity: of each.

    Raises:
        InputError: none is alike; names the nearest.

    """
    scored = likeness(query, titles)
    order = sorted(range(len(titles)), key=lambda place: (-scored[place], -popularity[place]))[:SHOWN]
    good = [place for place in order if scored[place] >= GOOD]
    if not good:
        near = ", ".join(repr(titles[place]) for place in order[:3] if scored[place] >= HINT)
        raise InputError(f"no anime is called {query!r} or nearly so" + (f"; nearest are {near}" if near else ""))
    return Matches(good[0], good[1:])


def likeness(query: str, titles: Sequence[str]) -> np.ndarray:
    """How alike the query and each title are: [len(titles)] float32 of 0 to 100.

    As a whole, with the words in any order, or as a part of a longer title.
    """
    typed, plain = utils.default_process(query), [utils.default_process(title) for title in titles]
    whole, ordered, part = (
        process.cdist([typed], plain, scorer=scorer)[0]
        for scorer in (fuzz.ratio, fuzz.token_sort_ratio, fuzz.partial_ratio)
    )
    longer = np.array([len(title) >= len(typed) for title in plain])
    return np.maximum(np.maximum(whole, ordered), np.where(longer, PART * part, 0.0))
