"""Errors of predicted ratings, added up batch by batch and over ranks.

Ranks exchange sums and divide last, so that any number of ranks gives the same metrics.
"""

import math

import torch
from torch import Tensor

from widedeep.common.errors import DivergedError
from widedeep.evaluation.rating_metrics import rmse_and_r2
from widedeep.parallel.world import World
from widedeep.schema.rating_scale import RatingScale


class RatingErrors:
    """Running sums for RMSE, MAE and R2 on the scale of the ratings; predictions are clipped to it."""

    def __init__(self, device: torch.device, scale: RatingScale):
        self._scale = scale
        # n, squared error, absolute error, sum of ratings, sum of squared ratings, number of predictions that are none
        self._sums = torch.zeros(6, dtype=torch.float64, device=device)

    def add(self, predicted: Tensor, rating: Tensor) -> None:
        """Add predictions and true ratings, both [n]."""
        error = (predicted.clamp(self._scale.lowest, self._scale.highest) - rating).double()
        truth = rating.double()
        self._sums += torch.stack(
            [
                torch.tensor(float(len(rating)), dtype=torch.float64, device=rating.device),
                error.square().sum(),
                error.abs().sum(),
                truth.sum(),
                truth.square().sum(),
                (~predicted.isfinite()).sum().double(),  # looked at before clipping, which makes a number of infinity
            ]
        )

    def result(self, world: World) -> dict[str, float]:
        """Return RMSE, MAE, R2 and the number of ratings over all ranks; NaN where there is nothing to divide by.

        Raises:
            DivergedError: a prediction is infinite or NaN.

        """
        n, squared, absolute, total, total_squared, not_finite = world.sum(self._sums.clone()).tolist()
        if not_finite:
            raise DivergedError(
                f"{int(not_finite):,} of {int(n):,} predicted ratings are not finite numbers: train with a lower "
                "optim.lr, with optim.warmup or with optim.clip_norm"
            )
        rmse, r2 = rmse_and_r2(n, squared, total, total_squared)
        return {"rmse": rmse, "mae": absolute / n if n else math.nan, "r2": r2, "ratings": int(n)}
