"""EDLAE: EASE that is trained to fill in what dropout removed from the history, in closed form (Steck, NeurIPS 2020).

"Autoencoders that don't overfit towards the identity". Each entry of a history is removed with probability p, and only
the removed entries are to be reconstructed. On average over all removals this is EASE with a further penalty,
p / (1 - p) times the diagonal of X^T X: weights that start from much rated items are drawn to 0 more. p = 0 is EASE.

Legend: J rated items.
"""

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from widedeep.baselines.base import Positives
from widedeep.baselines.ease import Ease
from widedeep.config.fields import DropShare


class Edlae(Ease):
    """A linear autoencoder of the history, trained with dropout, ranks items."""

    name = "edlae"
    l2: Positives = Field(default=(100.0, 200.0, 400.0), description="further penalty of the weights, the same for all")
    dropouts: tuple[DropShare, ...] = Field(
        default=(0.1, 0.3), description="probability that an entry of a history is removed; 0 is EASE"
    )

    def penalties(self, diagonal: np.ndarray) -> Iterator[tuple[dict[str, float], float | np.ndarray]]:
        """Yield each combination of settings and its penalty [J], p / (1 - p) diagonal + l2."""
        for dropout in self.dropouts:
            for l2 in self.l2:
                penalty = dropout / (1 - dropout) * diagonal.astype(np.float64) + l2
                yield {"dropout": dropout, "l2": l2}, penalty
