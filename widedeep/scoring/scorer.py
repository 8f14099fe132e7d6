"""A model -> the top-N items of a block of users. Used by batch scoring and by evaluation.

Legend: U users of a block, I items, N items recommended, C width of a code.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from widedeep.models import Recommender

# Users scored at once: their scores over 25 K items are 12 MB.
BLOCK = 128


class Scorer:
    """Scores all items for blocks of users; the items are encoded once."""

    def __init__(self, model: Recommender, items: int, device: torch.device | None = None):
        self._model, self._items = model, items
        self._device = device or torch.device("cpu")
        with torch.inference_mode():
            positions = torch.arange(items, dtype=torch.int32, device=self._device)
            self._codes = model.encode_items(positions).contiguous()  # [I, C]

    @torch.inference_mode()
    def scores(self, users: Tensor) -> Tensor:
        """[U] int32 positions -> [U, I] float32 ratings, not clipped."""
        out = torch.empty(len(users), self._items, device=self._device)
        self._model.score_block(self._model.encode_users(users.to(self._device)), self._codes, out)
        return out

    @torch.inference_mode()
    def of_chosen(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Ratings of each user's own items: [U] int32 and [U, P] int64 positions -> [U, P] float32, not clipped."""
        out = torch.empty(items.shape, device=self._device)
        codes = self._model.encode_users(torch.from_numpy(np.ascontiguousarray(users)).to(self._device))
        self._model.score_chosen(codes, self._codes, torch.from_numpy(items).to(self._device), out)
        return out.cpu().numpy()

    @torch.inference_mode()
    def top(self, users: np.ndarray, seen: Sequence[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
        """The best unseen items of each user.

        Args:
            users: [U] int32 positions.
            seen: for each user the positions of the items to leave out.
            n: how many; fewer come back only if there are fewer items.

        Returns:
            items [U, n] int64, best first, -1 where a user has no item left; scores [U, n] float32.

        """
        n = min(n, self._items)
        items = np.empty((len(users), n), np.int64)
        scores = np.empty((len(users), n), np.float32)
        for low in range(0, len(users), BLOCK):
            part = slice(low, min(low + BLOCK, len(users)))
            best, where = self.best_of_block(torch.from_numpy(np.ascontiguousarray(users[part])), seen[part], n)
            items[part], scores[part] = where.cpu().numpy(), best.cpu().numpy()
        return items, scores

    def best_of_block(self, users: Tensor, seen: Sequence[np.ndarray], n: int) -> tuple[Tensor, Tensor]:
        """[U] positions, at most BLOCK -> scores [U, n] and items [U, n], as `top_unseen` gives them."""
        return top_unseen(self.scores(users), seen, n)


def top_unseen(scores: Tensor, seen: Sequence[np.ndarray], n: int) -> tuple[Tensor, Tensor]:
    """The n highest scores of each row without its seen items; equal scores in the order of items.

    Args:
        scores: [U, I], changed in place.
        seen: for each row the positions to leave out.
        n: how many, at most I.

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
    """The n highest scores of each row and their columns; equal scores in the order of columns, -1 at -inf."""
    best, where = torch.topk(scores, min(n + 1, scores.shape[1]), dim=1)
    # Where the next place has the last one's score, topk may have kept either: sorting the whole row tells.
    torn = (best[:, n - 1] == best[:, -1]) & (best[:, -1] > -torch.inf)
    best, where = best[:, :n], where[:, :n]
    if torn.any():
        best[torn], where[torn] = (part[:, :n] for part in scores[torn].sort(dim=1, descending=True, stable=True))
    # topk leaves ties in any order: put them in the order of items, for the same answer everywhere.
    order = torch.argsort(where, dim=1, stable=True)
    best, where = best.gather(1, order), where.gather(1, order)
    order = torch.argsort(best, dim=1, descending=True, stable=True)
    best, where = best.gather(1, order), where.gather(1, order)
    return best, torch.where(best == -torch.inf, -1, where)
