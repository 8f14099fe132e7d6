"""Lists that the model makes. They take a processor for some time, so processes of their own make them.

Legend: I items, S rated items of a user.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from widedeep.common.errors import InputError
from widedeep.config.rerank import RerankConfig
from widedeep.data.rating_lists import ListEntry, read_export
from widedeep.schema.recommendations import Recommendation
from widedeep.scoring.list_rules import ListRules
from widedeep.scoring.loaded_model import LoadedModel
from widedeep.scoring.personal import OwnRatings, match_entries, require_histories
from widedeep.serve.answers import GivenRating, GivenRatings, Source, sentence

MOST_TITLES = 200  # of a list that are searched for: each takes some milliseconds
XML_TYPES = ("application/xml", "text/xml", "application/gzip", "application/x-gzip")


class ListQuery(NamedTuple):
    """What a list is to hold."""

    n: int
    allowed: np.ndarray  # [I] bool
    next_part_only: bool = False  # leave out what has a predecessor that the person has not seen
    franchise_most: int | None = None  # most items of one franchise; None: no limit

    def key(self) -> Hashable:
        """Return what tells it from other queries."""
        return self.n, sha256(self.allowed.tobytes()).digest(), self.next_part_only, self.franchise_most


class PersonalList(NamedTuple):
    """A list, and where it comes from."""

    source: Source
    known: bool  # whether the model knows ratings of the person
    rows: Sequence[Recommendation]
    own: OwnRatings | None = None  # given ratings that it is by


class ModelLists:
    """Makes lists by a model."""

    def __init__(self, model: LoadedModel, rules: ListRules):
        """Compute what all lists share; `rules` know the franchises of items."""
        self._model, self._rules = model, rules
        _ = model.scorer, model.titles  # computed once and kept

    def ready(self) -> bool:
        """Return true: whoever asks waits until everything is loaded."""
        return True

    def for_user(self, user: int, seen: np.ndarray, query: ListQuery) -> PersonalList:
        """Return the list of a user of the data.

        Args:
            user: user index.
            seen: [S] int32 indexes of the items that the user has rated.
            query: what the list is to hold.

        """
        rows = self._model.recommend_to_user(user, query.n, self._rules_of(query), seen)
        return PersonalList("model", bool(self._model.artifact.user_ratings[user]), rows)

    def for_ratings(self, content: bytes, kind: str, query: ListQuery, ignore_below: float | None) -> PersonalList:
        """Return the list of a person by their own ratings.

        Args:
            content: the ratings: `GivenRatings` as JSON, or a list that MyAnimeList exported.
            kind: content type, which tells one from the other.
            query: what the list is to hold.
            ignore_below: lower ratings only say that the item was seen; None: all ratings count.

        Raises:
            InputError: something in it is wrong, no rating is left to go by, or the model cannot take histories.

        """
        model = self._model
        require_histories(model.artifact.model, "use")
        entries = self._entries(content, kind)
        own = match_entries(entries, model.item_of, model.titles, MOST_TITLES)
        if ignore_below is not None:
            kept = own.ratings >= ignore_below
            own = own._replace(items=own.items[kept], ratings=own.ratings[kept])
        if not len(own.items):
            lacking = f"; {own.not_found[0]}" if own.not_found else ""
            raise InputError(f"none of the {len(entries):,} entries is a rating to go by: give at least one{lacking}")
        return PersonalList("model", True, model.recommend_to(own, query.n, self._rules_of(query)), own)

    def _entries(self, content: bytes, kind: str) -> list[ListEntry]:
        artifact = self._model.artifact
        if kind in XML_TYPES:
            return read_export(content, artifact.ids, artifact.scale)
        try:
            given = GivenRatings.model_validate_json(content)
        except ValidationError as error:
            raise InputError(sentence(error.errors(include_url=False))) from None
        return [self._entry(f"ratings[{number}]", one) for number, one in enumerate(given.ratings)]

    def _entry(self, place: str, one: GivenRating) -> ListEntry:
        """Return a given rating as an entry of a list; raise InputError, naming the place, if it is wrong."""
        ids, scale = self._model.artifact.ids, self._model.artifact.scale
        if one.item_id is None and not one.title.strip():
            raise InputError(f"{place} has neither item_id nor title: give one of them")
        if one.rating is not None and not scale.lowest <= one.rating <= scale.highest:
            raise InputError(f"{place}: rating {one.rating:g} is no number of {scale}; null: seen, but not rated")
        item_id = None if one.item_id is None else ids.parse(str(one.item_id), f"{place}: item_id")
        return ListEntry(place, item_id, one.title.strip(), one.rating, False)

    def _rules_of(self, query: ListQuery) -> ListRules:
        config = RerankConfig(next_part_only=query.next_part_only, franchise_most=query.franchise_most)
        return replace(self._rules, config=config, hidden=~query.allowed)
