"""Predicted ratings of chosen pairs.

Legend: B pairs, U different users among them, I different items, C width of an encoding.
"""

import numpy as np
import torch

from widedeep.common.errors import DivergedError
from widedeep.models import Recommender

# Pairs rated at once: their two encodings of 129 numbers take 8 MB.
PAIRS_PER_BLOCK = 8192


@torch.inference_mode()
def predict_pairs(
    model: Recommender, users: np.ndarray, items: np.ndarray, device: torch.device | None = None
) -> np.ndarray:
    """Predict the ratings of pairs, not clipped: [B] user and [B] item indexes -> [B] float32.

    It encodes each user and each item of a block once.
    """
    out = np.empty(len(users), np.float32)
    for low in range(0, len(users), PAIRS_PER_BLOCK):
        part = slice(low, low + PAIRS_PER_BLOCK)
        distinct_users, user = _distinct(users[part], device)
        distinct_items, item = _distinct(items[part], device)
        user_encodings, item_encodings = model.encode_users(distinct_users), model.encode_items(distinct_items)
        out[part] = model.rate_grouped(user_encodings, user, item_encodings, item).cpu().numpy()
    return out


def _distinct(indexes: np.ndarray, device: torch.device | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the distinct indexes, int32, and for each given index its place among them."""
    values, places = np.unique(indexes, return_inverse=True)
    return torch.from_numpy(values.astype(np.int32)).to(device), torch.from_numpy(places).to(device)


def require_finite(answers: np.ndarray, users: np.ndarray, what: str) -> None:
    """Raise DivergedError if a model's answer is infinite or NaN: [n] numbers, and [n] whose they are."""
    bad = np.flatnonzero(~np.isfinite(answers))
    if len(bad):
        raise DivergedError(
            f"the model's {what} are not finite numbers for {len(bad):,} pairs, the first of user {users[bad[0]]} "
            f"({answers[bad[0]]}): train again with a lower optim.lr, or with optim.clip_norm"
        )
