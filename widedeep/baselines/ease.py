"""EASE: a linear autoencoder of the history in closed form (Steck, WWW 2019).

Legend: U users, J rated items, I all items.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from scipy.linalg import get_lapack_funcs

from widedeep.baselines.products import dense_product
from widedeep.baselines.tuning import Offer, Ranker
from widedeep.config.baselines import EaseGrid
from widedeep.data.rating_matrices import Splits


def ease_weights(gram: np.ndarray, l2: float) -> np.ndarray:
    """The weights B that minimise |X - X B|^2 + l2 |B|^2 with a diagonal of zeros.

    Args:
        gram: [J, J] X^T X.
        l2: strength of the penalty, above 0.

    Returns:
        [J, J] float32: B = I - P / diag(P) by columns, with P the inverse of gram + l2.

    """
    inverse = gram.astype(np.float64, order="F")
    inverse[np.diag_indices_from(inverse)] += l2
    factorise, invert = get_lapack_funcs(("potrf", "potri"), (inverse,))
    inverse, wrong = factorise(inverse, lower=1, overwrite_a=1)
    if not wrong:
        inverse, wrong = invert(inverse, lower=1, overwrite_c=1)  # the lower triangle of the inverse
    assert not wrong, f"a Gram matrix plus {l2} is positive definite"
    scale = -1.0 / inverse.diagonal()
    weights = np.empty_like(gram, np.float32)
    for row in range(len(weights)):  # mirrored a row at a time: no second matrix of float64
        weights[row, : row + 1] = inverse[row, : row + 1] * scale[: row + 1]
        weights[row, row + 1 :] = inverse[row + 1 :, row] * scale[row + 1 :]
    np.fill_diagonal(weights, 0)
    return weights


def ease_lists(splits: Splits, grid: EaseGrid) -> Iterator[Offer]:
    """Weights fitted to plain or to weighted histories; scores of plain or of weighted ones."""
    for fitted_to_weighted in (False, True):
        known = splits.past(fitted_to_weighted)[:, splits.rated].T.tocsr()
        gram = dense_product(known, known)
        for l2 in grid.l2:
            weights = ease_weights(gram, l2)
            for weighted in (True,) if fitted_to_weighted else (False, True):
                settings = {"l2": l2, "weighted_fit": fitted_to_weighted, "weighted_history": weighted}
                yield Offer(settings, ranker=linear(splits, splits.past(weighted), weights))


def linear(splits: Splits, history: sp.csr_matrix, weights: np.ndarray) -> Ranker:
    """Scores of rated items: history [U, I] x weights [J, J]."""
    known = history[:, splits.rated]
    return lambda users: splits.widen(known[users] @ weights)
