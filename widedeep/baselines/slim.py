"""SLIM: each item as a sparse, non-negative sum of similar items (Ning & Karypis, ICDM 2011).

"SLIM: Sparse linear methods for top-N recommender systems", in the variant fsSLIM: only the items of largest cosine may
have a weight.

Legend: U users, J rated items.
"""

from collections.abc import Iterator
from itertools import product

from pydantic import Field

from widedeep.baselines.base import Baseline, BaselineContext, Counts, NonNegatives, Positives
from widedeep.baselines.item_knn import sparse_ranker
from widedeep.baselines.tuning import Candidate
from widedeep.data.matrix_products import dense_product, sparse_from_top_k
from widedeep.data.rating_matrices import Splits
from widedeep.data.sparse_weights import ITEMS_PER_BLOCK, nearest_by_cosine, slim_weights


class Slim(Baseline):
    """Sparse, non-negative weights of similar items rank items."""

    name = "slim"
    neighbours: Counts = Field(default=(100,), description="items of largest cosine, which may have a weight")
    l1: NonNegatives = Field(default=(1.0, 3.0, 10.0), description="penalty of the weights that leaves few of them")
    l2: Positives = Field(default=(10.0, 50.0), description="penalty of the squares of the weights")

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield candidates for lists: plain or weighted histories, both to fit and to score."""
        splits = context.splits
        for weighted_fit in (False, True):
            history = splits.past(weighted_fit)[:, splits.rated].T.tocsr()  # [J, U]
            gram = dense_product(history, history)
            nearest = nearest_by_cosine(gram, max(self.neighbours))
            for k, l1, l2 in product(self.neighbours, self.l1, self.l2):
                # Column i has the weights of the items from which item i is predicted.
                weights = sparse_from_top_k(*slim_weights(gram, nearest[:, :k], l1, l2), len(gram)).T.tocsr()
                for weighted in (True,) if weighted_fit else (False, True):
                    histories = {"weighted_fit": weighted_fit, "weighted_history": weighted}
                    ranker = sparse_ranker(splits, splits.past(weighted), weights)
                    yield Candidate({"k": k, "l1": l1, "l2": l2} | histories, ranker=ranker)

    def memory_bytes(self, splits: Splits) -> int:
        """Estimate the memory of two Gram matrices, of plain and of weighted histories, and of a block."""
        return 2 * 4 * len(splits.rated) ** 2 + 2 * 4 * ITEMS_PER_BLOCK * max(self.neighbours) ** 2
