"""What a factorisation predicts, whoever fitted it.

Legend: U users, I items, F factors.
"""

from dataclasses import dataclass

import numpy as np

from widedeep.baselines.tuning import Predictor, Ranker

# Pairs whose factors are gathered at once.
PAIRS = 1 << 18


@dataclass(frozen=True)
class Factors:
    """Factors of users and items, 0 for those without training ratings."""

    user: np.ndarray  # [U, F] float32
    item: np.ndarray  # [I, F] float32
    rated: np.ndarray  # [J] items that have factors


def product_predictor(factors: Factors, base: Predictor) -> Predictor:
    """The base's prediction plus the product of the factors."""

    def predict(user: np.ndarray, item: np.ndarray) -> np.ndarray:
        predicted = base(user, item)
        for low in range(0, len(user), PAIRS):
            part = slice(low, low + PAIRS)
            predicted[part] += (factors.user[user[part]] * factors.item[item[part]]).sum(axis=1)
        return predicted

    return predict


def product_ranker(factors: Factors, item_bias: np.ndarray | None = None) -> Ranker:
    """Items with factors, by the product with the user's; a bias [I] is added where there is one."""
    hidden = np.full(len(factors.item), -np.inf, np.float32)
    hidden[factors.rated] = 0 if item_bias is None else item_bias[factors.rated]
    return lambda users: factors.user[users] @ factors.item.T + hidden
