"""Items with similar titles: mostly the parts of a franchise.

Legend: I items, M titles kept for each, u users, T targets, L ratings of a history.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from widedeep.data.matrix_products import row_blocks
from widedeep.models.history.fitted import Fitted

# Titles that are less similar have nothing to do with each other.
LEAST_SIMILARITY = 0.1


class TitleNeighbours(Fitted):
    """The items with the most similar titles, for each item."""

    neighbour: Tensor  # [I, M] int32 item indexes, -1 where there are fewer
    similarity: Tensor  # [I, M] float32, from 0 to 1

    def __init__(self, items: int, kept: int):
        """Build with empty buffers; `kept` is M, or 0 for one that is never filled."""
        super().__init__()
        kept = max(1, kept)
        self.register_buffer("neighbour", torch.full((items, kept), -1, dtype=torch.int32))
        self.register_buffer("similarity", torch.zeros(items, kept))

    def places(self, target: Tensor, place: Tensor, length: int) -> Tensor:
        """Return where the items with similar titles are in a history.

        Args:
            target: [u, T] int64 item indexes.
            place: [u, I + 1] int64, where an item is in the history, or L if it is not there.
            length: L.

        Returns:
            [u, T, M] int64, L for items that are not there.

        """
        neighbour = self.neighbour[target].long()  # [u, T, M]
        rows = torch.arange(len(target), device=target.device)[:, None, None]
        return torch.where(neighbour < 0, length, place[rows, neighbour.clamp(min=0)])

    def between(self, target: Tensor, places: Tensor, length: int) -> Tensor:
        """Return the similarity of each target's title and each title of a history.

        Args:
            target: [u, T] int64 item indexes.
            places: [u, T, M], see `places`.
            length: L.

        Returns:
            [u, T, L] float32, 0 for pairs that are not neighbours.

        """
        out = self.similarity.new_zeros(*target.shape, length + 1)
        return out.scatter_(2, places, self.similarity[target])[..., :length]

    def crosses(self, past: Tensor, weight: Tensor) -> Tensor:
        """Return for every item the sum of weight x similarity^2 over a history: [u, L] and [u, L] -> [u, I]."""
        neighbour = self.neighbour[past].long()  # [u, L, M]
        amount = self.similarity[past].square() * weight[:, :, None]
        out = weight.new_zeros(len(past), len(self.neighbour))
        return out.scatter_add_(1, neighbour.clamp(min=0).flatten(1), amount.flatten(1))


def fit_titles(titles: Sequence[str], kept: int) -> dict[str, Tensor]:
    """Return the buffers of `TitleNeighbours`: cosines of the tf-idf of the titles' character 3- and 4-grams."""
    neighbour = np.full((len(titles), max(1, kept)), -1, np.int32)
    similarity = np.zeros(neighbour.shape, np.float32)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), min_df=2, sublinear_tf=True)
    try:
        vectors = vectorizer.fit_transform([title or "" for title in titles]).astype(np.float32).tocsr()
    except ValueError:  # no two titles share anything
        return {"neighbour": torch.from_numpy(neighbour), "similarity": torch.from_numpy(similarity)}
    transposed = vectors.T.tocsr()
    for block in row_blocks(len(titles)):
        product = (vectors[block] @ transposed).tocsr()
        for row in range(block.start, block.stop):
            part = slice(*product.indptr[row - block.start : row - block.start + 2])
            column, value = product.indices[part], product.data[part]
            near = np.flatnonzero((value >= LEAST_SIMILARITY) & (column != row))
            near = near[np.argsort(-value[near], kind="stable")[:kept]]
            neighbour[row, : len(near)], similarity[row, : len(near)] = column[near], value[near]
    return {"neighbour": torch.from_numpy(neighbour), "similarity": torch.from_numpy(similarity)}
