"""Finds an item from what a person typed, by any of its titles.

Legend: T titles, K candidates of a query.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz import fuzz, process, utils

from widedeep.common.errors import InputError
from widedeep.data.feature_tables import FeatureTable

# The column of `items/` with the titles that are shown, and the beginning of the names of those with other titles.
TITLE, OTHER_TITLES = "title", "title_"
# Titles of at least this similarity, of 0 to 100, match; less similar ones are suggested in the error message.
MATCH_SIMILARITY, SUGGESTION_SIMILARITY = 80, 50
# Share of the best similarity that the other results of a search have at least.
NEAR_SHARE = 0.75
# Above that of any title that only reads alike, as the letters of Gintama, Gintama' and Gintama° do.
SAME_SIMILARITY = 101
# Weight of the similarity with a part of the title: a title that contains the query and more is not a perfect match.
PARTIAL_WEIGHT = 0.9
MOST_MATCHES = 6
# Titles that are compared with a query in full: those that share most pairs of characters with it, by two measures.
CANDIDATES = 200
CODE_BITS = 21  # of a character; three such numbers fit into 63 bits

ACCENTS = re.compile("[\u0300-\u036f]")  # and not the voicing marks of Japanese


class TitleMatches(NamedTuple):
    """Item indexes of the titles that match a query."""

    best: int
    others: list[int]  # the most similar first


class TitleIndex:
    """All titles of all items, prepared for many queries."""

    def __init__(self, titles: Sequence[Sequence[str]], popularity: Sequence[int]):
        """Normalise the titles.

        Args:
            titles: the titles that are shown, by item index; then those in other languages, empty where there is none.
            popularity: the number of ratings of each item; it orders equally similar titles.

        """
        self.shown, self._popularity = titles[0], popularity
        self._same: dict[str, list[int]] = {}  # title in small letters -> items
        self._items: list[int] = []  # [T]
        self._plain: list[str] = []  # [T]
        for item, title in ((item, title) for column in titles for item, title in enumerate(column) if title):
            self._same.setdefault(title.casefold(), []).append(item)
            if plain := plain_text(title):
                self._items.append(item)
                self._plain.append(plain)
        self._lengths = np.array([len(text) for text in self._plain])  # [T]
        title = np.repeat(np.arange(len(self._plain)), self._lengths + 1)
        found = np.unique(character_pairs("".join(f" {text}" for text in self._plain)) << CODE_BITS | title)
        # Every pair of characters that a title has, in ascending order of the pairs; and the title.
        self._pair, self._title = found >> CODE_BITS, found & (1 << CODE_BITS) - 1

    @classmethod
    def of_table(cls, items: FeatureTable, popularity: Sequence[int]) -> "TitleIndex":
        """Index the titles of a feature table of items; data of older releases have one title for each."""
        return cls([items.strings(name) for name in (TITLE, *other_titles(items))], popularity)

    def match(self, query: str) -> TitleMatches:
        """Return the items whose titles match, whatever the query's case, punctuation and small typing errors.

        Raises:
            InputError: no title is similar enough; the message names the nearest titles.

        """
        ranked = self._ranked(query)
        matches = [item for item, similarity in ranked if similarity >= MATCH_SIMILARITY]
        if not matches:
            near = ", ".join(repr(self.shown[i]) for i, similarity in ranked[:3] if similarity >= SUGGESTION_SIMILARITY)
            raise InputError(f"no title is {query!r} or nearly so" + (f"; nearest are {near}" if near else ""))
        return TitleMatches(matches[0], matches[1:])

    def search(self, query: str, n: int) -> list[int]:
        """Return up to n items with titles like a query, which may be the beginning of one; the most similar first."""
        ranked = self._ranked(query, n)
        least = max(SUGGESTION_SIMILARITY, NEAR_SHARE * ranked[0][1]) if ranked else 0
        return [item for item, similarity in ranked if similarity >= least]

    def nearest(self, query: str) -> str | None:
        """Return the most similar title; None if none is similar."""
        found = [item for item, similarity in self._ranked(query)[:1] if similarity >= SUGGESTION_SIMILARITY]
        return self.shown[found[0]] if found else None

    def _ranked(self, query: str, most: int = MOST_MATCHES) -> list[tuple[int, float]]:
        """Return the items with the most similar titles, best first, and the similarities."""
        similarity = self._similar_items(query)
        order = sorted(similarity, key=lambda item: (-similarity[item], -self._popularity[item], item))
        return [(item, similarity[item]) for item in order[:most]]

    def _similar_items(self, query: str) -> dict[int, float]:
        """Return the similarity of the items that may match: that of the most similar of their titles."""
        found: dict[int, float] = {}
        if plain := plain_text(query):
            chosen = self._candidates(plain)
            for title, similarity in zip(chosen, similarities(plain, [self._plain[t] for t in chosen]), strict=True):
                item = self._items[title]
                found[item] = max(found.get(item, 0.0), float(similarity))
        return found | dict.fromkeys(self._same.get(query.strip().casefold(), ()), SAME_SIMILARITY)

    def _candidates(self, plain: str) -> np.ndarray:
        """Return the titles worth comparing: [K] int64."""
        pairs = np.unique(character_pairs(f" {plain}"))
        low, high = (np.searchsorted(self._pair, pairs, side=side) for side in ("left", "right"))
        parts = [self._title[begin:end] for begin, end in zip(low, high, strict=True)]
        shared = np.bincount(np.concatenate(parts), minlength=len(self._plain))  # [T]
        count = min(CANDIDATES, len(shared))
        # The share of the query finds titles that contain it; the share of both finds those that are little else.
        measures = (shared, shared / (self._lengths + len(plain) + 1))
        best = [np.argpartition(-measure, count - 1)[:count] for measure in measures]
        return np.unique(np.concatenate(best))


def other_titles(items: FeatureTable) -> list[str]:
    """Return the names of the columns with titles other than those that are shown."""
    return [name for name in items.table.of_kind("key") if name.startswith(OTHER_TITLES)]


def plain_text(text: str) -> str:
    """Return a text in lower case, without accents and punctuation, and with narrow letters for wide ones."""
    if not text.isascii():
        unaccented = ACCENTS.sub("", unicodedata.normalize("NFKD", text))
        text = unicodedata.normalize("NFKC", unaccented)
    return utils.default_process(text)


def character_pairs(text: str) -> np.ndarray:
    """Return a number for each character and the one after it, a space after the last: [len(text)] int64."""
    codes = np.frombuffer(f"{text} ".encode("utf-32-le"), np.uint32).astype(np.int64)
    return codes[:-1] << CODE_BITS | codes[1:]


def similarities(plain: str, titles: Sequence[str]) -> np.ndarray:
    """Return the similarity of a query and each title, all of them plain: [len(titles)] float32 of 0 to 100.

    It is the highest of three: of the whole texts, of the texts with their words sorted, and, for titles that are at
    least as long as the query, of the query and the most similar part of the title.
    """
    whole, ordered, part = (
        process.cdist([plain], titles, scorer=scorer)[0]
        for scorer in (fuzz.ratio, fuzz.token_sort_ratio, fuzz.partial_ratio)
    )
    longer = np.array([len(title) >= len(plain) for title in titles])
    return np.maximum(np.maximum(whole, ordered), np.where(longer, PARTIAL_WEIGHT * part, 0.0))
