"""The top-N items of users, by a model's affinities; used by batch scoring, evaluation and for single people.

Legend: U users of a block, I items, N recommended items, P chosen items of a user, C width of an encoding.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from widedeep.models import Recommender
from widedeep.models.base import Explanation, Histories
from widedeep.scoring.top_n import top_unseen

# Users scored at once: their affinities to 25 K items take 12 MB.
USERS_PER_BLOCK = 128


class TopItems(NamedTuple):
    """The best items of users, best first."""

    items: np.ndarray  # [U, N] int64 item indexes, -1 where a user has no item left
    affinities: np.ndarray  # [U, N] float32, -inf where there is no item
    ratings: np.ndarray  # [U, N] float32 predicted ratings, not clipped; undefined where there is no item


class Scorer:
    """Scores all items for blocks of users. It encodes the items once: make a new one after the model has changed."""

    def __init__(self, model: Recommender, items: int, device: torch.device | None = None):
        self._model, self._items = model, items
        self._device = device or torch.device("cpu")
        self._last_encoded: tuple[np.ndarray, Tensor] | None = None
        self._last_histories: tuple[Histories, Tensor] | None = None
        with torch.inference_mode():
            index = torch.arange(items, dtype=torch.int32, device=self._device)
            self._item_encodings = model.encode_items(index).contiguous()  # [I, C]

    @torch.inference_mode()
    def affinities(self, users: np.ndarray) -> Tensor:
        """Return the affinities of users to all items: [U] int32 user indexes -> [U, I] float32."""
        return self._affinities(self._encode(users))

    @torch.inference_mode()
    def ratings_of(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Predict ratings of chosen items: [U] int32 user and [U, P] int64 item indexes -> [U, P], not clipped."""
        return self._ratings(self._encode(users), torch.from_numpy(items).to(self._device)).cpu().numpy()

    @torch.inference_mode()
    def ratings_of_histories(self, histories: Histories, items: np.ndarray) -> np.ndarray:
        """Predict ratings of people who need not be in the data; see `ratings_of` and `top_of_histories`."""
        return self._ratings(self._encode_histories(histories), torch.from_numpy(items).to(self._device)).cpu().numpy()

    @torch.inference_mode()
    def top(self, users: np.ndarray, seen: Sequence[np.ndarray], n: int) -> TopItems:
        """Return the best unseen items of users of the data.

        Args:
            users: [U] int32 user indexes.
            seen: the item indexes that each user's list leaves out.
            n: length of the lists; they are shorter only if there are fewer items.

        """
        return self._top_in_blocks(lambda part: self._encode(users[part]), seen, n)

    @torch.inference_mode()
    def top_of_histories(self, histories: Histories, seen: Sequence[np.ndarray], n: int) -> TopItems:
        """Return the best unseen items of people by their ratings; they need not be in the data.

        The model must have `encodes_histories`. For the other arguments see `top`.
        """
        encodings = self._encode_histories(histories)
        whole = len(seen) <= USERS_PER_BLOCK  # then it stays the tensor of which a model keeps what it has unpacked
        return self._top_in_blocks(lambda part: encodings if whole else encodings[part], seen, n)

    @torch.inference_mode()
    def explain(self, users: np.ndarray, items: np.ndarray) -> Explanation:
        """Explain affinities: [U] int32 user and [U, P] int64 item indexes; the model must be one that `explains`."""
        return self._explain(self._encode(users), items)

    @torch.inference_mode()
    def explain_histories(self, histories: Histories, items: np.ndarray) -> Explanation:
        """Explain affinities of people who need not be in the data; see `explain` and `top_of_histories`."""
        return self._explain(self._encode_histories(histories), items)

    def _explain(self, encodings: Tensor, items: np.ndarray) -> Explanation:
        chosen = torch.from_numpy(items).to(self._device)
        parts = self._model.explain_chosen(encodings, self._item_encodings, chosen)
        return Explanation(*(part.cpu() for part in parts))

    def _top_in_blocks(self, encoding_of: Callable[[slice], Tensor], seen: Sequence[np.ndarray], n: int) -> TopItems:
        """Return the top items of users, one for each entry of `seen`, whose parts `encoding_of` encodes."""
        n = min(n, self._items)
        parts = [slice(low, low + USERS_PER_BLOCK) for low in range(0, len(seen), USERS_PER_BLOCK)]
        blocks = [self._top(encoding_of(part), seen[part], n) for part in parts]
        if blocks:
            return TopItems(*(np.concatenate(columns) for columns in zip(*blocks, strict=True)))
        return TopItems(np.empty((0, n), np.int64), np.empty((0, n), np.float32), np.empty((0, n), np.float32))

    def _top(self, encodings: Tensor, seen: Sequence[np.ndarray], n: int) -> TopItems:
        """Return the top items of a block of encoded users, [U, C]."""
        affinities, items = self._best(encodings, seen, n)
        ratings = affinities
        if not self._model.affinity_is_rating:
            ratings = self._ratings(encodings, items.clamp(min=0))
        return TopItems(*(part.cpu().numpy() for part in (items, affinities, ratings)))

    def _best(self, encodings: Tensor, seen: Sequence[np.ndarray], n: int) -> tuple[Tensor, Tensor]:
        """Return the affinities and items of a block's lists; see `top_unseen`."""
        return top_unseen(self._affinities(encodings), seen, n)

    def _encode(self, users: np.ndarray) -> Tensor:
        """Encode users; the last encodings are kept, as users whose lists were made are explained next."""
        last = self._last_encoded
        if last is None or not np.array_equal(last[0], users):
            encodings = self._model.encode_users(torch.from_numpy(np.ascontiguousarray(users)).to(self._device))
            self._last_encoded = last = users.copy(), encodings
        return last[1]

    def _encode_histories(self, histories: Histories) -> Tensor:
        """Encode histories; the encodings of the last ones are kept, as `_encode` keeps those of users."""
        last = self._last_histories
        if last is None or last[0] is not histories:
            encodings = self._model.encode_histories(Histories(*(part.to(self._device) for part in histories)))
            self._last_histories = last = histories, encodings
        return last[1]

    def _affinities(self, encodings: Tensor) -> Tensor:
        out = torch.empty(len(encodings), self._items, device=self._device)
        self._model.score_block(encodings, self._item_encodings, out)
        return out

    def _ratings(self, encodings: Tensor, items: Tensor) -> Tensor:
        out = torch.empty(items.shape, device=self._device)
        self._model.rate_chosen(encodings, self._item_encodings, items, out)
        return out
