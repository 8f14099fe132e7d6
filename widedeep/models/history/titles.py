"""Items with similar titles: mostly the parts of a franchise.

Legend: I items, M titles kept for each, u users, T targets, L ratings of a history.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from widedeep.data.matrix_products import row_blocks
from widedeep.models.history.fitted import Fitted
from widedeep.models.history.lookups import places_of, rows_of
from widedeep.models.history.past import Past

# Titles that are less similar have nothing to do with each other.
LEAST_SIMILARITY = 0.1
NEAR_TITLE = 0.6  # similarity from which two titles count as parts of a franchise


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

    def similar(self, past: Past, past_item: Tensor, target: Tensor) -> "Similar":
        """Return the items whose titles are like those of targets, and where they are in the histories.

        Args:
            past: the histories.
            past_item: [u, L] int64 item indexes.
            target: [u, T] int64 item indexes.

        """
        length, items = past.row.shape[1], len(self.neighbour)
        place = places_of(torch.where(past.present > 0, past_item, items), items + 1)  # [u, I + 1]
        place[:, items] = length  # of what fills up
        neighbour = rows_of(self.neighbour, target).long()
        stands = place.gather(1, torch.where(neighbour < 0, items, neighbour).flatten(1)).view(neighbour.shape)
        return Similar(neighbour, rows_of(self.similarity, target), stands, length)

    def crosses(self, past: Tensor, weight: Tensor) -> Tensor:
        """Return for every item the sum of weight x similarity^2 over a history: [u, L] and [u, L] -> [u, I]."""
        user, place = weight.nonzero(as_tuple=True)
        item, items = past[user, place], len(self.neighbour)
        neighbour = rows_of(self.neighbour, item).clamp(min=0)  # [n, M]
        amount = rows_of(self.similarity, item).square() * weight[user, place][:, None]
        out = weight.new_zeros(len(past) * items)
        return out.index_add_(0, (user[:, None] * items + neighbour).flatten(), amount.flatten()).view(-1, items)


class Similar(NamedTuple):
    """Items with titles like those of targets."""

    neighbour: Tensor  # [u, T, M] int64 item indexes, -1 where there are fewer
    similarity: Tensor  # [u, T, M] float32, 0 there
    place: Tensor  # [u, T, M] int64, where they are in the history, L if they are not
    length: int  # L

    def parts(self) -> Tensor:
        """Return which of the items count as parts of the target's franchise, [u, T, M] bool."""
        return self.similarity > NEAR_TITLE

    def rated_parts(self) -> Tensor:
        """Return which of these parts are in the history, [u, T, M] bool."""
        return self.parts() & (self.place < self.length)

    def dense(self) -> Tensor:
        """Return the similarity of the titles of targets and histories, 0 if they are no neighbours: [u, T, L]."""
        out = self.similarity.new_zeros(*self.place.shape[:2], self.length + 1)
        return out.scatter_(2, self.place, self.similarity)[..., : self.length]

    def of_past(self, values: Tensor) -> Tensor:
        """Return values of the ratings of a history for each item, 0 for items not in it: [u, L] -> [u, T, M]."""
        return pad(values, (0, 1)).gather(1, self.place.flatten(1)).view(self.place.shape)


def fit_titles(titles: Sequence[str], kept: int) -> dict[str, Tensor]:
    """Return the buffers of `TitleNeighbours`: cosines of the tf-idf of the titles' character 3- and 4-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # slow to import, and scoring does not need it

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
