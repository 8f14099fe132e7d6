"""The learnt vectors of users and items, scaled to length 1: those of similar users or items have a high cosine.

Legend: T users or items, n of them at once, D width of a vector.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.models.artifact import MODEL_FILE, Artifact, load_artifact
from widedeep.schema.manifest import Manifest, read_manifest

VECTORS_PER_BLOCK = 1 << 16


@dataclass(frozen=True)
class TrainedModel:
    """A trained model and the prepared data that it was trained on."""

    artifact: Artifact
    manifest: Manifest
    tables: Tables

    def table(self, side: str) -> FeatureTable:
        """Return the feature table of `users` or `items`."""
        return self.tables.users if side == "users" else self.tables.items

    def iter_vectors(self, side: str) -> Iterator[Tensor]:
        """Yield the unit vectors of all users or all items in the order of their indexes, in blocks [n, D] float32."""
        count = self.table(side).rows
        for low in range(0, count, VECTORS_PER_BLOCK):
            yield self.vectors_of(side, np.arange(low, min(low + VECTORS_PER_BLOCK, count)))

    def vectors_of(self, side: str, indexes: np.ndarray) -> Tensor:
        """Return the unit vectors of some users or items, [n] indexes -> [n, D] float32."""
        model = self.artifact.model
        vectors = model.user_vectors if side == "users" else model.item_vectors
        with torch.inference_mode():
            rows = vectors(torch.from_numpy(indexes.astype(np.int32)))
        return torch.nn.functional.normalize(rows, dim=-1)

    def vectors(self, side: str) -> Tensor:
        """Return the unit vectors of all users or all items: [T, D]."""
        return torch.cat(list(self.iter_vectors(side)))


def load_trained(run: Path, data: Path) -> TrainedModel:
    """Read a run's model and the prepared directory it was trained on.

    Raises:
        InputError: either cannot be read, or the model was trained on other data.

    """
    manifest, artifact = read_manifest(data), load_artifact(run / MODEL_FILE)
    artifact.check_trained_on(manifest.digest, run, data)
    return TrainedModel(artifact, manifest, Tables(data, manifest))


def nearest(vectors: Tensor, index: int, allowed: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the vectors with the highest cosine to a given one, which is left out.

    Args:
        vectors: [T, D], of length 1.
        index: index of the given vector.
        allowed: [T] bool, whether each may be a neighbour.
        count: number of neighbours; fewer if fewer are allowed.

    Returns:
        Indexes [n] int64 and cosines [n], the highest first, ties in ascending order of indexes.

    """
    cosines = vectors @ vectors[index]
    allowed = allowed.clone()
    allowed[index] = False
    candidates = allowed.nonzero().flatten()
    best, order = cosines[candidates].sort(descending=True, stable=True)
    return candidates[order[:count]], best[:count]
