"""Baselines without personal taste: the mean, biases, popularity.

Legend: U users, I items, n pairs or users asked for.
"""

from collections.abc import Sequence

import numpy as np

from widedeep.baselines.tuning import Predictor, Ranker
from widedeep.data.rating_matrices import Splits
from widedeep.evaluation.reference_models import Biases, fit_biases
from widedeep.parallel.world import ALONE


def global_mean(splits: Splits) -> Predictor:
    """The mean of the training ratings for everything."""
    return lambda user, item: np.full(len(user), splits.mean)


def bias_fits(splits: Splits, strengths: Sequence[tuple[float, float]]) -> list[tuple[dict[str, float], Biases]]:
    """User and item biases for each strength (user prior, item prior), with their settings."""
    fits = fit_biases(splits, ALONE, splits.users, splits.items, splits.mean, strengths)
    return [
        ({"user_prior": user_prior, "item_prior": item_prior}, fit)
        for (user_prior, item_prior), fit in zip(strengths, fits, strict=True)
    ]


def bias_predictor(biases: Biases) -> Predictor:
    """Predicted ratings of pairs by their biases."""
    user_bias, item_bias = biases.user.numpy(), biases.item.numpy()
    return lambda user, item: biases.mean + user_bias[user] + item_bias[item]


def bias_ranker(biases: Biases) -> Ranker:
    """Items by their predicted rating, which is the same order for everybody."""
    user_bias, item_bias = biases.user.numpy(), biases.item.numpy()
    return lambda users: (biases.mean + user_bias[users, None] + item_bias[None]).astype(np.float32)


def residuals(splits: Splits, predictor: Predictor) -> np.ndarray:
    """[N] float32: what is left of the training ratings after a prediction."""
    user, item, rating = splits.pairs("train")
    return (rating - predictor(user, item)).astype(np.float32)


def popularity(splits: Splits, least: float) -> Ranker:
    """The share of the training users who rated an item at least so much."""
    user, item, rating = splits.pairs("train")
    users = max(1, len(np.unique(user)))
    share = (np.bincount(item[rating >= least], minlength=splits.items) / users).astype(np.float32)
    return lambda users: np.tile(share, (len(users), 1))


def popular_for_cold(splits: Splits, ranker: Ranker) -> Ranker:
    """The ranker, but for users without training ratings what is most rated."""
    most_rated = popularity(splits, 0)
    cold = np.diff(splits.history.indptr) == 0

    def scores(users: np.ndarray) -> np.ndarray:
        found = ranker(users)
        found[cold[users]] = most_rated(users[cold[users]])
        return found

    return scores
