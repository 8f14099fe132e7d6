"""Finds a title in the data from what a person typed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz import fuzz, process, utils

from widedeep.common.errors import InputError

# Titles of at least this similarity, of 0 to 100, match; less similar ones are suggested in the error message.
MATCH_SIMILARITY, SUGGESTION_SIMILARITY = 80, 50
# Weight of the similarity with a part of the title: a title that contains the query and more is not a perfect match.
PARTIAL_WEIGHT = 0.9
MOST_MATCHES = 6


class TitleMatches(NamedTuple):
    """Item indexes of the titles that match a query."""

    best: int
    others: list[int]  # the most similar first


def match_title(query: str, titles: Sequence[str], popularity: Sequence[int]) -> TitleMatches:
    """Return the titles that match a query, whatever its case, punctuation and small typing errors.

    Equally similar titles are ordered by popularity.

    Args:
        query: the title as typed.
        titles: all titles, by item index.
        popularity: the number of ratings of each title.

    Raises:
        InputError: no title is similar enough; the message names the nearest titles.

    """
    similarity = title_similarity(query, titles)
    order = sorted(range(len(titles)), key=lambda item: (-similarity[item], -popularity[item]))[:MOST_MATCHES]
    matches = [item for item in order if similarity[item] >= MATCH_SIMILARITY]
    if not matches:
        near = ", ".join(repr(titles[item]) for item in order[:3] if similarity[item] >= SUGGESTION_SIMILARITY)
        raise InputError(f"no anime is called {query!r} or nearly so" + (f"; nearest are {near}" if near else ""))
    return TitleMatches(matches[0], matches[1:])


def title_similarity(query: str, titles: Sequence[str]) -> np.ndarray:
    """Return the similarity of the query and each title: [len(titles)] float32 of 0 to 100.

    It is the highest of three: of the whole texts, of the texts with their words sorted, and, for titles that are at
    least as long as the query, of the query and the most similar part of the title.
    """
    typed, plain = utils.default_process(query), [utils.default_process(title) for title in titles]
    whole, ordered, part = (
        process.cdist([typed], plain, scorer=scorer)[0]
        for scorer in (fuzz.ratio, fuzz.token_sort_ratio, fuzz.partial_ratio)
    )
    longer = np.array([len(title) >= len(typed) for title in plain])
    return np.maximum(np.maximum(whole, ordered), np.where(longer, PARTIAL_WEIGHT * part, 0.0))
