"""Embedding tables of which each rank holds a share of the rows, and of their moments: a DTensor with Shard(0).

A step asks each distinct row of its batch of the row's owner; the row's gradient goes back the same way, and the
owner alone sums what comes from all ranks and moves the row. What each number is, and in which order it is summed,
is as with whole tables on all ranks, so the rows come out the same, whatever the sharding.

A look-up is therefore a collective: all ranks must do the same number of them, with no rows if need be.

Legend: T rows of a table, D width, R ranks, s rows of this rank's share, b rows looked up by this rank (with
repeats), n distinct ones, m rows that all ranks together ask of this one.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

from widedeep.config import EmbeddingConfig
from widedeep.parallel.rows import RowEmbedding, summed
from widedeep.parallel.world import ALONE, World, held

# Rows drawn or sent at once, beside the share: 8 MB of them at D = 32. A multiple of 16, see `drawn`.
BLOCK = 1 << 16


def embedding_kind(config: EmbeddingConfig, world: World) -> Callable[[int, int, float], RowEmbedding]:
    """What makes a model's tables, of (rows, width, sd). One rank alone has nobody to share with."""
    return partial(ShardedEmbedding, world=world) if config.sharding == "row" and world.size > 1 else RowEmbedding


def holders(model: nn.Module, world: World) -> World:
    """All ranks, if it takes all of them to hold the model's tables; else a world of one, as each holds all."""
    return world if any(isinstance(module, ShardedEmbedding) for module in model.modules()) else ALONE


def bounds(rows: int, rank: int, size: int) -> tuple[int, int]:
    """The first row of a rank's share and the first behind it: the shares of torch.chunk, which are Shard(0)'s."""
    share = -(-rows // size)
    return min(rank * share, rows), min((rank + 1) * share, rows)


def drawn(rows: int, width: int, sd: float, low: int, high: int, block: int = BLOCK) -> Tensor:
    """Rows `low` to `high` of the [T, D] table that `nn.init.normal_` draws, without ever holding all of it.

    On the CPU torch draws normal numbers 16 at a time, and last the final 16 anew if their number is no multiple
    of 16. So do blocks of a multiple of 16 rows, if the last one is not short; the generator moves on as far.
    """
    share = torch.empty(high - low, width)
    starts = range(0, max(1, rows // block) * block, block)
    for start in starts:
        stop = start + block if start + block in starts else rows
        values = nn.init.normal_(torch.empty(stop - start, width), std=sd)
        first, last = max(start, low), min(stop, high)
        if first < last:
            share[first - low : last - low] = values[first - start : last - start]
    return share


class Route:
    """From this rank's rows to their owners and back; made by all ranks together."""

    def __init__(self, rows: Tensor, table: int, world: World):
        """Tell the owners what is asked of them.

        Args:
            rows: [b] rows of the whole table.
            table: T.
            world: the owners.

        """
        low, share = bounds(table, world.rank, world.size)[0], bounds(table, 0, world.size)[1]
        distinct, self.places = rows.unique(return_inverse=True)  # [n] sorted, so that each owner's are together; [b]
        asked = torch.bincount(distinct // share, minlength=world.size)  # [R]
        given = torch.empty_like(asked)
        dist.all_to_all_single(given, asked)
        self._asked, self._given = torch.stack([asked, given]).tolist()  # rows for and from each rank
        self.rows = self._forth(distinct) - low  # [m] of the share, in the order of the ranks that ask

    def fetch(self, share: Tensor) -> Tensor:
        """The share [s, D] -> the embeddings [b, D] of the rows this rank looked up."""
        there = share.index_select(0, self.rows)  # [m, D]
        here = there.new_empty(sum(self._asked), share.shape[1])  # [n, D]
        dist.all_to_all_single(here, there, self._asked, self._given)
        return here.index_select(0, self.places)

    def deliver(self, grads: Tensor) -> Tensor:
        """Gradients [b, D] of this rank's rows -> [m, D] of `rows`, one from each rank that asked."""
        here = grads.new_zeros(sum(self._asked), grads.shape[1])  # [n, D]
        return self._forth(here.index_add_(0, self.places, grads))

    def _forth(self, here: Tensor) -> Tensor:
        there = here.new_empty(sum(self._given), *here.shape[1:])
        dist.all_to_all_single(there, here, self._given, self._asked)
        return there


class ShardedEmbedding(RowEmbedding):
    """A table of which this rank holds a share; its initial values are those of a whole one."""

    weight: DTensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, rows: int, width: int, sd: float, world: World):
        # Here, as `_initial` asks for them.
        self._world, self._bounds = world, bounds(rows, world.rank, world.size)
        self._mesh = init_device_mesh(world.device.type, (world.size,))
        # DTensor's caches keep every mesh, and no group may outlive `join_world`; by its name it is found all the same.
        self._mesh._pg_registry.clear()
        super().__init__(rows, width, sd)

    def _initial(self, rows: int, width: int, sd: float) -> Tensor:
        return self._of_share(drawn(rows, width, sd, *self._bounds), rows)

    def _of_share(self, share: Tensor, rows: int) -> DTensor:
        """[s, D] -> [T, D]."""
        share, shape = share.to(self._world.device), torch.Size((rows, share.shape[1]))
        return DTensor.from_local(share, self._mesh, [Shard(0)], shape=shape, stride=(share.shape[1], 1))

    def _look_up(self, rows: Tensor) -> Tensor:
        return Route(rows, len(self.weight), self._world).fetch(held(self.weight))

    def over_ranks(self, rows: Tensor, grads: Tensor, world: World) -> tuple[Tensor, Tensor]:
        """The mean gradient over ranks of every row of the share that any rank touched."""
        route = Route(rows, len(self.weight), world)
        rows, grads = summed(route.rows, route.deliver(grads), len(held(self.weight)))
        return rows, grads.div_(world.size)

    @torch.no_grad()
    def settle(self) -> None:
        """Give the last row the mean of all others; its owner does."""
        share, others, (low, high) = held(self.weight), len(self.weight) - 1, self._bounds
        if others:
            mean = self._world.sum(share[: max(0, others - low)].sum(0)).div_(others)
            if low <= others < high:
                share[-1] = mean

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take this rank's share, as checkpoints hold it, or the whole table, as the artifact does."""
        name, rows = f"{prefix}weight", len(self.weight)
        if name in state_dict:
            value = held(state_dict[name])
            share = value[slice(*self._bounds)] if len(value) == rows else value
            if share.shape == held(self.weight).shape:
                state_dict[name] = self._of_share(share, rows)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def whole(tensor: Tensor) -> Iterator[Tensor]:
    """All of a tensor on the CPU, a block of rows at a time; for rank 0, while all others `send_shares`."""
    mine = held(tensor)
    yield from (part.cpu() for part in (mine.split(BLOCK) if mine.dim() else [mine]))
    if isinstance(tensor, DTensor):
        ranks = tensor.device_mesh.size()
        for owner in range(1, ranks):
            low, high = bounds(len(tensor), owner, ranks)
            for start in range(low, high, BLOCK):
                part = mine.new_empty(min(BLOCK, high - start), mine.shape[1])
                dist.recv(part, owner)
                yield part.cpu()


def send_shares(model: nn.Module) -> None:
    """What rank 0 asks of another rank when it goes through `whole` tensors in the order of the model's state."""
    for tensor in model.state_dict().values():
        if isinstance(tensor, DTensor):
            share = held(tensor)
            for start in range(0, len(share), BLOCK):
                dist.send(share[start : start + BLOCK], 0)
