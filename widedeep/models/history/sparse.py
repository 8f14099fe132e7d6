"""The sparse part of the wide crosses: each item as a sparse, non-negative sum of similar items (SLIM).

Ning & Karypis (ICDM 2011); `data/sparse_weights.py` solves for the weights. The score of item k for a history c is
sum_j c_j B_jk.

There is no closed form, so a user's share cannot be subtracted. The weights are fitted several times instead, each time
without one fold of the users: in training a user is scored by weights that have never seen them. Answers come from the
weights of everybody.

Legend: u users, F folds, R rows (the rated items, and the last one for all unrated items), k items with a weight.
"""

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from widedeep.data.matrix_products import dense_product, top_k_columns
from widedeep.data.sparse_weights import nearest_by_cosine, slim_weights
from widedeep.models.history.fitted import Fitted, fit_of, fold_of
from widedeep.models.history.lookups import places_of
from widedeep.models.history.wide import Bags, LinearScores

CANDIDATES = 100  # items that may have a weight
USERS_AT_ONCE = 16  # of so few the histories, as columns of a dense matrix, stay in the cache


class SparseCrosses(Fitted):
    """Scores all items by a history."""

    item: Tensor  # [F + 1, R, k] int32 rows; the last fit is that of all users
    weight: Tensor  # [F + 1, R, k] float32

    def __init__(self, rows: int, folds: int, kept: int):
        """Build with empty buffers for the `kept` largest weights of each item; 0: all scores are 0."""
        super().__init__()
        size = (folds + 1, rows, min(kept, CANDIDATES, rows - 1) if kept else 1)
        self.register_buffer("item", torch.zeros(size, dtype=torch.int32))
        self.register_buffer("weight", torch.zeros(size))

    def scores(self, past: Bags, residual: Tensor, without: Tensor | None = None) -> LinearScores:
        """Score all items for histories.

        Args:
            past: the histories.
            residual: [n] residuals of the ratings.
            without: [u] user indexes, where the weights shall not have seen the users; None: weights of everybody.

        """
        users, rows = len(past.start) - 1, self.item.shape[1]
        owner, values = past.owner(), torch.stack([past.weight, residual], dim=1)
        fit = fit_of(past.start[1:], without, len(self.item) - 1)
        out = residual.new_empty(2, users, rows)
        for number in fit.unique().tolist():
            for mine in torch.nonzero(fit == number)[:, 0].split(USERS_AT_ONCE):
                column = mine.new_full((users,), -1)
                column[mine] = torch.arange(len(mine), device=mine.device)
                own = torch.nonzero(column[owner] >= 0)[:, 0]
                history = residual.new_zeros(rows, 2, len(mine))
                history[past.item[own], :, column[owner[own]]] = values[own]
                scores = embedding_bag(
                    self.item[number], history.flatten(1), mode="sum", per_sample_weights=self.weight[number]
                )
                out[:, mine] = scores.view(rows, 2, len(mine)).permute(1, 2, 0)
        return LinearScores(*out)

    def contributions(self, row: Tensor, weight: Tensor, target: Tensor) -> Tensor:
        """Return what each rating of a history adds to the scores of targets.

        Args:
            row: [u, L] int64 rows of the history, without duplicates.
            weight: [u, L] the preferences of the ratings, 0 for none.
            target: [u, T] int64 rows.

        Returns:
            [u, T, L], which add up to the scores.

        """
        length, place = row.shape[1], places_of(row, self.item.shape[1])
        places = place.gather(1, self.item[-1][target].long().flatten(1)).view(*target.shape, -1)  # [u, T, k]
        parts = torch.zeros(*target.shape, length + 1, device=row.device)
        return parts.scatter_add_(2, places, self.weight[-1][target])[:, :, :length] * weight[:, None]


def fit_sparse(
    user: np.ndarray,
    item: np.ndarray,
    weight: np.ndarray,
    shape: tuple[int, int],
    folds: int,
    kept: int,
    l1: float,
    l2: float,
) -> dict[str, Tensor]:
    """Return the buffers of `SparseCrosses`.

    Args:
        user: [n] user indexes.
        item: [n] rows.
        weight: [n] float32 preferences.
        shape: (users, R).
        folds: how many parts the users are dealt to.
        kept: how many weights of an item are kept, the largest ones; 0: nothing is fitted.
        l1: penalty of the weights.
        l2: penalty of their squares.

    """
    fits = dict(SparseCrosses(shape[1], folds, kept).named_buffers())
    if not kept:
        return fits
    whole, fold = _gram(user, item, weight, shape), fold_of(user, folds)
    for fit in range(folds + 1):
        unseen = fold == fit
        seen = whole - _gram(user[unseen], item[unseen], weight[unseen], shape)
        found = slim_weights(seen, nearest_by_cosine(seen, CANDIDATES), l1, l2)
        largest = top_k_columns(found.weight, kept)
        for name, values in found._asdict().items():
            fits[name][fit] = torch.from_numpy(np.take_along_axis(values, largest, axis=1))
    return fits


def _gram(user: np.ndarray, item: np.ndarray, weight: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the products of the items' columns of preferences, [R, R] float32."""
    columns = sp.csr_matrix((weight, (item, user)), shape=shape[::-1])
    return dense_product(columns, columns)
