"""RMSE 1.70 of users' ratings, by the first wide & deep notebook: worse than the mean of all ratings."""

from typing import Any

import numpy as np
import pandas as pd

from widedeep.evaluation.published.common import (
    OFFICIAL_HISTOGRAM,
    PUBLISHED,
    bias_predictions,
    draw_test_rows,
    histogram_mean_sd,
    r2,
    rmse,
    user_and_item_index,
)


def worse_than_the_mean(ratings: pd.DataFrame) -> dict[str, Any]:
    """Compare RMSE 1.70 with always predicting the mean, whose RMSE is the standard deviation of the ratings.

    Args:
        ratings: user_id, anime_id, rating.

    """
    rated: Any = ratings[ratings["rating"] > 0]
    user, item = user_and_item_index(rated)
    rating, test = rated["rating"].to_numpy(np.float64), draw_test_rows(len(rated))
    honest = np.clip(bias_predictions(user, item, rating, test), 1, 10)
    mean, sd = histogram_mean_sd(OFFICIAL_HISTOGRAM)
    return {
        "published": PUBLISHED["rmse"],
        "official_dump": {"mean": mean, "rmse_of_mean": sd, "r2_of_published": 1 - (PUBLISHED["rmse"] / sd) ** 2},
        "this_dump": {
            "rmse_of_mean": rmse(float(rating[~test].mean()), rating[test]),
            "rmse_of_biases": rmse(honest[test], rating[test]),
            "r2_of_biases": r2(honest[test], rating[test]),
        },
        "inferred": "that 1.70 is on the 1-10 scale and on ratings distributed like the dump's",
    }
