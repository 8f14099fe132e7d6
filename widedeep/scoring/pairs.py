"""Predicted ratings of chosen pairs, and the manifest of a directory of them.

Legend: B pairs, U different users among them, I different items, C width of a code.
"""

from typing import Any

import numpy as np
import torch

from widedeep.models import Recommender
from widedeep.schema.manifest import DataFile
from widedeep.schema.records import Record

# Pairs scored at once: their two codes of 129 numbers are 8 MB.
BLOCK_PAIRS = 8192


class PredictionManifest(Record):
    """`_manifest.json` of a predictions directory; written last."""

    config: dict[str, Any]
    data_digest: str  # of the prepared directory
    rows: int
    files: tuple[DataFile, ...]


@torch.inference_mode()
def predict_pairs(
    model: Recommender, users: np.ndarray, items: np.ndarray, device: torch.device | None = None
) -> np.ndarray:
    """[B], [B] positions -> [B] float32 ratings, not clipped. Each user and each item of a block is encoded once."""
    out = np.empty(len(users), np.float32)
    for low in range(0, len(users), BLOCK_PAIRS):
        part = slice(low, low + BLOCK_PAIRS)
        distinct_users, user = _distinct(users[part], device)
        distinct_items, item = _distinct(items[part], device)
        user_codes, item_codes = (
            model.encode_users(distinct_users),
            model.encode_items(distinct_items),
        )  # [U, C], [I, C]
        out[part] = model.score_pairs(user_codes[user], item_codes[item]).cpu().numpy()
    return out


def _distinct(positions: np.ndarray, device: torch.device | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The different positions, int32, and where each of the given ones is among them."""
    values, places = np.unique(positions, return_inverse=True)
    return torch.from_numpy(values.astype(np.int32)).to(device), torch.from_numpy(places).to(device)
