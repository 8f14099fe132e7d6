"""How unequally ratings are shared out, from the counts of how many have how many."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Legend: k different numbers of ratings. A tail is a frame of `n` (k,) ascending and `entities` (k,).


def at_least(tail: pd.DataFrame) -> Floats:
    """(k,) share of the entities that have at least n ratings."""
    entities = tail["entities"].to_numpy(np.float64)
    return entities[::-1].cumsum()[::-1] / entities.sum()


def lorenz(tail: pd.DataFrame) -> tuple[Floats, Floats]:
    """(k+1,) shares of the entities, those with most ratings first, and (k+1,) shares of the ratings they have."""
    entities = tail["entities"].to_numpy(np.float64)[::-1]
    held = entities * tail["n"].to_numpy(np.float64)[::-1]
    return tuple(np.concatenate([[0.0], part.cumsum() / part.sum()]) for part in (entities, held))  # pyright: ignore


def top_share(tail: pd.DataFrame, share: float) -> float:
    """Share of the ratings that the busiest `share` of the entities have."""
    return float(np.interp(share, *lorenz(tail)))


def gini(tail: pd.DataFrame) -> float:
    """Gini coefficient: 0 if all have equally many, towards 1 if one has all.

    Twice the area between the Lorenz curve and the diagonal; the curve is made of straight lines, so
    the trapezoids are exact.
    """
    x, y = lorenz(tail)
    return float(2 * ((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum() - 1)


def quantile(tail: pd.DataFrame, share: float) -> int:
    """The least n so that at least `share` of the entities have n ratings or fewer."""
    up_to = tail["entities"].to_numpy(np.float64).cumsum()
    return int(tail["n"].to_numpy()[np.searchsorted(up_to, share * up_to[-1] * (1 - 1e-12))])
