"""Look-ups in tables that are larger than the caches, which advanced indexing makes slow."""

import torch
from torch import Tensor


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """Return rows of a table, [m, ...] and any shape of int64 -> [shape, ...]; faster than `table[index]`."""
    return table.index_select(0, index.flatten()).view(*index.shape, *table.shape[1:])


def elements_of(table: Tensor, row: Tensor, column: Tensor | int) -> Tensor:
    """Return elements of a matrix [m, n] by int64 indexes that broadcast; faster than `table[row, column]`."""
    index = row * table.shape[1] + column
    return table.view(-1).index_select(0, index.flatten()).view(index.shape)


def places_of(index: Tensor, size: int) -> Tensor:
    """Return where in a history each of `size` things stands, L for in none: [u, L] int64 -> [u, size] int64."""
    length = index.shape[1]
    place = torch.full((len(index), size), length, device=index.device)
    return place.scatter_(1, index, torch.arange(length, device=index.device).expand_as(index))
