"""Measure how unequally ratings are spread, from the number of users or items with each number of ratings."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.evaluation.gini import gini

Floats = NDArray[np.float64]

# Legend: k distinct numbers of ratings. A tail is a frame with columns `n` (k,), ascending, and `entities` (k,).


def at_least(tail: pd.DataFrame) -> Floats:
    """Return (k,) the share of the entities that have at least n ratings."""
    entities = tail["entities"].to_numpy(np.float64)
    return entities[::-1].cumsum()[::-1] / entities.sum()


def lorenz(tail: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return (k+1,) cumulative shares of the entities, busiest first, and (k+1,) of their ratings."""
    entities = tail["entities"].to_numpy(np.float64)[::-1]
    ratings = entities * tail["n"].to_numpy(np.float64)[::-1]
    return tuple(np.concatenate([[0.0], part.cumsum() / part.sum()]) for part in (entities, ratings))  # pyright: ignore


def top_share(tail: pd.DataFrame, share: float) -> float:
    """Return the share of the ratings that belongs to the busiest `share` of the entities."""
    return float(np.interp(share, *lorenz(tail)))


def gini_of_tail(tail: pd.DataFrame) -> float | None:
    """Return the Gini coefficient of the numbers of ratings; None without ratings."""
    return gini(dict(zip(tail["n"].tolist(), tail["entities"].tolist(), strict=True)))


def quantile(tail: pd.DataFrame, share: float) -> int:
    """Return the smallest n such that at least `share` of the entities have n ratings or fewer."""
    up_to = tail["entities"].to_numpy(np.float64).cumsum()
    return int(tail["n"].to_numpy()[np.searchsorted(up_to, share * up_to[-1] * (1 - 1e-12))])
