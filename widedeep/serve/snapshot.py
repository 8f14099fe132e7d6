"""All that the server answers from, as of one moment: a model, its data, and the stored lists.

Legend: I items, U users, S rated items of a user.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

import numpy as np

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.common.recently_used import RecentlyUsed
from widedeep.config.fields import SplitName
from widedeep.config.rerank import RerankConfig
from widedeep.config.serve import ServeConfig
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.models.artifact import MODEL_FILE
from widedeep.schema.manifest import SPLITS, DataFile
from widedeep.schema.recommendations import Recommendation, parse_row
from widedeep.scoring import rerank
from widedeep.scoring.franchises import Franchises
from widedeep.scoring.list_rules import ListRules, hidden_items, make_rules, sample_ratings
from widedeep.scoring.loaded_model import LoadedModel
from widedeep.scoring.stored_lists import StoredLists
from widedeep.serve.catalogue import Catalogue
from widedeep.serve.computing import ModelProcesses
from widedeep.serve.model_lists import ListQuery, PersonalList
from widedeep.training.metrics_file import read_metrics

MOST_MADE = 2000  # lists that are kept, of some 10 KB each


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


@dataclass(frozen=True)
class Snapshot:
    """Answers questions. Nothing in it changes, so all threads share it; `made` is for one thread only."""

    model: LoadedModel
    processes: ModelProcesses  # that make lists by the model
    lists: StoredLists
    catalogue: Catalogue
    rated: RatedItems
    franchises: Franchises
    most_rated_first: Sequence[int]  # [I] item indexes
    raters: int  # users with training ratings
    hidden: np.ndarray  # [I] bool, whether items are left out by default
    hidden_values: tuple[str, ...]
    metrics: Mapping[str, Any]  # metrics.json of the run; empty if it goes on
    loaded_at: str
    # Lists of users that the model has made, by user index and query.
    made: RecentlyUsed[PersonalList] = field(default_factory=lambda: RecentlyUsed(MOST_MADE))

    @property
    def lists_of_this_model(self) -> bool:
        """Whether the stored lists come from the model."""
        return self.lists.manifest.model == self.model.artifact.sha256

    def stored(self, user: int, rows: Sequence[Mapping[str, Any]], query: ListQuery) -> PersonalList | None:
        """Return the stored list of a user, as far as a query lets it through; None if that is too short.

        Args:
            user: user index.
            rows: what `lists` has of the user.
            query: what the list is to hold.

        """
        by_item = {self.model.item_of.get(row[self.model.artifact.ids.item], -1): row for row in rows}
        chosen = list(islice(self._let_through(by_item, self.rated.of(user), query), query.n))
        if len(chosen) < query.n:
            return None
        found = [parse_row(by_item[item], self.model.artifact.ids) for item in chosen]
        return PersonalList("stored", bool(self.model.artifact.user_ratings[user]), found)

    def most_rated(self, query: ListQuery) -> PersonalList:
        """Return the most rated items that a query lets through, for people whom the data does not know."""
        artifact = self.model.artifact
        chosen = islice(self._let_through(self.most_rated_first, np.empty(0, np.int64), query), query.n)
        rows = [
            Recommendation(
                rank=rank,
                item_id=artifact.item_id[[item]].tolist()[0],
                title=self.model.titles.shown[item],
                affinity=float(artifact.item_ratings[item]) / max(1, self.raters),
                predicted_rating=None,
            )
            for rank, item in enumerate(chosen, start=1)
        ]
        return PersonalList("most_rated", False, rows)

    def _let_through(self, items: Iterable[int], seen: np.ndarray, query: ListQuery) -> Iterator[int]:
        """Yield the items that a query lets through, in the order given; -1 stands for an item of other data."""
        allowed = query.allowed
        if query.next_part_only:
            allowed = allowed & ~rerank.unready(self.franchises.before, seen)
        taken: Counter[int] = Counter()
        for item in items:
            if item < 0 or not allowed[item]:
                continue
            franchise = int(self.franchises.number[item])
            if query.franchise_most is None or taken[franchise] < query.franchise_most:
                taken[franchise] += 1
                yield item


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
    rules = cast(ListRules, make_rules(wanted, tables.items, lambda: sample_ratings(tables)))
    hidden_values, metrics = _known_values(config, tables.items), read_metrics(config.run_dir)
    _ = model.vectors("items"), model.titles, model.item_of, model.user_order  # computed once and kept
    log.info("loaded %s in %.1f s", config.run_dir, time.monotonic() - began)
    return Snapshot(
        model=model,
        processes=ModelProcesses(config.run_dir / MODEL_FILE, artifact.sha256, model.titles, rules, config.processes),
        lists=lists,
        catalogue=Catalogue(tables.items, artifact, manifest.dataset, config.posters),
        rated=_rated(model, lists),
        franchises=cast(Franchises, rules.franchises),
        most_rated_first=np.argsort(-artifact.item_ratings, kind="stable").tolist(),
        raters=int((artifact.user_ratings > 0).sum()),
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
    return replace(snapshot, lists=lists, rated=rated, loaded_at=_now(), made=RecentlyUsed(MOST_MADE))


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
