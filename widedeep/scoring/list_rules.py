"""The settings `[rerank]` applied to the items of a prepared directory: what lists may hold, and how they are chosen.

Legend: N items recommended, R ratings, I items, G genres.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from widedeep.common.errors import InputError
from widedeep.config.rerank import RerankConfig
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.scoring import rerank
from widedeep.scoring.franchises import Franchises, confirm, find_franchises, read_relations
from widedeep.scoring.scorer import TopItems

# Users whose ratings tell which parts of a franchise are watched one after the other.
USERS_ASKED = 50_000
MOST_NAMED = 40

# Returns the users and the items, [R] each, of the training ratings of USERS_ASKED users.
SampleRatings = Callable[[], tuple[np.ndarray, np.ndarray]]


def sample_step(users: int) -> int:
    """Return which of the users to ask, every how many-th, to get USERS_ASKED at most."""
    return -(-users // USERS_ASKED)


def sample_ratings(tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Return the users and items of the training ratings of a sample of users; see `make_rules`."""
    user, item, _ = tables.train_ratings()
    kept = user % sample_step(tables.users.rows) == 0
    return user[kept], item[kept]


@dataclass(frozen=True)
class ListRules:
    """Rules as arrays, which can be sent to other machines."""

    config: RerankConfig
    hidden: np.ndarray  # [I] bool, whether no list may hold an item
    ratings: np.ndarray  # [I] training ratings of each item
    franchises: Franchises | None
    genres: np.ndarray | None  # [I, G] float32, rows of length 1, or 0 for items without genres

    def leave_out(self, seen: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the items that the list of each user leaves out, given those that the user has seen."""
        return [np.flatnonzero(self._left_out(items)) for items in seen]

    def _left_out(self, seen: np.ndarray) -> np.ndarray:
        left_out = self.hidden.copy()
        left_out[seen] = True
        if self.franchises is not None and self.config.next_part_only:
            left_out |= rerank.unready(self.franchises.before, seen)
        return left_out

    def choose(self, candidates: TopItems, n: int) -> TopItems:
        """Choose the lists of users, of N items, from their candidates, best first."""
        config, items = self.config, candidates.items
        known = rerank.familiarity(self.ratings)
        wanted = rerank.relevance(candidates.affinities, items, known, config.popularity_discount)
        groups = None if self.franchises is None else self.franchises.number[items]
        vectors = None if self.genres is None else self.genres[items]
        draws = rerank.draws(items, self.ratings) if config.explore else None
        chosen = rerank.choose(
            wanted, n, groups, config.franchise_most, vectors, config.diversity, draws, config.explore
        )
        items, affinities, ratings = (np.take_along_axis(part, chosen, 1) for part in candidates)
        return TopItems(np.where(chosen < 0, -1, items), affinities, ratings)


def make_rules(config: RerankConfig, items: FeatureTable, sample: SampleRatings) -> ListRules | None:
    """Return the rules for a feature table of items; None if the settings ask for none.

    Raises:
        InputError: the settings name values that the items do not have, or the table lacks a column.

    """
    if not config.active:
        return None
    by_franchise = config.franchise_most is not None or config.next_part_only
    return ListRules(
        config=config,
        hidden=hidden_items(config.hide, items),
        ratings=items.values("train_ratings"),
        franchises=franchises_of(items, config, sample) if by_franchise else None,
        genres=torch.nn.functional.normalize(items.multi_hot("genres")).numpy() if config.diversity else None,
    )


def hidden_items(hide: Sequence[str], items: FeatureTable) -> np.ndarray:
    """Return whether each item, [I], has any of some values, each as `column=value`.

    Raises:
        InputError: there is no such column of categories or no such value; the message names those there are.

    """
    hidden = torch.zeros(items.rows, dtype=torch.bool)
    for rule in hide:
        column, _, value = (part.strip() for part in rule.partition("="))
        known = items.vocabulary(column)
        if value not in known:
            names = ", ".join(map(repr, known[:MOST_NAMED])) + (" …" if len(known) > MOST_NAMED else "")
            raise InputError(f"rerank.hide: {rule!r}: no {column} is {value!r}; name one of {names}")
        hidden |= (items.category_ids(column) == known.index(value)).any(1)
    return hidden.numpy()


def franchises_of(items: FeatureTable, config: RerankConfig, sample: SampleRatings) -> Franchises:
    """Return the franchises of items, as the file of relations tells them, or else their titles."""
    item_id = items.values("item_id")
    relations = read_relations(Path(config.relations), item_id) if config.relations else None
    aired = items.unscaled("aired_start") if items.has("aired_start") else np.full(items.rows, np.nan)
    types = items.category_names("type") if items.has("type") else [""] * items.rows
    found = find_franchises(items.own_titles(), aired, types, item_id.tolist(), relations)
    if relations is None and config.next_part_only:
        return found._replace(before=confirm(found.before, *sample()))
    return found
