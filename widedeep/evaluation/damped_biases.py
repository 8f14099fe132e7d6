"""Rating biases fitted on arrays in memory; reference_models.py fits them from a loader, on all ranks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


class DampedBiases(NamedTuple):
    """rating = mean + user bias + item bias."""

    mean: float
    user: Floats  # (U,)
    item: Floats  # (I,)

    def predict(self, user: Ints, item: Ints) -> Floats:
        """Predicted ratings of pairs, (n,), not clipped to the scale."""
        return self.mean + self.user[user] + self.item[item]


def fit_damped_biases(
    user: Ints, item: Ints, rating: Floats, shape: tuple[int, int], damping: tuple[float, float], sweeps: int = 5
) -> DampedBiases:
    """Fit biases by alternating least squares, item biases first (Koren, 2009, section 2.1).

    A bias is the sum of its ratings' residuals divided by their number + damping.

    Args:
        user: (n,) user index of each rating.
        item: (n,) item index of each rating.
        rating: (n,) float64.
        shape: numbers of users and items.
        damping: of user biases and of item biases, in ratings.
        sweeps: rounds over both sides.

    """
    fit = DampedBiases(float(rating.mean()), *(np.zeros(n) for n in shape))
    for _ in range(sweeps):
        for bias, index, prior in ((fit.item, item, damping[1]), (fit.user, user, damping[0])):
            bias[:] = 0
            residual = rating - fit.mean - fit.user[user] - fit.item[item]
            bias[:] = np.bincount(index, residual, len(bias)) / (np.bincount(index, minlength=len(bias)) + prior)
    return fit
