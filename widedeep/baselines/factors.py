"""Predictors and rankers of a matrix factorisation.

Legend: U users, I items, J rated items, F factors, n pairs.
"""

from dataclasses import dataclass

import numpy as np

from widedeep.baselines.tuning import Predictor, Ranker

# Pairs whose factors are gathered at once.
PAIRS_PER_BLOCK = 1 << 18


@dataclass(frozen=True)
class Factors:
    """Vectors of users and items; 0 for those without training ratings."""

    user: np.ndarray  # [U, F] float32
    item: np.ndarray  # [I, F] float32
    rated: np.ndarray  # [J] indexes of the items with training ratings


def factor_predictor(factors: Factors, base: Predictor) -> Predictor:
    """Predict what `base` does, plus the dot product of the user's and the item's vector."""

    def predict(user: np.ndarray, item: np.ndarray) -> np.ndarray:
        predicted = base(user, item)
        for low in range(0, len(user), PAIRS_PER_BLOCK):
            block = slice(low, low + PAIRS_PER_BLOCK)
            predicted[block] += (factors.user[user[block]] * factors.item[item[block]]).sum(axis=1)
        return predicted

    return predict


def factor_ranker(factors: Factors, item_bias: np.ndarray | None = None) -> Ranker:
    """Rank the rated items by the dot product with the user's vector, plus the item's bias [I] if given."""
    offset = np.full(len(factors.item), -np.inf, np.float32)
    offset[factors.rated] = 0 if item_bias is None else item_bias[factors.rated]
    return lambda users: factors.user[users] @ factors.item.T + offset
