"""A trained model with its data, as Python code uses it: lists, predicted ratings and neighbours.

Legend: P items asked about, T users or items.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.rerank import RerankConfig
from widedeep.data.rating_lists import entry_of, read_rating_pairs
from widedeep.schema.recommendations import Recommendation
from widedeep.scoring.list_rules import ListRules, make_rules, sample_ratings
from widedeep.scoring.personal import (
    OwnRatings,
    as_histories,
    find_item,
    match_entries,
    recommend_to,
    require_histories,
)
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.title_search import TitleIndex
from widedeep.scoring.user_lists import ListPlan, list_of_user
from widedeep.scoring.vectors import TrainedModel, load_trained, nearest

# A person's ratings: (identifier or title, rating); None: seen, but not rated.
History = Iterable[tuple[int | str, float | None]]


class Neighbour(NamedTuple):
    """An item or a user like the one that was asked about."""

    rank: int  # from 1
    id: int | str  # of the item or the user
    name: str  # title of the item, name of the user
    cosine: float
    train_ratings: int  # training ratings


class LoadedModel:
    """A trained model that answers questions about users of the data, other people, and items.

    Identifiers are those of the data set. An item is named by its identifier or by any of its titles; small errors of
    typing are forgiven, and the log then has a warning that says what a title was taken for. What questions share, such
    as the encodings of all items, is computed when first needed and kept.
    """

    def __init__(self, run_dir: Path, data: Path):
        """Read a run and the prepared directory that it was trained on; raises what `widedeep.load` raises."""
        self.trained: TrainedModel = load_trained(run_dir, data)
        self.artifact = self.trained.artifact
        self._run_dir = run_dir
        self._vectors: dict[str, Tensor] = {}

    # --- questions -----------------------------------------------------------------------------------

    def recommend(
        self,
        *,
        user_id: int | str | None = None,
        history: History | None = None,
        n: int = 10,
        rerank: RerankConfig | None = None,
    ) -> list[Recommendation]:
        """Return the best items that a person has not rated, best first; give either `user_id` or `history`.

        Users of the data get the list that `widedeep score-all` writes for them by default.

        Args:
            user_id: a user of the data.
            history: the ratings of a person, who need not be in the data: (identifier or title, rating). A rating of
                None means seen, but not rated. If an item is there twice, its last rating counts.
            n: length of the list; it is shorter only if there are fewer items.
            rerank: what the list may hold and how it is chosen; None: it has the best items.

        Raises:
            InputError: both or neither of `user_id` and `history`; a user or an item that the data does not have; a
                rating off the scale; no rating at all; a model that cannot take histories; `rerank` names what the
                items do not have; n is below 1.

        """
        require_positive("n", n)
        person, rules = self._person(user_id, history), self.rules(rerank or RerankConfig())
        if isinstance(person, OwnRatings):
            return self.recommend_to(person, n, rules)
        return self.recommend_to_user(person, n, rules)

    def predict(
        self, items: Sequence[int | str], *, user_id: int | str | None = None, history: History | None = None
    ) -> np.ndarray:
        """Predict a person's ratings of items; give either `user_id` or `history`, as for `recommend`.

        Args:
            items: P identifiers or titles.
            user_id: a user of the data.
            history: the ratings of a person, who need not be in the data.

        Returns:
            [P] float32, within the scale of the ratings. For an item that the person has rated, it is what the model
            makes of it, not the rating.

        Raises:
            InputError: as of `recommend`; or the model was trained to rank only.

        """
        person = self._person(user_id, history)
        if not self.artifact.model.rates:
            raise InputError(
                f"the model in {self._run_dir} was trained to rank only, so it predicts no ratings: if the data has "
                "any, train with a loss of ratings, such as --loss mse or joint_bpr"
            )
        chosen = np.array([[self.item_index(item, f"items[{n}]") for n, item in enumerate(items)]], np.int64)  # [1, P]
        if not chosen.size:
            return np.empty(0, np.float32)
        if isinstance(person, OwnRatings):
            ratings = self.scorer.ratings_of_histories(as_histories(person), chosen)
        else:
            ratings = self.scorer.ratings_of(np.array([person], np.int32), chosen)
        return ratings[0].clip(self.artifact.scale.lowest, self.artifact.scale.highest)

    def similar(self, item: int | str, n: int = 10, min_ratings: int = 10) -> list[Neighbour]:
        """Return the items whose learnt vectors have the highest cosine to that of an item, which is left out.

        Args:
            item: identifier or title.
            n: number of neighbours; there are fewer if the data has fewer.
            min_ratings: training ratings that a neighbour must have; a model learns little from fewer.

        Raises:
            InputError: the data does not have the item, or n is below 1.

        """
        return self.neighbours("items", self.item_index(item, "item"), n, min_ratings)

    def similar_users(self, user_id: int | str, n: int = 10, min_ratings: int = 10) -> list[Neighbour]:
        """Return the users like a user of the data; see `similar`. Vectors and names of all users stay in memory."""
        return self.neighbours("users", self.user_index(user_id), n, min_ratings)

    # --- parts of them, which commands use, too ------------------------------------------------------

    @cached_property
    def titles(self) -> TitleIndex:
        """All titles of all items."""
        return TitleIndex.of_table(self.trained.tables.items, self.artifact.item_ratings.tolist())

    @cached_property
    def _shown_titles(self) -> pa.Array:
        return pa.array(self.titles.shown, pa.string())

    @cached_property
    def _usernames(self) -> list[str]:
        return self.trained.tables.users.strings("username")

    @cached_property
    def scorer(self) -> Scorer:
        """Scores all items."""
        return Scorer(self.artifact.model, len(self.artifact.item_id))

    @cached_property
    def item_of(self) -> dict[int | str, int]:
        """Identifier -> item index."""
        return {identifier: item for item, identifier in enumerate(self.artifact.item_id.tolist())}

    def rules(self, config: RerankConfig) -> ListRules | None:
        """Return what lists may hold and how they are chosen; None if the settings ask for nothing."""
        tables = self.trained.tables
        return make_rules(config, tables.items, lambda: sample_ratings(tables))

    def user_index(self, user_id: int | str) -> int:
        """Return the user index of a user id; raise InputError if the data does not have it."""
        user = self.find_user(self.artifact.ids.parse(str(user_id), "user"))
        if user is None:
            raise InputError(f"user {user_id} is not among the {len(self.artifact.user_id):,} users of the data")
        return user

    def find_user(self, user_id: int | str) -> int | None:
        """Return the user index of an identifier, of the type that the data set has; None if there is no such user."""
        known, order = self.artifact.user_id, self.user_order
        place = int(np.searchsorted(known, user_id, sorter=order))
        return int(order[place]) if place < len(known) and known[order[place]] == user_id else None

    @cached_property
    def user_order(self) -> np.ndarray:
        """User indexes by ascending identifier, [users]: they take less memory than a dictionary."""
        return np.argsort(self.artifact.user_id)

    def item_index(self, item: int | str, place: str) -> int:
        """Return the item index of an identifier or a title.

        Args:
            item: identifier or title.
            place: where it was given, for messages.

        Raises:
            InputError: the data does not have the item.

        """
        try:
            found, guess = find_item(entry_of(place, item, self.item_of), self.item_of, self.titles)
        except InputError as error:
            raise InputError(f"{place}: {error}") from None
        if guess:
            log.warning(guess)
        return found

    def recommend_to(self, own: OwnRatings, n: int, rules: ListRules | None = None) -> list[Recommendation]:
        """Return the best items of a person by their ratings; the model must be one that `encodes_histories`."""
        return recommend_to(self.artifact, self._shown_titles, own, n, rules, self.scorer)

    def recommend_to_user(self, user: int, n: int, rules: ListRules | None = None) -> list[Recommendation]:
        """Return the list that batch scoring makes for a user of the data; what they have rated is read from files."""
        shards = [shard for split in self.trained.manifest.ratings.shards.values() for shard in split]
        seen = self.trained.tables.rated_items(user, shards)
        return list_of_user(self.artifact, self.scorer, user, seen, ListPlan(self._shown_titles, n, rules=rules))

    def neighbours(
        self, side: str, index: int, n: int, min_ratings: int, among: np.ndarray | None = None
    ) -> list[Neighbour]:
        """Return the most similar users or items, the most similar first; see `similar`.

        Args:
            side: `users` or `items`.
            index: user or item index.
            n: number of neighbours.
            min_ratings: training ratings that a neighbour must have.
            among: [T] bool, whether each may be a neighbour; None: all.

        """
        require_positive("n", n)
        ids, ratings, names = self.described(side)
        if not ratings[index]:
            log.warning("%r has no training ratings: the model knows little or nothing about it", names[index])
        allowed = ratings >= min_ratings if among is None else among & (ratings >= min_ratings)
        found, cosines = nearest(self.vectors(side), index, torch.from_numpy(allowed), n)
        other = found.numpy()
        columns = ids[other].tolist(), [names[int(row)] for row in other], cosines.tolist(), ratings[other].tolist()
        return [Neighbour(rank, *row) for rank, row in enumerate(zip(*columns, strict=True), start=1)]

    def vectors(self, side: str) -> Tensor:
        """Return the unit vectors of all `users` or `items`, [T, D], which are computed once."""
        if side not in self._vectors:
            self._vectors[side] = self.trained.vectors(side)
        return self._vectors[side]

    def described(self, side: str) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
        """Return the identifiers [T], numbers of training ratings [T] and names of all `users` or `items`."""
        artifact = self.artifact
        if side == "users":
            return artifact.user_id, artifact.user_ratings, self._usernames
        return artifact.item_id, artifact.item_ratings, self.titles.shown

    def _person(self, user_id: int | str | None, history: History | None) -> int | OwnRatings:
        """Return the index of a user of the data, or what the data knows of somebody's ratings."""
        if user_id is not None and history is None:
            return self.user_index(user_id)
        if user_id is None and history is not None:
            return self._own_ratings(history)
        raise InputError("give either user_id, for a user of the data, or history, for the ratings of anybody")

    def _own_ratings(self, history: History) -> OwnRatings:
        require_histories(self.artifact.model, self._run_dir)
        entries = read_rating_pairs(history, self.item_of, self.artifact.scale)
        own = match_entries(entries, self.item_of, self.titles)
        if own.not_found:
            raise InputError(f"{'; '.join(own.not_found)}: leave out what the data does not have")
        if not len(own.items):
            raise InputError("history has no rating, so there is nothing to go by: give at least one")
        for remark in own.remarks:
            log.warning(remark)
        return own


def require_positive(name: str, count: int) -> None:
    """Raise InputError if a number of answers is below 1."""
    if count < 1:
        raise InputError(f"{name} is {count}: ask for at least 1")
