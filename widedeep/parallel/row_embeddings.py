"""Embedding tables with row-wise updates: a step changes only the rows of its batch.

A dense optimizer reads and writes the weights and both moments of every row at every step. With 9 M embedding weights
and batches of 8 K ratings this takes most of a step. Here the gathered rows are the leaves of the graph. Their
gradients are summed for each distinct row, averaged over ranks, and applied to these rows only. These are "lazy"
updates like those of torch.optim.SparseAdam: rows outside the batch do not change.

Legend: T rows of a table, D width, b gathered rows of a step (with duplicates), n distinct rows.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
import torch.distributed as dist
from torch import Tensor, nn

from widedeep.config.train import OptimConfig
from widedeep.parallel.world import World, local_part

# A function that waits for an average over ranks, and returns the rows and their mean gradients.
Reduction = Callable[[], tuple[Tensor, Tensor]]


class RowEmbedding(nn.Module):
    """An embedding table. In training mode the rows that each call gathers get a gradient of their own."""

    def __init__(self, rows: int, width: int, sd: float):
        super().__init__()
        # Neither autograd nor DDP handles this tensor, which DDP would reduce as a whole: `RowOptimizer` updates it.
        self.weight = nn.Parameter(self._initial(rows, width, sd), requires_grad=False)
        self.gathered: list[tuple[Tensor, Tensor]] = []  # (row numbers [b], embeddings [b, D] with grad)

    def _initial(self, rows: int, width: int, sd: float) -> Tensor:
        return nn.init.normal_(torch.empty(rows, width), std=sd)

    @property
    def bounds(self) -> tuple[int, int]:
        """The first row that this rank holds, and the first one behind its rows."""
        return 0, len(self.weight)

    def own_rows(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the rows that this rank holds.

        Args:
            parts: a table of this one's size, whole or divided among any number of ranks, in the order of the ranks.

        """
        low, high = self.bounds
        if len(parts[0]) == len(self.weight):
            return parts[0][low:high]
        starts = accumulate((len(part) for part in parts), initial=0)
        cut = [part[max(low - start, 0) : max(high - start, 0)] for part, start in zip(parts, starts, strict=False)]
        return torch.cat(cut)

    def forward(self, rows: Tensor) -> Tensor:
        """[b] int -> [b, D] float32."""
        values = self._look_up(rows)
        if self.training and torch.is_grad_enabled():
            values.requires_grad_()
            self.gathered.append((rows, values))
        return values

    def _look_up(self, rows: Tensor) -> Tensor:
        return nn.functional.embedding(rows, self.weight)

    def all_reduce_rows(self, rows: Tensor, grads: Tensor, world: World) -> Reduction:
        """Begin to average the gradients of all gathered rows over ranks; every rank gets the same result.

        Only distinct rows are sent, so the traffic depends on the batch and not on the table.

        Args:
            rows: [b] int64, the rows that this rank gathered; b is the same on all ranks and not 0.
            grads: [b, D], their gradients.
            world: all ranks.

        Returns:
            a function that returns [n] int64 row numbers within this rank's part of the table, as
            `sum_duplicate_rows` gives them, and [n, D] mean gradients.

        """
        count, width = grads.shape
        rows, grads = sum_duplicate_rows(rows, grads, len(self.weight))
        if world.size == 1:
            return lambda: (rows, grads)
        # Every rank sends b rows, so that sizes need not be exchanged first: the distinct rows, then copies of the
        # first row with a gradient of 0. Row numbers and gradients are sent as 32-bit words side by side.
        mine = torch.zeros(count, width + 1, dtype=torch.int32, device=rows.device)
        mine[: len(rows), :width] = grads.view(torch.int32)
        mine[: len(rows), width] = rows
        mine[len(rows) :, width] = rows[0]
        every = mine.new_empty(world.size * count, width + 1)
        sent = dist.all_gather_single(every, mine, async_op=True)
        assert sent is not None  # this rank is in the group

        def received() -> tuple[Tensor, Tensor]:
            sent.wait()
            rows, grads = every[:, width].long(), every[:, :width].view(torch.float32)
            rows, grads = sum_duplicate_rows(rows, grads, len(self.weight))
            return rows, grads.div_(world.size)

        return received

    def squared_norm(self, rows: Tensor, grads: Tensor) -> Tensor:
        """Return the squared norm of the gradient of the whole table, [], from what `all_reduce_rows` returned."""
        # Rows may be there several times, each with the full sum.
        once = representative_index(rows, len(local_part(self.weight))) == torch.arange(len(rows), device=rows.device)
        return (grads.square().sum(1) * once).sum()

    @torch.no_grad()
    def fill_cold_row(self) -> None:
        """Set the last row, which all cold users or items share, to the mean of the other rows."""
        if len(self.weight) > 1:
            self.weight[-1] = self.weight[:-1].mean(0)


def representative_index(rows: Tensor, size: int) -> Tensor:
    """Index of one representative occurrence of each row: [b], each below `size` -> [b] int64.

    All duplicates of a row get the same index: that of the last one written to a table of `size` entries, which
    needs no sort. Which one is written last may vary on parallel hardware.
    """
    order = torch.arange(len(rows), device=rows.device)
    writer = torch.empty(size, dtype=torch.int64, device=rows.device)
    writer[rows] = order
    return writer.index_select(0, rows)


def sum_duplicate_rows(rows: Tensor, grads: Tensor, size: int, compact: bool | None = None) -> tuple[Tensor, Tensor]:
    """Sum the gradients of each distinct row, in the order of `rows`.

    Args:
        rows: [b] int64, each below `size`.
        grads: [b, D].
        size: T.
        compact: True returns each distinct row once; False returns all b rows, each with the full sum. By default
            False on a GPU only, where the host would have to wait to learn n.

    Returns:
        [n] rows and [n, D] gradients.

    """
    if compact is None:
        compact = rows.device.type == "cpu"
    index = representative_index(rows, size)
    if not compact:
        return rows, torch.zeros_like(grads).index_add_(0, index, grads).index_select(0, index)
    first = index == torch.arange(len(rows), device=rows.device)
    targets = (first.cumsum(0) - 1).index_select(0, index)  # [b] numbers of the distinct rows
    unique = rows[first]
    return unique, grads.new_zeros(len(unique), grads.shape[1]).index_add_(0, targets, grads)


class RowOptimizer:
    """Updates the gathered rows of embedding tables: `start` sends the gradients to the other ranks, `step` uses them.

    adam, adamw: moments per weight; bias correction by the number of steps, not of updates of the row.
    adagrad: a sum of squared gradients per weight. sgd: no momentum, which would keep moving rows outside the batch.
    """

    def __init__(self, tables: list[RowEmbedding], config: OptimConfig, world: World):
        self._tables, self._config, self._world = tables, config, world
        self._steps = 0
        moments = {"adam": 2, "adamw": 2, "adagrad": 1, "sgd": 0}[config.name]
        self._moments = [[torch.zeros_like(t.weight) for _ in range(moments)] for t in tables]

    @torch.no_grad()
    def start(self) -> list[Reduction]:
        """Begin to average the gradients of the last backward pass over ranks, and clear them."""
        begun = []
        for table in self._tables:
            rows = torch.cat([r for r, _ in table.gathered]).long()
            grads = torch.cat([self._gradient(values) for _, values in table.gathered])
            table.gathered.clear()
            begun.append(table.all_reduce_rows(rows, grads, self._world))
        return begun

    @torch.no_grad()
    def step(self, begun: list[Reduction], rate: float, measured: bool = False) -> Tensor | float:
        """Update the tables with the gradients from `start` at a learning rate.

        Return the squared norm of the gradients of all tables if `measured`; else 0.
        """
        self._steps += 1
        squared_norm: Tensor | float = 0.0
        for table, moments, received in zip(self._tables, self._moments, begun, strict=True):
            rows, grads = received()
            if measured:
                squared_norm = squared_norm + table.squared_norm(rows, grads)
            self._update(local_part(table.weight), [local_part(moment) for moment in moments], rows, grads, rate)
        return squared_norm

    def _gradient(self, values: Tensor) -> Tensor:
        """Gradient of loss + `embedding_decay` x mean squared norm of the batch's embeddings: [b, D]."""
        assert values.grad is not None
        if self._config.embedding_decay:
            return values.grad.add_(values.detach(), alpha=2.0 * self._config.embedding_decay / len(values))
        return values.grad

    def _update(self, weight: Tensor, moments: list[Tensor], rows: Tensor, grads: Tensor, rate: float) -> None:
        """Update rows of a table.

        Args:
            weight: [T, D], this rank's part of the table.
            moments: of the same shape.
            rows: [n]; duplicates have equal gradients, so it does not matter which of them is written last.
            grads: [n, D].
            rate: the learning rate.

        """
        # `index_select` instead of [rows], and no scaled `index_add_`: these are 5 times slower on a CPU.
        if self._config.name == "sgd":
            steps = grads.mul_(-rate)
        elif self._config.name == "adagrad":
            total = moments[0].index_select(0, rows).addcmul_(grads, grads)
            moments[0].index_copy_(0, rows, total)
            steps = grads.div_(total.sqrt_().add_(1e-10)).mul_(-rate)
        else:  # Kingma & Ba, 2015, algorithm 1
            beta1, beta2 = 0.9, 0.999
            first = moments[0].index_select(0, rows).lerp_(grads, 1 - beta1)
            second = moments[1].index_select(0, rows).mul_(beta2).addcmul_(grads, grads, value=1 - beta2)
            moments[0].index_copy_(0, rows, first)
            moments[1].index_copy_(0, rows, second)
            spread = second.sqrt_().div_((1 - beta2**self._steps) ** 0.5).add_(1e-8)
            steps = first.div_(spread).mul_(-rate / (1 - beta1**self._steps))
        weight.index_copy_(0, rows, weight.index_select(0, rows).add_(steps))

    def state_dict(self) -> dict:
        """Return the number of steps and this rank's part of the moments."""
        return {"steps": self._steps, "moments": [[local_part(m) for m in moments] for moments in self._moments]}

    def own_state(self, states: Sequence[dict]) -> dict:
        """Return this rank's part of what `state_dict` returned on each of any number of ranks."""
        moments = [
            [table.own_rows([state["moments"][place][number] for state in states]) for number in range(len(kept))]
            for place, (table, kept) in enumerate(zip(self._tables, self._moments, strict=True))
        ]
        return {"steps": states[0]["steps"], "moments": moments}

    def load_state_dict(self, state: dict) -> None:
        """Restore what `state_dict` returned."""
        self._steps = state["steps"]
        for moments, saved in zip(self._moments, state["moments"], strict=True):
            for moment, value in zip(moments, saved, strict=True):
                local_part(moment).copy_(value)
