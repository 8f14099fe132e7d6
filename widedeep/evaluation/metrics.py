"""Errors of predicted ratings, and quality of rankings.

Sums travel between ranks, divisions come last, so any number of ranks gives the same figures.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from widedeep.parallel.world import World
from widedeep.schema.manifest import MAX_RATING, MIN_RATING


class RatingErrors:
    """Running sums for RMSE, MAE and R2 on the scale of the ratings; predictions are clipped to it."""

    def __init__(self, device: torch.device, lowest: float = MIN_RATING):
        """Begin with nothing; `lowest` is the low end of the scale (`Ratings.lowest` of the manifest)."""
        self._lowest = lowest
        # n, squared error, absolute error, sum of ratings, sum of squared ratings
        self._sums = torch.zeros(5, dtype=torch.float64, device=device)

    def add(self, predicted: Tensor, rating: Tensor) -> None:
        """Take in predictions and true ratings, both [n]."""
        error = (predicted.clamp(self._lowest, MAX_RATING) - rating).double()
        truth = rating.double()
        self._sums += torch.stack(
            [
                torch.tensor(float(len(rating)), dtype=torch.float64, device=rating.device),
                error.square().sum(),
                error.abs().sum(),
                truth.sum(),
                truth.square().sum(),
            ]
        )

    def result(self, world: World) -> dict[str, float]:
        """RMSE, MAE and R2 (share of the variance explained) over all ranks; NaN if there are no ratings."""
        n, squared, absolute, total, total_squared = world.sum(self._sums.clone()).tolist()
        if not n:
            return {"rmse": math.nan, "mae": math.nan, "r2": math.nan, "ratings": 0}
        variance = total_squared / n - (total / n) ** 2
        r2 = 1.0 - squared / n / variance if variance > 0 else math.nan
        return {"rmse": math.sqrt(squared / n), "mae": absolute / n, "r2": r2, "ratings": int(n)}


def ndcg_at(ranked: Sequence[int], relevant: set[int], k: int) -> float:
    """Normalised discounted cumulative gain of one list with binary relevance (Järvelin & Kekäläinen, 2002)."""
    gain = sum(1.0 / math.log2(place + 2) for place, item in enumerate(ranked[:k]) if item in relevant)
    best = sum(1.0 / math.log2(place + 2) for place in range(min(k, len(relevant))))
    return gain / best


def recall_at(ranked: Sequence[int], relevant: set[int], k: int) -> float:
    """Share of the relevant items among the first k of the list."""
    return len(relevant.intersection(ranked[:k])) / len(relevant)


def ranking_quality(lists: dict[int, list[int]], relevant: dict[int, set[int]], items: int) -> dict[str, float]:
    """Means over users of NDCG@10 and Recall@20, and the share of all items in some top 10.

    Args:
        lists: user -> recommended items, best first, 20 of them if there are as many.
        relevant: user -> held-out items the user liked, never empty.
        items: number of all items.

    """
    users = [user for user in lists if relevant.get(user)]
    if not users:
        return {"ndcg_at_10": math.nan, "recall_at_20": math.nan, "coverage_at_10": math.nan, "users": 0}
    shown = {item for user in users for item in lists[user][:10]}
    return {
        "ndcg_at_10": sum(ndcg_at(lists[u], relevant[u], 10) for u in users) / len(users),
        "recall_at_20": sum(recall_at(lists[u], relevant[u], 20) for u in users) / len(users),
        "coverage_at_10": len(shown) / items,
        "users": len(users),
    }
