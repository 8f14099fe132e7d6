"""Ranking metrics of many users at once, computed from arrays.

A list is judged by its first TOP_LENGTH items, recall by its first LIST_LENGTH. Relevance is binary.

Legend: U users, N listed items of all users together, M relevant items of all users, I items, G genres.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from widedeep.schema.evaluation import LIST_LENGTH, TOP_LENGTH

DISCOUNTS = 1.0 / np.log2(np.arange(LIST_LENGTH) + 2.0)  # [rank - 1]
IDEAL_GAINS = np.cumsum(DISCOUNTS)  # [n - 1], the DCG of a list whose first n items are relevant
# Metrics that are averaged over all users, and those averaged over the users for whom they are defined.
ACCURACY = ("ndcg_at_10", "recall_at_20", "map_at_10", "mrr_at_10", "hit_rate_at_10")
CHARACTER = ("novelty_at_10", "diversity_at_10")


class ItemFacts(NamedTuple):
    """What CHARACTER needs to know about the items."""

    bits: np.ndarray  # [I] float64, self-information
    genres: csr_array  # [I, G] float64, rows of length 1; all zeros for items without genres


class Lists(NamedTuple):
    """One sequence of items per user, laid end to end."""

    items: np.ndarray  # [N] item indices
    starts: np.ndarray  # [U + 1], where the list of each user begins, then the end

    @classmethod
    def from_rows(cls, rows: Sequence[Iterable[int]]) -> "Lists":
        """Lay the rows of all users end to end."""
        parts = [np.fromiter(row, np.int64) for row in rows]
        return cls(np.concatenate([np.empty(0, np.int64), *parts]), np.cumsum([0, *map(len, parts)]))

    @classmethod
    def from_arrow(cls, column: pa.ListArray) -> "Lists":
        """The lists of a column, a user per row."""
        starts = column.offsets.to_numpy()
        return cls(column.flatten().to_numpy(), starts - starts[0])

    @property
    def users(self) -> np.ndarray:
        """[N] the user, 0 … U - 1, of each item."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def item_facts(train_ratings: np.ndarray, train_users: int, genres: Lists, vocabulary: int) -> ItemFacts:
    """The facts about items 0 … I - 1.

    The information of an item is -log2 of the share of the training users who rated it (Vargas & Castells, 2011).
    An item without training ratings counts as if one user had rated it.

    Args:
        train_ratings: [I] counts.
        train_users: number of users with training ratings.
        genres: category ids of the genres of each item.
        vocabulary: G.

    """
    bits = -np.log2(np.maximum(train_ratings, 1) / max(1, train_users))
    lengths = np.diff(genres.starts)
    weights = np.repeat(1.0 / np.sqrt(np.maximum(lengths, 1)), lengths)
    return ItemFacts(bits, csr_array((weights, genres.items, genres.starts), shape=(len(bits), vocabulary)))


def accuracy_metrics(listed: Lists, relevant: Lists) -> dict[str, np.ndarray]:
    """ACCURACY of each user, [U] float64 each.

    With hit(r) = 1 if the item at rank r is relevant and R = the number of the user's relevant items:

        ndcg_at_10      sum of hit(r) / log2(r + 1) over r <= 10, divided by the sum of 1 / log2(r + 1) over
                        r <= min(R, 10) (Järvelin & Kekäläinen, 2002)
        recall_at_20    hits among the first 20 / R
        map_at_10       sum of hit(r) * (hits up to r) / r over r <= 10, divided by min(R, 10)
        mrr_at_10       1 / rank of the first hit among the first 10; 0 without one
        hit_rate_at_10  1 if there is a hit among the first 10, else 0

    Args:
        listed: at most LIST_LENGTH different items of each user, best first.
        relevant: the relevant items of each user, at least one.

    """
    user, users = listed.users, len(listed.starts) - 1
    place = np.arange(len(user)) - listed.starts[user]  # [N], rank - 1
    hit, top = _hits(listed, relevant), place < TOP_LENGTH
    relevant_count = np.diff(relevant.starts)  # [U]
    reachable = np.minimum(relevant_count, TOP_LENGTH)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(user, values, users)

    hits_so_far = np.cumsum(hit)
    hits_so_far -= np.r_[0, hits_so_far][listed.starts[user]]  # without the hits of the users before
    first_rank = np.full(users, np.inf)
    np.minimum.at(first_rank, user[hit & top], place[hit & top] + 1)
    return {
        "ndcg_at_10": total(hit * top * DISCOUNTS[place]) / IDEAL_GAINS[reachable - 1],
        "recall_at_20": total(hit) / relevant_count,
        "map_at_10": total(hit * top * hits_so_far / (place + 1)) / reachable,
        "mrr_at_10": 1.0 / first_rank,
        "hit_rate_at_10": np.isfinite(first_rank).astype(np.float64),
    }


def _hits(listed: Lists, relevant: Lists) -> np.ndarray:
    """[N] bool, whether each listed item is relevant to its user."""
    size = 1 + max(int(listed.items.max(initial=0)), int(relevant.items.max(initial=0)))
    return np.isin(listed.users * size + listed.items, relevant.users * size + relevant.items)


def character_metrics(listed: Lists, items: ItemFacts) -> dict[str, np.ndarray]:
    """CHARACTER of each user, [U] float64 each; NaN for users without what a metric needs.

    novelty_at_10 is the mean self-information of the first 10 items; diversity_at_10 is 1 - the mean cosine of the
    genres of two of them (Smyth & McClave, 2001), without the items of unknown genre.

    Args:
        listed: at most LIST_LENGTH different items of each user, best first.
        items: facts about all items.

    """
    user, users = listed.users, len(listed.starts) - 1
    top = np.arange(len(user)) - listed.starts[user] < TOP_LENGTH
    with np.errstate(invalid="ignore"):  # 0 / 0 for users without lists
        novelty = np.bincount(user, top * items.bits[listed.items], users) / np.bincount(user, top, users)
    shape = (users, len(items.bits))
    return {
        "novelty_at_10": novelty,
        "diversity_at_10": _diversity(csr_array((top * 1.0, listed.items, listed.starts), shape=shape), items),
    }


def _diversity(listed: csr_array, items: ItemFacts) -> np.ndarray:
    """1 - the mean cosine of the genres of two listed items, [U].

    For n unit vectors, the cosines of all ordered pairs add up to the squared length of the vectors' sum, less n.

    Args:
        listed: [U, I] ones.
        items: facts about all items.

    """
    sums = csr_array(listed @ items.genres).toarray()  # [U, G]
    n = listed @ (np.diff(items.genres.indptr) > 0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):  # a single item makes no pair
        return np.where(n > 1, 1.0 - ((sums**2).sum(axis=1) - n) / (n * (n - 1)), np.nan)


def mean_ranking_metrics(
    lists: Mapping[int, Sequence[int]], relevant: Mapping[int, set[int]], items: int
) -> dict[str, float]:
    """Means of NDCG@10 and Recall@20 over users, and the share of all items that are in some user's first 10.

    Args:
        lists: user -> recommended items, best first, LIST_LENGTH of them if there are as many.
        relevant: user -> relevant items. Users who have none are left out.
        items: number of all items.

    """
    users = [user for user in lists if relevant.get(user)]
    if not users:
        return {"ndcg_at_10": math.nan, "recall_at_20": math.nan, "coverage_at_10": math.nan, "users": 0}
    listed = Lists.from_rows([lists[user][:LIST_LENGTH] for user in users])
    metrics = accuracy_metrics(listed, Lists.from_rows([relevant[user] for user in users]))
    top = {item for user in users for item in lists[user][:TOP_LENGTH]}
    return {
        "ndcg_at_10": sum(metrics["ndcg_at_10"].tolist()) / len(users),
        "recall_at_20": sum(metrics["recall_at_20"].tolist()) / len(users),
        "coverage_at_10": len(top) / items,
        "users": len(users),
    }
