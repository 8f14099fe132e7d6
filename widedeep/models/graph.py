"""Undirected graphs with weighted edges, and the products with them that propagate vectors.

Legend: N nodes, E entries of the matrix (each edge has two, one for each direction), D width of a vector.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from widedeep.data.histories import starts_of


class Graph(nn.Module):
    """The symmetric sparse matrix [N, N] of a graph. No state has it, because it is made from data."""

    start: Tensor  # [N + 1] int32; node a has the entries from start[a] up to start[a + 1]
    neighbour: Tensor  # [E] int32
    weight: Tensor  # [E + 1] float32; the last stands for all pairs of nodes without an edge
    key: Tensor  # [E + 1] int64, ascending: a N + b of the entry (a, b), then one above all

    def __init__(self, nodes: int, first: Tensor, second: Tensor, weight: Tensor):
        """Build a graph of distinct edges.

        Args:
            nodes: N.
            first: [E / 2] int64, one end of each edge.
            second: [E / 2] int64, the other end.
            weight: [E / 2] float32, above 0.

        """
        super().__init__()
        self.nodes = nodes
        ends = torch.cat([first, second]), torch.cat([second, first])
        key, order = (ends[0] * nodes + ends[1]).sort()
        weights = torch.cat([weight, weight])[order]
        count = torch.bincount(ends[0], minlength=nodes)
        buffers = {
            "start": starts_of(count).int(),
            "neighbour": ends[1][order].int(),
            "weight": torch.cat([weights, weights.new_zeros(1)]),
            "key": torch.cat([key, key.new_tensor([nodes * nodes])]),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def find(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the entries of pairs of nodes, E where there is no edge: [...] and [...] int, which broadcast."""
        key = first.long() * self.nodes + second
        place = torch.searchsorted(self.key, key)
        return torch.where(self.key[place] == key, place, len(self.neighbour))

    def weight_without(self, first: Tensor, second: Tensor) -> Tensor:
        """Return all weights, with 0 for the edges of pairs of nodes: [b] and [b] int -> [E + 1]."""
        return self.weight.index_fill(0, torch.cat([self.find(first, second), self.find(second, first)]), 0.0)

    def matrix(self, weight: Tensor) -> Tensor:
        """Return the sparse matrix [N, N] with other weights for its entries: [E + 1] float32."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            return torch.sparse_csr_tensor(
                self.start, self.neighbour, weight[:-1], (self.nodes, self.nodes), check_invariants=False
            )


class _SymmetricProduct(torch.autograd.Function):
    """See `symmetric_product`."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, vectors: Tensor) -> Tensor:
        ctx.matrix = matrix
        return matrix @ vectors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, ctx.matrix @ grads[0]


def symmetric_product(matrix: Tensor, vectors: Tensor) -> Tensor:
    """Return matrix @ vectors, of which the vectors get the gradient: sparse [N, N] and [N, D] -> [N, D].

    The matrix is its own transpose, which torch would compute anew for each gradient, at several times the cost.
    """
    return _SymmetricProduct.apply(matrix, vectors)  # pyright: ignore[reportReturnType]
