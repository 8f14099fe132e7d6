"""Embedding tables whose rows, with their moments, are divided among the ranks: a DTensor with Shard(0).

A step asks the owner of each distinct row of its batch for that row. The gradient goes back to the owner, who sums
what all ranks send and updates the row. All numbers, and the order in which they are summed, are the same as with
full tables on all ranks, so sharding does not change the result.

A lookup is therefore a collective: all ranks must do the same number of lookups, some possibly of no rows.

Legend: T rows of a table, D width, R ranks, s rows of this rank's part, b rows that this rank looks up (with
duplicates), n distinct rows among them, m rows that all ranks together request from this one.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

from widedeep.config.train import EmbeddingConfig
from widedeep.parallel.row_embeddings import Reduction, RowEmbedding, sum_duplicate_rows
from widedeep.parallel.world import ALONE, World, local_part

# Rows that are drawn or sent at once: 8 MB at D = 32. A multiple of 16, see `init_shard_rows`.
BLOCK_ROWS = 1 << 16


def embedding_kind(config: EmbeddingConfig, world: World) -> Callable[[int, int, float], RowEmbedding]:
    """Return the constructor of a model's tables, a function of (rows, width, sd). One rank never shards."""
    return partial(ShardedEmbedding, world=world) if config.sharding == "row" and world.size > 1 else RowEmbedding


def shard_group(model: nn.Module, world: World) -> World:
    """Return the ranks that together hold the model's tables: all ranks if sharded, else this rank alone."""
    return world if any(isinstance(module, ShardedEmbedding) for module in model.modules()) else ALONE


def shard_bounds(rows: int, rank: int, size: int) -> tuple[int, int]:
    """Return the first row of a rank's part and the first row behind it, as torch.chunk and Shard(0) divide rows."""
    each = -(-rows // size)
    return min(rank * each, rows), min((rank + 1) * each, rows)


def init_shard_rows(rows: int, width: int, sd: float, low: int, high: int, block: int = BLOCK_ROWS) -> Tensor:
    """Draw rows `low` to `high` of the [T, D] table that `nn.init.normal_` draws, without allocating all of it.

    On the CPU torch draws normal numbers 16 at a time; if their count is not a multiple of 16, it draws the final 16
    again at the end. Blocks of a multiple of 16 rows give the same numbers if the last block is not short, and leave
    the generator in the same state.
    """
    part = torch.empty(high - low, width)
    starts = range(0, max(1, rows // block) * block, block)
    for start in starts:
        stop = start + block if start + block in starts else rows
        values = nn.init.normal_(torch.empty(stop - start, width), std=sd)
        first, last = max(start, low), min(stop, high)
        if first < last:
            part[first - low : last - low] = values[first - start : last - start]
    return part


class RowExchange:
    """Exchange of rows and gradients between this rank and their owners; all ranks construct it together."""

    def __init__(self, rows: Tensor, table: int, world: World):
        """Tell the owners which rows this rank requests.

        Args:
            rows: [b] row numbers of the whole table.
            table: T.
            world: the owners.

        """
        low, each = shard_bounds(table, world.rank, world.size)[0], shard_bounds(table, 0, world.size)[1]
        # [n] sorted, so that rows of one owner are adjacent; [b] index into them
        distinct, self._index = rows.unique(return_inverse=True)
        requested = torch.bincount(distinct // each, minlength=world.size)  # [R] rows that this rank requests
        served = torch.empty_like(requested)  # [R] rows that each rank requests from this one
        dist.all_to_all_single(served, requested)
        self._requested, self._served = torch.stack([requested, served]).tolist()
        self.rows = self._to_owners(distinct) - low  # [m] row numbers of the local part, ordered by requesting rank

    def forward(self, part: Tensor) -> Tensor:
        """Look rows up: this rank's part [s, D] -> the embeddings [b, D] of the rows that this rank requested."""
        sent = part.index_select(0, self.rows)  # [m, D]
        received = sent.new_empty(sum(self._requested), part.shape[1])  # [n, D]
        dist.all_to_all_single(received, sent, self._requested, self._served)
        return received.index_select(0, self._index)

    def backward(self, grads: Tensor) -> Tensor:
        """Send gradients to the owners: [b, D] of this rank's rows -> [m, D] of `self.rows`."""
        summed = grads.new_zeros(sum(self._requested), grads.shape[1])  # [n, D]
        return self._to_owners(summed.index_add_(0, self._index, grads))

    def _to_owners(self, sent: Tensor) -> Tensor:
        """[n, ...] -> [m, ...]."""
        received = sent.new_empty(sum(self._served), *sent.shape[1:])
        dist.all_to_all_single(received, sent, self._served, self._requested)
        return received


class ShardedEmbedding(RowEmbedding):
    """A table of which this rank holds some rows; its initial values are those of a full table."""

    weight: DTensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, rows: int, width: int, sd: float, world: World):
        # Before super().__init__, which calls `_initial`.
        self._world, self._bounds = world, shard_bounds(rows, world.rank, world.size)
        self._mesh = init_device_mesh(world.device.type, (world.size,))
        # DTensor's caches keep every mesh alive, but no process group may outlive `join_world`. Without this registry
        # torch finds the group by its name.
        self._mesh._pg_registry.clear()
        super().__init__(rows, width, sd)

    @property
    def bounds(self) -> tuple[int, int]:
        """The first row that this rank holds, and the first one behind its rows."""
        return self._bounds

    def _initial(self, rows: int, width: int, sd: float) -> Tensor:
        return self._from_local(init_shard_rows(rows, width, sd, *self._bounds), rows)

    def _from_local(self, part: Tensor, rows: int) -> DTensor:
        """[s, D] -> [T, D]."""
        part, shape = part.to(self._world.device), torch.Size((rows, part.shape[1]))
        return DTensor.from_local(part, self._mesh, [Shard(0)], shape=shape, stride=(part.shape[1], 1))

    def _look_up(self, rows: Tensor) -> Tensor:
        return RowExchange(rows, len(self.weight), self._world).forward(local_part(self.weight))

    def all_reduce_rows(self, rows: Tensor, grads: Tensor, world: World) -> Reduction:
        """Average over ranks the gradients of the rows that this rank owns and any rank gathered."""
        exchange = RowExchange(rows, len(self.weight), world)
        rows, grads = sum_duplicate_rows(exchange.rows, exchange.backward(grads), len(local_part(self.weight)))
        return lambda: (rows, grads.div_(world.size))

    def squared_norm(self, rows: Tensor, grads: Tensor) -> Tensor:
        """Return the squared norm of the gradient of the whole table, of which each rank has its rows."""
        return self._world.sum(super().squared_norm(rows, grads))

    @torch.no_grad()
    def fill_cold_row(self) -> None:
        """Set the last row to the mean of the other rows, on the rank that owns it."""
        part, others, (low, high) = local_part(self.weight), len(self.weight) - 1, self._bounds
        if others:
            mean = self._world.sum(part[: max(0, others - low)].sum(0)).div_(others)
            if low <= others < high:
                part[-1] = mean

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load this rank's rows from a checkpoint, which has them only, or from a full table, as artifacts have it."""
        name, rows = f"{prefix}weight", len(self.weight)
        if name in state_dict:
            value = local_part(state_dict[name])
            part = value[slice(*self._bounds)] if len(value) == rows else value
            if part.shape == local_part(self.weight).shape:
                state_dict[name] = self._from_local(part, rows)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def iter_full_tensor(tensor: Tensor) -> Iterator[Tensor]:
    """Yield all rows of a tensor on the CPU, block by block; for rank 0, while all others `send_local_parts`."""
    mine = local_part(tensor)
    yield from (block.cpu() for block in (mine.split(BLOCK_ROWS) if mine.dim() else [mine]))
    if isinstance(tensor, DTensor):
        ranks = tensor.device_mesh.size()
        for owner in range(1, ranks):
            low, high = shard_bounds(len(tensor), owner, ranks)
            for start in range(low, high, BLOCK_ROWS):
                block = mine.new_empty(min(BLOCK_ROWS, high - start), mine.shape[1])
                dist.recv(block, owner)
                yield block.cpu()


def send_local_parts(model: nn.Module) -> None:
    """Send this rank's rows to rank 0, which calls `iter_full_tensor` in the order of the model's state."""
    for tensor in model.state_dict().values():
        if isinstance(tensor, DTensor):
            part = local_part(tensor)
            for start in range(0, len(part), BLOCK_ROWS):
                dist.send(part[start : start + BLOCK_ROWS], 0)
