"""Chooses lists from longer lists of candidates, for variety and for items that few know.

Legend: U users, P candidates of a user, N items recommended, I items, D width of a vector.
"""

import numpy as np


def relevance(affinities: np.ndarray, items: np.ndarray, known: np.ndarray, discount: float) -> np.ndarray:
    """Return how much each candidate is wanted, less the discount for being well known.

    The affinities of a user are scaled to 0 for the worst candidate and 1 for the best, so that a discount means the
    same for every user and model.

    Args:
        affinities: [U, P].
        items: [U, P] item indexes, -1 for none.
        known: [I] how well known each item is, from 0 to 1; see `familiarity`.
        discount: what an item that everybody knows loses.

    Returns:
        [U, P] float64, -inf where there is no candidate.

    """
    there = items >= 0
    low = np.where(there, affinities, np.inf).min(1, keepdims=True)
    high = np.where(there, affinities, -np.inf).max(1, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    with np.errstate(invalid="ignore"):  # of users without candidates
        return np.where(there, (affinities - low) / span - discount * known[items], -np.inf)


def familiarity(ratings: np.ndarray) -> np.ndarray:
    """Return how well known items are by their numbers of ratings, on a scale of logarithms from 0 to 1: [I] -> [I]."""
    logs = np.log1p(ratings)
    return logs / max(logs.max(initial=0.0), 1e-12)


def choose(
    wanted: np.ndarray,
    n: int,
    groups: np.ndarray | None = None,
    most: int | None = None,
    vectors: np.ndarray | None = None,
    diversity: float = 0.0,
) -> np.ndarray:
    """Choose n candidates of each user, one after the other: each is the best, given those before it.

    The best is the one with the highest (1 - diversity) * wanted - diversity * (highest cosine with one before it),
    the maximal marginal relevance of Carbonell and Goldstein (SIGIR 1998) with lambda = 1 - diversity. Of equal ones,
    it is the first candidate.

    Args:
        wanted: [U, P], -inf for candidates that must not be chosen.
        n: N.
        groups: [U, P] the group of each candidate; None if there are none.
        most: candidates of one group that a user may get; None: no limit.
        vectors: [U, P, D] of length 1 or 0; None if diversity is 0.
        diversity: from 0 to 1.

    Returns:
        [U, N] indexes of candidates, -1 where none is left.

    """
    users = np.arange(len(wanted))
    free, taken = wanted > -np.inf, np.zeros(wanted.shape, int)  # [U, P]
    finite, similar = np.where(free, wanted, 0.0), np.full(wanted.shape, -1.0)
    chosen = np.full((len(wanted), n), -1)
    for place in range(min(n, wanted.shape[1])):
        value = np.where(free, (1 - diversity) * finite - diversity * similar, -np.inf)
        best = value.argmax(1)
        chosen[:, place] = np.where(free[users, best], best, -1)
        if vectors is not None:
            similar = np.maximum(similar, np.einsum("upd,ud->up", vectors, vectors[users, best]))
        if groups is not None and most is not None:
            taken += groups == groups[users, best][:, None]
            free &= taken < most
        free[users, best] = False
    return chosen


def unready(before: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return whether each item has a predecessor that a person has not seen.

    Args:
        before: [I] the item to see before each, -1 for none.
        seen: the items that the person has seen.

    Returns:
        [I] bool.

    """
    known = np.zeros(len(before) + 1, bool)
    known[seen] = known[-1] = True  # the last is the predecessor of items without one
    return ~known[before]
