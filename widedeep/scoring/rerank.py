"""Chooses lists from longer lists of candidates, for variety and for items that few know.

Legend: U users, P candidates of a user, N items recommended, I items, D width of a vector.
"""

import numpy as np

ROUNDING = 1e-9  # ten times 0.1 is a whole place
FEW_RATINGS = 5  # of items with fewer ratings, none is drawn more often than the others


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
    draws: np.ndarray | None = None,
    explore: float = 0.0,
) -> np.ndarray:
    """Choose n candidates of each user, one after the other: each is the best, given those before it.

    The best is the one with the highest (1 - diversity) * wanted - diversity * (highest cosine with one before it),
    the maximal marginal relevance of Carbonell and Goldstein (SIGIR 1998) with lambda = 1 - diversity. In places that
    explore, it is the one with the highest draw. Of equal ones, it is the first candidate.

    Args:
        wanted: [U, P], -inf for candidates that must not be chosen.
        n: N.
        groups: [U, P] the group of each candidate; None if there are none.
        most: candidates of one group that a user may get; None: no limit.
        vectors: [U, P, D] of length 1 or 0; None if diversity is 0.
        diversity: from 0 to 1.
        draws: [U, P] random numbers; None if explore is 0.
        explore: share of the places that explore, the last ones of equal runs: 0.1 is the last of each ten.

    Returns:
        [U, N] indexes of candidates, -1 where none is left.

    """
    users = np.arange(len(wanted))
    free, taken = wanted > -np.inf, np.zeros(wanted.shape, int)  # [U, P]
    finite, similar = np.where(free, wanted, 0.0), np.full(wanted.shape, -1.0)
    chosen = np.full((len(wanted), n), -1)
    for place in range(min(n, wanted.shape[1])):
        value = (1 - diversity) * finite - diversity * similar
        if draws is not None and int((place + 1) * explore + ROUNDING) > int(place * explore + ROUNDING):
            value = draws
        value = np.where(free, value, -np.inf)
        best = value.argmax(1)
        chosen[:, place] = np.where(free[users, best], best, -1)
        if vectors is not None:
            similar = np.maximum(similar, np.einsum("upd,ud->up", vectors, vectors[users, best]))
        if groups is not None and most is not None:
            taken += groups == groups[users, best][:, None]
            free &= taken < most
        free[users, best] = False
    return chosen


def draws(items: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Return a random number for each candidate: the highest one is any of them, with odds of 1 / its ratings.

    These are the keys of Efraimidis and Spirakis (2006) for drawing by weight. Fewer than `FEW_RATINGS` count as so
    many. Items without ratings come last: those among the candidates are the same few for everybody. The numbers are
    hashes of a candidate and of all candidates of its user. So a list is the same in every run and in whatever block
    its user is scored, and users with other candidates get other numbers.

    Args:
        items: [U, P] item indexes, -1 for none.
        ratings: [I] training ratings of each item.

    Returns:
        [U, P] float64, at most 0.

    """
    hashed = _mix(items.astype(np.uint64))
    even = (_mix(hashed ^ hashed.sum(1, keepdims=True, dtype=np.uint64)) + 0.5) / 2.0**64
    return np.log(even) * np.where(ratings > 0, np.maximum(ratings, FEW_RATINGS), np.finfo(np.float32).max)[items]


def _mix(x: np.ndarray) -> np.ndarray:
    """Return hashes of 64 bits: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


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
