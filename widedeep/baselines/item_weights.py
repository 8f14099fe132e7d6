"""Weights between items, fitted to histories: an item is scored by the weights from the items that a user has rated.

Legend: U users, J rated items, I all items.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from widedeep.baselines.base import Baseline, BaselineContext
from widedeep.baselines.tuning import Candidate, Ranker
from widedeep.data.matrix_products import dense_product
from widedeep.data.rating_matrices import Splits

# [J of the history, J scored] float32, dense or sparse
ItemWeights = np.ndarray | sp.csr_matrix


class LinearAutoencoder(Baseline, ABC):
    """A baseline that ranks items by weights which reconstruct histories from themselves."""

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield candidates for lists: plain or weighted histories, both to fit and to score."""
        splits = context.splits
        for weighted_fit in (False, True):
            history = splits.past(weighted_fit)[:, splits.rated].T.tocsr()  # [J, U]
            for settings, weights in self.fits(dense_product(history, history)):
                for weighted in (True,) if weighted_fit else (False, True):
                    histories = {"weighted_fit": weighted_fit, "weighted_history": weighted}
                    ranker = linear_ranker(splits, splits.past(weighted), weights)
                    yield Candidate(settings | histories, ranker=ranker)

    @abstractmethod
    def fits(self, gram: np.ndarray) -> Iterator[tuple[dict[str, Any], ItemWeights]]:
        """Yield each combination of settings and the weights fitted with it.

        Args:
            gram: [J, J] float32 X^T X of the histories X [U, J].

        """


def linear_ranker(splits: Splits, history: sp.csr_matrix, weights: ItemWeights) -> Ranker:
    """Rank rated items by history [U, I] x weights [J, J]."""
    known = history[:, splits.rated]

    def affinities(users: np.ndarray) -> np.ndarray:
        scores = known[users] @ weights  # [n, J], sparse if the weights are
        return splits.widen(scores.toarray() if sp.issparse(scores) else scores)

    return affinities
