"""Lists that the model makes. They take a processor for some time, so processes of their own make them.

Legend: I items, S rated items of a user.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from widedeep.common.errors import InputError
from widedeep.config.rerank import RerankConfig
from widedeep.data.rating_lists import ListEntry, read_export
from widedeep.models.artifact import Artifact
from widedeep.schema.recommendations import Recommendation
from widedeep.scoring.list_rules import ListRules
from widedeep.scoring.personal import OwnRatings, match_entries, recommend_to, require_histories
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.title_search import TitleIndex
from widedeep.scoring.user_lists import ListPlan, list_of_user
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
    """Makes lists by a model. It reads no file."""

    def __init__(self, artifact: Artifact, titles: TitleIndex, rules: ListRules):
        """Compute what all lists share.

        Args:
            artifact: the trained model.
            titles: of all items.
            rules: know the franchises of items.

        """
        self._artifact, self._titles, self._rules = artifact, titles, rules
        self._item_of = {identifier: item for item, identifier in enumerate(artifact.item_id.tolist())}
        self._shown = pa.array(titles.shown, pa.string())
        self._scorer = Scorer(artifact.model, len(artifact.item_id))

    def for_user(self, user: int, seen: np.ndarray, query: ListQuery) -> PersonalList:
        """Return the list of a user of the data.

        Args:
            user: user index.
            seen: [S] int32 indexes of the items that the user has rated.
            query: what the list is to hold.

        """
        plan = ListPlan(self._shown, query.n, rules=self._rules_of(query))
        rows = list_of_user(self._artifact, self._scorer, user, seen, plan)
        return PersonalList("model", bool(self._artifact.user_ratings[user]), rows)

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
        require_histories(self._artifact.model, "use")
        entries = self._entries(content, kind)
        own = match_entries(entries, self._item_of, self._titles, MOST_TITLES)
        if ignore_below is not None:
            kept = own.ratings >= ignore_below
            own = own._replace(items=own.items[kept], ratings=own.ratings[kept])
        if not len(own.items):
            lacking = f"; {own.not_found[0]}" if own.not_found else ""
            raise InputError(f"none of the {len(entries):,} entries is a rating to go by: give at least one{lacking}")
        rows = recommend_to(self._artifact, self._shown, own, query.n, self._rules_of(query), self._scorer)
        return PersonalList("model", True, rows, own)

    def _entries(self, content: bytes, kind: str) -> list[ListEntry]:
        artifact = self._artifact
        if kind in XML_TYPES:
            return read_export(content, artifact.ids, artifact.scale)
        try:
            given = GivenRatings.model_validate_json(content)
        except ValidationError as error:
            raise InputError(sentence(error.errors(include_url=False))) from None
        return [self._entry(f"ratings[{number}]", one) for number, one in enumerate(given.ratings)]

    def _entry(self, place: str, one: GivenRating) -> ListEntry:
        """Return a given rating as an entry of a list; raise InputError, naming the place, if it is wrong."""
        ids, scale = self._artifact.ids, self._artifact.scale
        if one.item_id is None and not one.title.strip():
            raise InputError(f"{place} has neither item_id nor title: give one of them")
        if one.rating is not None and not scale.lowest <= one.rating <= scale.highest:
            raise InputError(f"{place}: rating {one.rating:g} is no number of {scale}; null: seen, but not rated")
        item_id = None if one.item_id is None else ids.parse(str(one.item_id), f"{place}: item_id")
        return ListEntry(place, item_id, one.title.strip(), one.rating, False)

    def _rules_of(self, query: ListQuery) -> ListRules:
        config = RerankConfig(next_part_only=query.next_part_only, franchise_most=query.franchise_most)
        return replace(self._rules, config=config, hidden=~query.allowed)
