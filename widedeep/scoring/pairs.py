"""Predicted ratings of chosen pairs.

Legend: B pairs.
"""

import numpy as np
import torch

from widedeep.common.errors import DivergedError
from widedeep.models import Recommender

# Pairs rated at once: two encodings of 129 numbers for each take 8 MB. A model with longer ones takes fewer at a time.
PAIRS_PER_BLOCK = 8192


@torch.inference_mode()
def predict_pairs(
    model: Recommender, users: np.ndarray, items: np.ndarray, device: torch.device | None = None
) -> np.ndarray:
    """Predict the ratings of pairs, not clipped: [B] user and [B] item indexes -> [B] float32."""
    out = np.empty(len(users), np.float32)
    for low in range(0, len(users), PAIRS_PER_BLOCK):
        part = slice(low, low + PAIRS_PER_BLOCK)
        user, item = (torch.from_numpy(index[part].astype(np.int32)).to(device) for index in (users, items))
        out[part] = model.rate_known(user, item).cpu().numpy()
    return out


def require_finite(answers: np.ndarray, users: np.ndarray, what: str) -> None:
    """Raise DivergedError if a model's answer is infinite or NaN: [n] numbers, and [n] whose they are."""
    bad = np.flatnonzero(~np.isfinite(answers))
    if len(bad):
        raise DivergedError(
            f"the model's {what} are not finite numbers for {len(bad):,} pairs, the first of user {users[bad[0]]} "
            f"({answers[bad[0]]}): train again with a lower optim.lr, or with optim.clip_norm"
        )
