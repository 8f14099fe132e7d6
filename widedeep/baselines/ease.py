"""EASE: a linear autoencoder of the history in closed form (Steck, WWW 2019).

Legend: J rated items.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import Field
from scipy.linalg import get_lapack_funcs

from widedeep.baselines.base import ITEM_PAIR_BYTES, Positives
from widedeep.baselines.item_weights import LinearAutoencoder
from widedeep.data.rating_matrices import Splits


class Ease(LinearAutoencoder):
    """A linear autoencoder of the history ranks items."""

    name = "ease"
    l2: Positives = Field(
        default=(50.0, 100.0, 200.0, 400.0),
        description="penalty of the weights; the best grows with the number of users, to 1000 or more for 270 K",
    )

    def fits(self, gram: np.ndarray) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Yield each combination of settings and its weights [J, J]."""
        for settings, penalty in self.penalties(gram.diagonal()):
            yield settings, ease_weights(gram, penalty)

    def penalties(self, diagonal: np.ndarray) -> Iterator[tuple[dict[str, float], float | np.ndarray]]:
        """Yield each combination of settings and its penalty of the weights, as `ease_weights` takes it.

        Args:
            diagonal: [J] float32 diagonal of X^T X, the sum of each item's squared entries.

        """
        for l2 in self.l2:
            yield {"l2": l2}, l2

    def memory_bytes(self, splits: Splits) -> int:
        """Estimate the memory of the dense matrices of item pairs."""
        return ITEM_PAIR_BYTES * len(splits.rated) ** 2


def ease_weights(gram: np.ndarray, penalty: float | np.ndarray) -> np.ndarray:
    """Solve for the weights B with zero diagonal that minimise |X - X B|^2 + sum over i, j of penalty_i B_ij^2.

    Args:
        gram: [J, J] X^T X.
        penalty: of all weights, or [J] of the weights that start from each item; above 0.

    Returns:
        [J, J] float32, B = I - P / diag(P) by columns, where P is the inverse of gram + diag(penalty).

    Raises:
        ValueError: gram + diag(penalty) is not positive definite.

    """
    inverse = gram.astype(np.float64, order="F")
    inverse[np.diag_indices_from(inverse)] += penalty
    factorise, invert = get_lapack_funcs(("potrf", "potri"), (inverse,))
    inverse, status = factorise(inverse, lower=1, overwrite_a=1)
    if not status:
        inverse, status = invert(inverse, lower=1, overwrite_c=1)  # fills the lower triangle only
    if status:
        least = np.min(penalty)
        raise ValueError(f"the Gram matrix plus {least:g} is not positive definite: use larger values of l2")
    scale = -1.0 / inverse.diagonal()
    weights = np.empty_like(gram, np.float32)
    for row in range(len(weights)):  # mirrored row by row, to avoid a second float64 matrix
        weights[row, : row + 1] = inverse[row, : row + 1] * scale[: row + 1]
        weights[row, row + 1 :] = inverse[row + 1 :, row] * scale[row + 1 :]
    np.fill_diagonal(weights, 0)
    return weights
