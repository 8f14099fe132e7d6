"""Biases of users and items: by how much ratings differ from the mean.

Legend: A rated items (items with training ratings), U users, n training ratings, [...] any shape of pairs.
"""

import numpy as np
import torch
from torch import Tensor

from widedeep.models.history.fitted import Fitted

# A bias is shrunk as if its user or item had this many further ratings at bias 0.
USER_DAMPING, ITEM_DAMPING = 3.0, 1.0
SWEEPS = 15  # of the alternating least squares that fit the biases


class ItemBiases(Fitted):
    """The mean rating and the biases of items."""

    mean: Tensor  # [] float32, mean training rating
    count: Tensor  # [A] float32, training ratings
    bias: Tensor  # [A] float32

    def __init__(self, items: int):
        """Build with empty buffers for `items` rated items."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("count", torch.zeros(items))
        self.register_buffer("bias", torch.zeros(items))

    def deviations(self, item: Tensor, rating: Tensor) -> Tensor:
        """Return rating - mean - item bias: rated items [...] int64 and ratings [...] -> [...]."""
        return rating - self.mean - self.bias[item]

    def bias_without(self, item: Tensor, own: Tensor, own_residual: Tensor) -> Tensor:
        """Return the biases of items without a user's own rating of them.

        Args:
            item: [...] int64 rated items.
            own: [...] 1.0 where the statistics hold a rating of the user, else 0.0.
            own_residual: [...] the residual of that rating.

        """
        bias, count = self.bias[item], self.count[item]
        total = bias * (count + ITEM_DAMPING) - own * (own_residual + bias)
        return total / (count - own + ITEM_DAMPING)


def fit_biases(
    user: np.ndarray, item: np.ndarray, rating: np.ndarray, shape: tuple[int, int]
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean, user biases [U] and item biases [A]; the user biases fit the item biases exactly.

    Args:
        user: [n] user indexes.
        item: [n] rated items, 0 to A - 1.
        rating: [n] float32.
        shape: (U, A).

    """
    rating = rating.astype(np.float64)
    mean = float(rating.mean())
    biases = [np.zeros(size) for size in shape]  # of users, of items
    damped = [
        np.bincount(index, minlength=size) + damping
        for index, size, damping in zip((user, item), shape, (USER_DAMPING, ITEM_DAMPING), strict=True)
    ]
    for _ in range(SWEEPS):
        biases[1] = np.bincount(item, rating - mean - biases[0][user], shape[1]) / damped[1]
        biases[0] = np.bincount(user, rating - mean - biases[1][item], shape[0]) / damped[0]
    return mean, biases[0], biases[1]


def bias_buffers(item: np.ndarray, mean: float, bias: np.ndarray) -> dict[str, Tensor]:
    """Return the buffers of `ItemBiases`.

    Args:
        item: [n] rated items of the training ratings.
        mean: of the ratings.
        bias: [A] of the items.

    """
    return {
        "mean": torch.tensor(mean, dtype=torch.float32),
        "count": torch.from_numpy(np.bincount(item, minlength=len(bias)).astype(np.float32)),
        "bias": torch.from_numpy(bias.astype(np.float32)),
    }
