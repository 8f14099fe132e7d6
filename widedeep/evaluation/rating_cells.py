"""Sums over predicted ratings, by how much is known of user and item and by the predicted rating, batch by batch.

Ranks exchange sums and divide last, so that any number of ranks gives the same metrics.

Legend: n ratings of a batch, T users or items, K calibration bins.
"""

import math

import numpy as np
import torch
from torch import Tensor

from widedeep.data.batches import Batch
from widedeep.evaluation.rating_metrics import bin_width, last_bin, rating_metrics
from widedeep.parallel.world import World
from widedeep.schema.evaluation import BUCKETS, RatingMetrics
from widedeep.schema.rating_scale import RatingScale

# What is added up in a cell, as `rating_metrics` names it.
SUMS = ("ratings", "squared_error", "absolute_error", "rating", "squared_rating", "predicted")


class RatingCells:
    """Running sums in cells: a bucket of the user, one of the item, and the bin of the rating predicted for them."""

    def __init__(self, device: torch.device, scale: RatingScale, user_ratings: np.ndarray, item_ratings: np.ndarray):
        """Begin with nothing.

        Args:
            device: of the batches.
            scale: of the ratings; predictions are clipped to it.
            user_ratings: [T] training ratings of each user.
            item_ratings: [T] training ratings of each item.

        """
        self._scale, self._first_bin = scale, math.floor(scale.lowest / bin_width(scale))
        self._bins = last_bin(scale) - self._first_bin + 1
        self._user_bucket, self._item_bucket = (
            torch.from_numpy(bucket_numbers(counts)).to(device) for counts in (user_ratings, item_ratings)
        )
        cells = len(BUCKETS) ** 2 * self._bins
        self._sums = torch.zeros(cells, len(SUMS), dtype=torch.float64, device=device)

    def add(self, batch: Batch, predicted: Tensor) -> None:
        """Add the ratings of a batch and those that were predicted for it, [n]."""
        predicted = predicted.clamp(self._scale.lowest, self._scale.highest).double()
        rating = batch.rating.double()
        error = predicted - rating
        number = (predicted / bin_width(self._scale)).floor().long() - self._first_bin
        bucket = self._user_bucket[batch.user.long()] * len(BUCKETS) + self._item_bucket[batch.item.long()]
        cell = bucket * self._bins + number.clamp(0, self._bins - 1)
        values = (torch.ones_like(rating), error.square(), error.abs(), rating, rating.square(), predicted)
        self._sums.index_add_(0, cell, torch.stack(values, dim=1))

    def result(self, world: World) -> RatingMetrics:
        """Return the metrics of the ratings of all ranks."""
        sums = world.sum(self._sums.clone()).cpu()
        names = [name for name, _ in BUCKETS]
        cells = []
        for cell in sums[:, 0].nonzero().flatten().tolist():
            bucket, number = divmod(cell, self._bins)
            user, item = divmod(bucket, len(BUCKETS))
            place = {"user_bucket": names[user], "item_bucket": names[item], "bin": number + self._first_bin}
            cells.append(place | dict(zip(SUMS, sums[cell].tolist(), strict=True)))
        return rating_metrics(cells, self._scale)


def bucket_numbers(train_ratings: np.ndarray) -> np.ndarray:
    """Return the number of the bucket, an index into BUCKETS, of each count of training ratings: [T] -> [T] int64."""
    return np.searchsorted([most for _, most in BUCKETS if most is not None], train_ratings).astype(np.int64)
