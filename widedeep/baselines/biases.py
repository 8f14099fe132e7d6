"""User and item biases: a baseline of their own, and what other baselines start from.

Legend: U users, I items, N training ratings, n pairs or users asked for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from widedeep.baselines.tuning import Predictor, Ranker
from widedeep.data.rating_matrices import Splits
from widedeep.evaluation.reference_models import Biases, fit_biases
from widedeep.parallel.world import ALONE


class BiasFit(NamedTuple):
    """Biases and the settings they were fitted with."""

    settings: dict[str, float]
    biases: Biases


def fit_bias_grid(splits: Splits, strengths: Sequence[tuple[float, float]]) -> list[BiasFit]:
    """Fit user and item biases for each strength (user prior, item prior)."""
    fits = fit_biases(splits, ALONE, splits.users, splits.items, splits.mean, strengths)
    return [
        BiasFit({"user_prior": user_prior, "item_prior": item_prior}, biases)
        for (user_prior, item_prior), biases in zip(strengths, fits, strict=True)
    ]


def bias_predictor(biases: Biases) -> Predictor:
    """Predict mean + user bias + item bias."""
    user_bias, item_bias = biases.user.numpy(), biases.item.numpy()
    return lambda user, item: biases.mean + user_bias[user] + item_bias[item]


def bias_ranker(biases: Biases) -> Ranker:
    """Rank items by their predicted rating, in the same order for all users."""
    user_bias, item_bias = biases.user.numpy(), biases.item.numpy()
    return lambda users: (biases.mean + user_bias[users, None] + item_bias[None]).astype(np.float32)


def residuals(splits: Splits, predictor: Predictor) -> np.ndarray:
    """[N] float32: training ratings minus their predictions."""
    user, item, rating = splits.pairs("train")
    return (rating - predictor(user, item)).astype(np.float32)
