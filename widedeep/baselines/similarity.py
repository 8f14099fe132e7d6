"""How similar two sets are, and two vectors of residuals: what neighbourhoods of users and of items are made of.

Legend: A sets or vectors whose neighbours are searched, B candidates for neighbours.
"""

from typing import Literal

import numpy as np

Correlation = Literal["cosine", "pearson"]


def set_similarity(
    common: np.ndarray, own: np.ndarray, others: np.ndarray, exponent: float, shrinkage: float
) -> np.ndarray:
    """Asymmetric cosine of sets (Aiolli, 2013): common / (own^(1 - exponent) x others^exponent + shrinkage).

    Args:
        common: [A, B] number of members in both sets.
        own: [A] sizes of the sets whose neighbours are searched.
        others: [B] sizes of the other sets.
        exponent: 0.5 is the cosine; above that, large neighbours count less.
        shrinkage: added to the divisor, so that small sets are not similar by chance.

    Returns:
        [A, B] float32.

    """
    # In place: no other matrices are as large as these.
    divisor = np.multiply.outer(
        np.power(own, 1 - exponent, dtype=np.float32), np.power(others, exponent, dtype=np.float32)
    )
    divisor += np.float32(shrinkage)
    np.maximum(divisor, np.float32(1e-9), out=divisor)
    return np.divide(common, divisor, out=divisor)


def residual_similarity(
    products: np.ndarray,
    common: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    shrinkage: float,
) -> np.ndarray:
    """Correlation of residuals, shrunk to 0 where it rests on few ratings (Koren, 2008, section 2.2).

    Args:
        products: [A, B] sums of the products of residuals over common ratings.
        common: [A, B] numbers of common ratings.
        left: [A, B] or [A, 1] sums of the squared residuals of the rows: over the common ratings for
            Pearson's correlation, over all of them for the cosine.
        right: [A, B] or [1, B] the same for the columns.
        shrinkage: number of common ratings that halves the correlation.

    Returns:
        [A, B] float32.

    """
    scale = np.sqrt(np.maximum(left * right, np.float32(1e-12)))
    return (products / scale * (common / np.maximum(common + np.float32(shrinkage), 1e-9))).astype(np.float32)
