"""SLIM: each item as a sparse, non-negative sum of similar items (Ning & Karypis, ICDM 2011).

"SLIM: Sparse linear methods for top-N recommender systems", in the variant fsSLIM: only the items of largest cosine may
have a weight.

Legend: J rated items.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from widedeep.baselines.base import Counts, NonNegatives, Positives
from widedeep.baselines.item_weights import LinearAutoencoder
from widedeep.data.matrix_products import sparse_from_top_k
from widedeep.data.rating_matrices import Splits
from widedeep.data.sparse_weights import ITEMS_PER_BLOCK, nearest_by_cosine, slim_weights


class Slim(LinearAutoencoder):
    """Sparse, non-negative weights of similar items rank items."""

    name = "slim"
    neighbours: Counts = Field(default=(100,), description="items of largest cosine, which may have a weight")
    l1: NonNegatives = Field(default=(1.0, 3.0, 10.0), description="penalty of the weights that leaves few of them")
    l2: Positives = Field(default=(10.0, 50.0), description="penalty of the squares of the weights")

    def fits(self, gram: np.ndarray) -> Iterator[tuple[dict[str, Any], sp.csr_matrix]]:
        """Yield each combination of settings and its weights [J, J]."""
        nearest = nearest_by_cosine(gram, max(self.neighbours))
        for k, l1, l2 in product(self.neighbours, self.l1, self.l2):
            # Column i has the weights of the items from which item i is predicted.
            weights = sparse_from_top_k(*slim_weights(gram, nearest[:, :k], l1, l2), len(gram)).T.tocsr()
            yield {"k": k, "l1": l1, "l2": l2}, weights

    def memory_bytes(self, splits: Splits) -> int:
        """Estimate the memory of the Gram matrix, of its blocks (no more than it) and of a block of items."""
        return 2 * 4 * len(splits.rated) ** 2 + 2 * 4 * ITEMS_PER_BLOCK * max(self.neighbours) ** 2
