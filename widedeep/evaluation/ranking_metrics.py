"""Figures of many users' lists at once, from arrays.

Legend: U users, N items shown to all of them together, M relevant items of all of them, I items, G genres.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from widedeep.schema.evaluation import DEPTH, SHOWN

DISCOUNTS = 1.0 / np.log2(np.arange(DEPTH) + 2.0)
IDEALS = np.cumsum(DISCOUNTS)  # of 1, 2, … relevant items
# Figures that are averaged over all users, and over those who have what they speak of.
ACCURACY = ("ndcg_at_10", "recall_at_20", "map_at_10", "mrr_at_10", "hit_rate_at_10")
CHARACTER = ("novelty_at_10", "diversity_at_10")


class Catalogue(NamedTuple):
    """What the figures need to know of the items."""

    bits: np.ndarray  # [I] float64, self-information
    genres: csr_array  # [I, G] float64, rows of length 1; of items without genres all zeros


class Lists(NamedTuple):
    """One sequence of items for each user, one after the other."""

    items: np.ndarray  # [N] positions
    starts: np.ndarray  # [U + 1], where each user's begin, and the end

    @property
    def users(self) -> np.ndarray:
        """[N] the user, 0 … U - 1, of each item."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def catalogue(train_ratings: np.ndarray, train_users: int, genres: Lists, vocabulary: int) -> Catalogue:
    """The catalogue of the items at positions 0 … I - 1.

    The information of an item is -log2 of the share of the training users who rated it (Vargas & Castells, 2011);
    an item without training ratings counts as one with a single one.

    Args:
        train_ratings: [I] counts.
        train_users: number of users with training ratings.
        genres: the codes of each item.
        vocabulary: G.

    """
    bits = -np.log2(np.maximum(train_ratings, 1) / max(1, train_users))
    lengths = np.diff(genres.starts)
    weights = np.repeat(1.0 / np.sqrt(np.maximum(lengths, 1)), lengths)
    return Catalogue(bits, csr_array((weights, genres.items, genres.starts), shape=(len(bits), vocabulary)))


def list_figures(shown: Lists, relevant: Lists, items: Catalogue) -> dict[str, np.ndarray]:
    """ACCURACY and CHARACTER of each user; widedeep.schema.evaluation.RankingFigures says what each of them is.

    Args:
        shown: at most DEPTH different items of each user, best first.
        relevant: the relevant items of each user, one at least.
        items: of the catalogue.

    Returns:
        [U] float64 each. CHARACTER is NaN of a user without what it speaks of.

    """
    user, count = shown.users, len(shown.starts) - 1
    place = np.arange(len(user)) - shown.starts[user]  # [N] from 0
    size = len(items.bits)
    hit = np.isin(user * size + shown.items, relevant.users * size + relevant.items)
    top = place < SHOWN
    wanted = np.diff(relevant.starts)  # [U]
    places = np.minimum(wanted, SHOWN)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(user, values, count)

    hits = np.cumsum(hit)
    hits -= np.r_[0, hits][shown.starts[user]]  # of the user's own, up to this place
    first = np.full(count, np.inf)
    np.minimum.at(first, user[hit & top], place[hit & top] + 1)
    with np.errstate(invalid="ignore"):  # 0 / 0 of users without lists
        novelty = total(top * items.bits[shown.items]) / total(top)
    return {
        "ndcg_at_10": total(hit * top * DISCOUNTS[place]) / IDEALS[places - 1],
        "recall_at_20": total(hit) / wanted,
        "map_at_10": total(hit * top * hits / (place + 1)) / places,
        "mrr_at_10": 1.0 / first,
        "hit_rate_at_10": np.isfinite(first).astype(np.float64),
        "novelty_at_10": novelty,
        "diversity_at_10": _diversity(csr_array((top * 1.0, shown.items, shown.starts), shape=(count, size)), items),
    }


def _diversity(shown: csr_array, items: Catalogue) -> np.ndarray:
    """1 - the mean cosine of the genres of two shown items (Smyth & McClave, 2001), [U].

    Items without genres have no direction and are left out. With unit vectors, the cosines of all ordered pairs of n
    of them add up to the squared length of their sum less n.

    Args:
        shown: [U, I] ones.
        items: of the catalogue.

    """
    sums = csr_array(shown @ items.genres).toarray()  # [U, G]
    n = shown @ (np.diff(items.genres.indptr) > 0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):  # a single item makes no pair
        return np.where(n > 1, 1.0 - ((sums**2).sum(axis=1) - n) / (n * (n - 1)), np.nan)
