"""The N highest scores of each user, without seen items, and with ties in a fixed order.

Legend: U users, I items.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def top_unseen(scores: Tensor, seen: Sequence[np.ndarray], n: int) -> tuple[Tensor, Tensor]:
    """Return the n highest scores of each row without its seen items; ties are in ascending order of items.

    Args:
        scores: [U, I], changed in place.
        seen: the item indexes to leave out of each row.
        n: at most I.

    Returns:
        scores [U, n] and items [U, n]; -inf and -1 where a user has no item left.

    """
    hide(scores, seen)
    return best_columns(scores, n)


def hide(scores: Tensor, seen: Sequence[np.ndarray]) -> None:
    """Set the scores [U, I] of each row's seen items to -inf."""
    rows = np.repeat(np.arange(len(seen)), [len(s) for s in seen])
    if len(rows):
        columns = np.concatenate(seen)
        scores[torch.from_numpy(rows), torch.from_numpy(columns.astype(np.int64))] = -torch.inf


def best_columns(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the n highest scores of each row and their columns, ties in ascending order of columns; -1 at -inf."""
    best, where = torch.topk(scores, min(n + 1, scores.shape[1]), dim=1)
    # topk breaks ties at the cut arbitrarily: rows with a tie there are sorted in full.
    tied = (best[:, n - 1] == best[:, -1]) & (best[:, -1] > -torch.inf)
    best, where = best[:, :n], where[:, :n]
    if tied.any():
        best[tied], where[tied] = (part[:, :n] for part in scores[tied].sort(dim=1, descending=True, stable=True))
    # topk returns ties in any order: sort by column, then stably by score, for the same answer everywhere.
    order = torch.argsort(where, dim=1, stable=True)
    best, where = best.gather(1, order), where.gather(1, order)
    order = torch.argsort(best, dim=1, descending=True, stable=True)
    best, where = best.gather(1, order), where.gather(1, order)
    return best, torch.where(best == -torch.inf, -1, where)
