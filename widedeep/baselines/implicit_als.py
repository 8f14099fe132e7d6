"""Implicit ALS: factors of who rated what, by alternating least squares (Hu, Koren & Volinsky, ICDM 2008).

"Collaborative filtering for implicit feedback datasets". With the vectors of the other side fixed, each user and each
item has a linear system of its own, which is solved exactly. The loss is that of Rendle et al., "Revisiting the
performance of iALS on item recommendation benchmarks" (RecSys 2022, arXiv:2110.14037), who found many factors, a tuned
weight of all pairs, and a penalty that grows with the number of ratings to matter most.

Legend: U users, J rated items, I all items, F factors; R rows to solve for (users or items), C rows of the other side.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from pydantic import Field
from scipy.linalg import get_lapack_funcs

from widedeep.baselines.base import Baseline, BaselineContext, Counts, Positives
from widedeep.baselines.factors import Factors, factor_ranker
from widedeep.baselines.tuning import Candidate
from widedeep.common.errors import DivergedError
from widedeep.config.fields import Count

# Length of the vectors of items at the start, about.
INITIAL_LENGTH = 0.1


class Loss(NamedTuple):
    """What a fit minimises, over vectors x of users and y of items, for weights w of the ratings.

    The sum of w (1 - x.y)^2 over the ratings, of `unobserved` (x.y)^2 over all pairs, and of `regularisation` n |x|^2
    over all vectors, where n is the number of ratings of the user or the item.
    """

    unobserved: float
    regularisation: float


class ImplicitAls(Baseline):
    """Factors of who rated what rank items."""

    name = "implicit_als"
    ranks: Counts = Field(default=(128, 256), description="factors")
    regularisations: Positives = Field(default=(0.03, 0.05), description="penalty of a vector for each of its ratings")
    unobserved: Positives = Field(default=(0.5, 1.0), description="weight of any pair beside the 1 of a rating")
    iterations: Count = Field(default=8, ge=1, description="sweeps over users and items")

    def candidates(self, context: BaselineContext) -> Iterator[Candidate]:
        """Yield candidates for lists, first of plain and then of weighted histories."""
        splits = context.splits
        for weighted in (False, True):
            history = splits.past(weighted)[:, splits.rated]  # [U, J]
            for rank, reg, unobserved in product(self.ranks, self.regularisations, self.unobserved):
                settings = {"rank": rank, "regularisation": reg, "unobserved": unobserved, "weighted_history": weighted}
                user, rated = factorise(history, rank, Loss(unobserved, reg), self.iterations, context.seed)
                item = np.zeros((splits.items, rank), np.float32)
                item[splits.rated] = rated
                yield Candidate(settings, ranker=factor_ranker(Factors(user, item, splits.rated)))


def factorise(
    history: sp.csr_matrix, rank: int, loss: Loss, iterations: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit vectors of users [U, F] and of items [J, F], float32, to a history [U, J] of weights."""
    transposed = history.T.tocsr()
    shape = transposed.shape[0], rank
    item = np.random.default_rng(seed).normal(0, INITIAL_LENGTH / rank**0.5, shape).astype(np.float32)
    user = solve_rows(history, item, loss)
    for _ in range(iterations - 1):
        item = solve_rows(transposed, user, loss)
        user = solve_rows(history, item, loss)
    return user, item


def solve_rows(history: sp.csr_matrix, other: np.ndarray, loss: Loss) -> np.ndarray:
    """Minimise the loss over the vectors of the rows, given those of the columns.

    Args:
        history: [R, C] weights of the ratings, above 0.
        other: [C, F] float32 vectors of the columns.
        loss: what to minimise.

    Returns:
        [R, F] float32, 0 for rows without ratings.

    """
    (solve,) = get_lapack_funcs(("posv",), (other,))
    solved = np.zeros((len(history.indptr) - 1, other.shape[1]), np.float32)
    shared = loss.unobserved * (other.T @ other)  # [F, F]
    diagonal = np.diag_indices(len(shared))
    for row in np.flatnonzero(np.diff(history.indptr)):
        ratings = slice(history.indptr[row], history.indptr[row + 1])
        near, weight = other[history.indices[ratings]], history.data[ratings]  # [n, F], [n]
        system = shared + (near.T * weight) @ near
        system[diagonal] += loss.regularisation * len(weight)
        _, solved[row], status = solve(system, weight @ near, overwrite_a=True)
        if status:  # the penalty makes each system positive definite, unless numbers overflow
            raise DivergedError(f"implicit_als: row {row} cannot be solved (LAPACK: {status}): raise regularisation")
    return solved
