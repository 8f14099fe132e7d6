"""Why lists hold what they hold, as columns of lists.

Legend: U users, N recommended items, R reasons of an item, r rows of the lists.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from widedeep.models.base import REASONS, Explanation
from widedeep.schema.dataset import Identifiers
from widedeep.schema.recommendations import id_type, reason_type

# Of an affinity: what the sum of its parts may differ from it by rounding.
ROUNDING = 1e-3


class Reasons(NamedTuple):
    """Explanations of lists."""

    parts: np.ndarray  # [3, U, N] float32 parts of the affinities, NaN where they are not known
    items: np.ndarray  # [U, N, R] int64 items of the history, the strongest first, -1 where there are fewer
    ratings: np.ndarray  # [U, N, R] float32, the user's own
    shares: np.ndarray  # [U, N, R] float32

    @classmethod
    def none(cls, users: int, items: int) -> "Reasons":
        """Return those of lists of which nothing is known."""
        shape = users, items, REASONS
        ratings, shares = np.zeros((2, *shape), np.float32)
        return cls(np.full((3, *shape[:2]), np.nan, np.float32), np.full(shape, -1), ratings, shares)

    def fill(self, rows: np.ndarray, explanation: Explanation, affinities: np.ndarray) -> None:
        """Fill in the explanation of some of the users.

        Parts that do not add up to the affinity in the list are left out: the list ranks by something else.

        Args:
            rows: [u] of U.
            explanation: of their lists.
            affinities: [u, N] of their lists.

        """
        *parts, items, ratings, shares = (part.numpy() for part in explanation)
        stacked = np.stack(parts)
        differs = np.abs(stacked.sum(0) - affinities) > ROUNDING * (1.0 + np.abs(affinities))
        self.parts[:, rows] = np.where(differs, np.nan, stacked)
        self.items[rows], self.ratings[rows], self.shares[rows] = items, ratings, shares

    def columns(
        self, rows: np.ndarray, ranks: np.ndarray, item_id: np.ndarray, titles: pa.Array, ids: Identifiers
    ) -> dict[str, pa.Array]:
        """Return the columns of lists that explain, for rows of lists.

        Args:
            rows: [r] of U.
            ranks: [r] of N.
            item_id: [I] of all items.
            titles: I of all items.
            ids: what identifiers are.

        """
        items, ratings, shares = (column[rows, ranks] for column in self[1:])  # [r, R]
        there = items >= 0
        item = items[there]
        fields = [
            pa.array(item_id[item], id_type(ids)),
            titles.take(pa.array(item)),
            pa.array(ratings[there]),
            pa.array(shares[there]),
        ]
        offsets = np.append(0, there.sum(1).cumsum()).astype(np.int32)
        parts = (pa.array(part[rows, ranks], from_pandas=True) for part in self.parts)  # NaN becomes null
        named = dict(zip(("affinity_wide", "affinity_content", "affinity_deep"), parts, strict=True))
        structs = pa.StructArray.from_arrays(fields, fields=list(reason_type(ids)))
        return named | {"reasons": pa.ListArray.from_arrays(offsets, structs)}
