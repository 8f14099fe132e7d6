"""All that the server answers from, as of one moment: a model, its data, and the stored lists.

Legend: I items, U users, S rated items of a user.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple, cast

import numpy as np

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.fields import SplitName
from widedeep.config.rerank import RerankConfig
from widedeep.config.serve import ServeConfig
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.data.rating_lists import ListEntry
from widedeep.schema.manifest import SPLITS, DataFile
from widedeep.schema.recommendations import Recommendation, parse_row
from widedeep.scoring import rerank
from widedeep.scoring.franchises import Franchises
from widedeep.scoring.list_rules import ListRules, hidden_items, make_rules, sample_ratings
from widedeep.scoring.loaded_model import LoadedModel
from widedeep.scoring.personal import OwnRatings, match_entries, require_histories
from widedeep.scoring.stored_lists import StoredLists
from widedeep.serve.answers import GivenRating, Source
from widedeep.serve.catalogue import Catalogue
from widedeep.training.metrics_file import read_metrics

MOST_TITLES = 200  # of a list that are searched for: each takes some milliseconds


class RatedItems:
    """What each user has rated, in memory: 4 bytes a rating."""

    def __init__(self, tables: Tables, shards: Sequence[DataFile]):
        """Read the ratings of some shards."""
        users = tables.users.rows
        user, item = np.empty(0, np.int32), np.empty(0, np.int32)
        if shards:
            user, item, _ = tables.read_ratings(shards)
        self._items = item[np.argsort(user, kind="stable")]
        self._ends = np.cumsum(np.bincount(user, minlength=users))  # [U]

    def of(self, user: int) -> np.ndarray:
        """Return the items that a user has rated: [S] int32 item indexes."""
        return self._items[self._ends[user - 1] if user else 0 : self._ends[user]]


class Query(NamedTuple):
    """What a list is to hold."""

    n: int
    allowed: np.ndarray  # [I] bool
    next_part_only: bool = False  # leave out what has a predecessor that the person has not seen
    franchise_most: int | None = None  # most items of one franchise; None: no limit


class PersonalList(NamedTuple):
    """A list, and where it comes from."""

    source: Source
    known: bool  # whether the model knows ratings of the person
    rows: Sequence[Recommendation]
    own: OwnRatings | None = None  # given ratings that it is by


@dataclass(frozen=True)
class Snapshot:
    """Answers questions. Nothing in it changes, so all threads share it."""

    model: LoadedModel
    lists: StoredLists
    catalogue: Catalogue
    rated: RatedItems
    rules: ListRules
    hidden: np.ndarray  # [I] bool, whether items are left out by default
    hidden_values: tuple[str, ...]
    metrics: Mapping[str, Any]  # metrics.json of the run; empty if it goes on
    loaded_at: str

    @property
    def lists_of_this_model(self) -> bool:
        """Whether the stored lists come from the model."""
        return self.lists.manifest.model == self.model.artifact.sha256

    # --- users of the data ---------------------------------------------------------------------------

    def user_index(self, user_id: int | str) -> int | None:
        """Return the user index of an identifier, None if the data does not have the user."""
        index = np.flatnonzero(self.model.artifact.user_id == user_id)
        return int(index[0]) if len(index) else None

    def for_user(self, user_id: int | str, query: Query) -> PersonalList:
        """Return the list of a user: the stored one if it has enough, else the model's; for others the most rated."""
        user = self.user_index(user_id)
        if user is None:
            return PersonalList("most_rated", False, self._most_rated(query))
        if stored := self._stored(user, query):
            return stored
        rows = self.model.recommend_to_user(user, query.n, self._rules_of(query), self.rated.of(user))
        return PersonalList("model", self._knows(user), rows)

    def at_hand(self, user_id: int | str, query: Query) -> PersonalList | None:
        """Return what `for_user` does if it takes no reading and no model, else None."""
        user = self.user_index(user_id)
        if user is None:
            return self.for_user(user_id, query)
        return self._stored(user, query) if self.lists.is_cached(user_id) else None

    def _stored(self, user: int, query: Query) -> PersonalList | None:
        """Return the stored list, as far as a query lets it through; None if that is too short."""
        artifact = self.model.artifact
        rows = [parse_row(row, artifact.ids) for row in self.lists.rows_of(artifact.user_id[[user]].tolist()[0])]
        by_item = {self.model.item_of.get(row.item_id, -1): row for row in rows}
        chosen = [by_item[item] for item in self._let_through(by_item, self.rated.of(user), query)]
        return PersonalList("stored", self._knows(user), chosen[: query.n]) if len(chosen) >= query.n else None

    def _knows(self, user: int) -> bool:
        return bool(self.model.artifact.user_ratings[user])

    def _let_through(self, items: Iterable[int], seen: np.ndarray, query: Query) -> Iterator[int]:
        """Yield the items that a query lets through, in the order given; -1 stands for an item of other data."""
        allowed, franchises = query.allowed, cast(Franchises, self.rules.franchises)
        if query.next_part_only:
            allowed = allowed & ~rerank.unready(franchises.before, seen)
        taken: Counter[int] = Counter()
        for item in items:
            if item < 0 or not allowed[item]:
                continue
            franchise = int(franchises.number[item])
            if query.franchise_most is None or taken[franchise] < query.franchise_most:
                taken[franchise] += 1
                yield item

    def _most_rated(self, query: Query) -> list[Recommendation]:
        """Return the most rated items that a query lets through, for people of whom nothing is known."""
        artifact = self.model.artifact
        people = max(1, int((artifact.user_ratings > 0).sum()))
        order = np.argsort(-artifact.item_ratings, kind="stable").tolist()
        chosen = islice(self._let_through(order, np.empty(0, np.int64), query), query.n)
        return [
            Recommendation(
                rank=rank,
                item_id=artifact.item_id[[item]].tolist()[0],
                title=self.model.titles.shown[item],
                affinity=float(artifact.item_ratings[item]) / people,
                predicted_rating=None,
            )
            for rank, item in enumerate(chosen, start=1)
        ]

    def _rules_of(self, query: Query) -> ListRules:
        config = RerankConfig(next_part_only=query.next_part_only, franchise_most=query.franchise_most)
        return replace(self.rules, config=config, hidden=~query.allowed)

    # --- other people --------------------------------------------------------------------------------

    def entries(self, given: Sequence[GivenRating]) -> list[ListEntry]:
        """Return given ratings as entries of a list; raise InputError, naming the entry, if one is wrong."""
        ids, scale = self.model.artifact.ids, self.model.artifact.scale
        entries = []
        for number, one in enumerate(given):
            place = f"ratings[{number}]"
            if one.item_id is None and not one.title.strip():
                raise InputError(f"{place} has neither item_id nor title: give one of them")
            if one.rating is not None and not scale.lowest <= one.rating <= scale.highest:
                raise InputError(f"{place}: rating {one.rating:g} is no number of {scale}; null: seen, but not rated")
            item_id = None if one.item_id is None else ids.parse(str(one.item_id), f"{place}: item_id")
            entries.append(ListEntry(place, item_id, one.title.strip(), one.rating, False))
        return entries

    def for_ratings(self, entries: Sequence[ListEntry], query: Query, ignore_below: float | None) -> PersonalList:
        """Return the list of a person by their own ratings.

        Args:
            entries: the ratings.
            query: what the list is to hold.
            ignore_below: lower ratings only say that the item was seen; None: all ratings count.

        Raises:
            InputError: no rating is left to go by, or the model cannot take histories.

        """
        require_histories(self.model.artifact.model, "use")
        own = match_entries(entries, self.model.item_of, self.model.titles, MOST_TITLES)
        if ignore_below is not None:
            kept = own.ratings >= ignore_below
            own = own._replace(items=own.items[kept], ratings=own.ratings[kept])
        if not len(own.items):
            lacking = f"; {own.not_found[0]}" if own.not_found else ""
            raise InputError(f"none of the {len(entries):,} entries is a rating to go by: give at least one{lacking}")
        return PersonalList("model", True, self.model.recommend_to(own, query.n, self._rules_of(query)), own)


def load_snapshot(config: ServeConfig) -> Snapshot:
    """Read everything and compute what all questions share.

    Raises:
        InputError: something cannot be read, or does not belong together.
        DamagedFileError: a file is not what was written.

    """
    began = time.monotonic()
    model = LoadedModel(config.run_dir, config.data)
    artifact, manifest, tables = model.artifact, model.trained.manifest, model.trained.tables
    lists = _open_lists(config, model)
    wanted = RerankConfig(next_part_only=True, relations=config.relations)
    rules = make_rules(wanted, tables.items, lambda: sample_ratings(tables))
    hidden_values, metrics = _known_values(config, tables.items), read_metrics(config.run_dir)
    _ = model.vectors("items"), model.scorer, model.titles  # computed once and kept
    log.info("loaded %s in %.1f s", config.run_dir, time.monotonic() - began)
    return Snapshot(
        model=model,
        lists=lists,
        catalogue=Catalogue(tables.items, artifact, manifest.dataset, config.posters),
        rated=_rated(model, lists),
        rules=cast(ListRules, rules),
        hidden=hidden_items(hidden_values, tables.items),
        hidden_values=hidden_values,
        metrics=metrics.model_dump(mode="json") if metrics else {},
        loaded_at=_now(),
    )


def with_newer_lists(snapshot: Snapshot, config: ServeConfig) -> Snapshot:
    """Return a snapshot with the lists that are stored now; raises what `load_snapshot` raises."""
    lists = _open_lists(config, snapshot.model)
    same = _excluded(lists) == _excluded(snapshot.lists)
    rated = snapshot.rated if same else _rated(snapshot.model, lists)
    return replace(snapshot, lists=lists, rated=rated, loaded_at=_now())


def _open_lists(config: ServeConfig, model: LoadedModel) -> StoredLists:
    lists = StoredLists(config.recommendations, config.verify, int(config.cache_mb * 1e6))
    if lists.manifest.ids != model.artifact.ids:
        raise InputError(
            f"{config.recommendations} names users and items otherwise than {config.data}, so its lists are of another "
            "data set: name those of this one with --recommendations"
        )
    if lists.manifest.model != model.artifact.sha256:
        log.warning("the lists in %s come from another model than %s", config.recommendations, config.run_dir)
    return lists


def _excluded(lists: StoredLists) -> tuple[SplitName, ...]:
    """Return the splits whose items stored lists leave out."""
    return tuple(lists.manifest.config.get("exclude", SPLITS))


def _rated(model: LoadedModel, lists: StoredLists) -> RatedItems:
    shards = model.trained.manifest.ratings.shards
    return RatedItems(model.trained.tables, [shard for split in _excluded(lists) for shard in shards[split]])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _known_values(config: ServeConfig, items: FeatureTable) -> tuple[str, ...]:
    """Return what to hide; of the default, only what the data has."""
    if "hide" in config.model_fields_set:
        return config.hide
    named = (rule.split("=", 1) for rule in config.hide)
    vocabularies = items.table.vocabularies
    return tuple(f"{column}={value}" for column, value in named if value in vocabularies.get(column, ()))
