"""What a trained model has learnt of users and anime, as vectors of length 1: neighbours are close by the cosine.

Legend: T users or items, D width of a vector.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from widedeep.common.errors import InputError
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.models.artifact import FILE, Artifact, load_artifact
from widedeep.schema.manifest import Manifest, read_manifest

BLOCK = 1 << 16


@dataclass(frozen=True)
class Trained:
    """A trained model and the data it was trained on."""

    artifact: Artifact
    manifest: Manifest
    tables: Tables

    def table(self, side: str) -> FeatureTable:
        """The feature table of `users` or `items`."""
        return self.tables.users if side == "users" else self.tables.items

    def blocks(self, side: str) -> Iterator[Tensor]:
        """Unit vectors of all users or all items, in the order of positions: [up to BLOCK, D] float32 at a time."""
        model = self.artifact.model
        vectors = model.user_vectors if side == "users" else model.item_vectors
        count = self.table(side).rows
        for low in range(0, count, BLOCK):
            with torch.inference_mode():
                found = vectors(torch.arange(low, min(low + BLOCK, count), dtype=torch.int32))
            yield torch.nn.functional.normalize(found, dim=-1)

    def vectors(self, side: str) -> Tensor:
        """All of them: [T, D]."""
        return torch.cat(list(self.blocks(side)))


def load_trained(run: Path, data: Path) -> Trained:
    """Read a run's model and the prepared directory it was trained on.

    Raises:
        InputError: either cannot be read, or they are not of the same data.

    """
    manifest, artifact = read_manifest(data), load_artifact(run / FILE)
    if artifact.manifest_digest != manifest.digest:
        raise InputError(
            f"the model in {run} was trained on other data (digest {artifact.manifest_digest[:12]}) than {data} holds "
            f"({manifest.digest[:12]}): name the directory it was trained on with --data"
        )
    return Trained(artifact, manifest, Tables(data, manifest))


def nearest(vectors: Tensor, position: int, allowed: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The vectors of the highest cosine with one of them, itself left out.

    Args:
        vectors: [T, D], of length 1.
        position: the one.
        allowed: [T] bool, who may be a neighbour.
        count: how many; fewer if fewer are allowed.

    Returns:
        positions [n] int64 and cosines [n], the highest first, equal ones in the order of positions.

    """
    cosines = vectors @ vectors[position]
    allowed = allowed.clone()
    allowed[position] = False
    places = allowed.nonzero().flatten()
    best, order = cosines[places].sort(descending=True, stable=True)
    return places[order[:count]], best[:count]
