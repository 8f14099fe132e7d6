"""What the checks of published results share: the results, the official histogram, the split and the biases.

The notebooks are not available. Each module says what is known about one of them; what is only concluded from its
numbers, or from common practice, is under `inferred` in the output.
"""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.evaluation.damped_biases import fit_damped_biases
from widedeep.evaluation.rating_metrics import rmse_and_r2

# Numbers of ratings 1 to 10 in the official dump.
OFFICIAL_HISTOGRAM = (
    *(98_069, 132_092, 233_675, 562_822, 1_379_480),
    *(2_766_482, 5_452_152, 6_060_484, 4_429_914, 3_210_021),
)
PUBLISHED = {"label_rmse": 0.0729, "rmse": 1.70, "unscored_rmse": 2.79, "unscored_r2": 0.49}
SEED, TEST_SHARE = 42, 0.2
DAMPING = (5.0, 3.0)  # of user biases and of item biases

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def user_and_item_index(ratings: pd.DataFrame) -> tuple[Ints, Ints]:
    """Dense indexes of the users and of the anime of ratings, in the order of their first rating, (n,) each."""
    user, item = (pd.factorize(ratings[name])[0].astype(np.int64) for name in ("user_id", "anime_id"))
    return user, item


def rmse(predicted: Floats | float, truth: Floats) -> float:
    """Root mean squared error."""
    return _rmse_and_r2(predicted, truth)[0]


def r2(predicted: Floats, truth: Floats) -> float:
    """Share of the variance that the predictions explain."""
    return _rmse_and_r2(predicted, truth)[1]


def _rmse_and_r2(predicted: Floats | float, truth: Floats) -> tuple[float, float]:
    centred = truth - truth.mean()  # R2 does not depend on the mean
    return rmse_and_r2(len(truth), float(((predicted - truth) ** 2).sum()), 0.0, float((centred**2).sum()))


def draw_test_rows(rows: int, seed: int = SEED) -> NDArray[np.bool_]:
    """(rows,) True for the fifth of the rows that is the test split."""
    return np.random.default_rng(seed).random(rows) < TEST_SHARE


def bias_predictions(user: Ints, item: Ints, rating: Floats, test: NDArray[np.bool_]) -> Floats:
    """Mean + damped user bias + damped item bias, fitted on the rows that are not test; (n,) for all, not clipped."""
    shape = (int(user.max()) + 1, int(item.max()) + 1)
    return fit_damped_biases(user[~test], item[~test], rating[~test], shape, DAMPING).predict(user, item)


def histogram_mean_sd(counts: tuple[int, ...]) -> tuple[float, float]:
    """Mean and standard deviation of ratings, from the numbers of ratings 1, 2, …."""
    levels = np.arange(1, len(counts) + 1)
    mean = float(np.average(levels, weights=counts))
    return mean, math.sqrt(float(np.average((levels - mean) ** 2, weights=counts)))
