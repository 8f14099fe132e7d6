"""Embedding tables that are updated row by row: a step touches the rows of its batch and no others.

A dense optimizer reads and writes every weight and both moments of every row at every step; with 9 M
embedding weights and 8 K ratings a batch that is most of a step. Here the gathered rows are the leaves
of the graph, their gradients are summed for each distinct row, summed over ranks, and applied to these
rows alone ("lazy" updates, as torch.optim.SparseAdam's: a row that is not in the batch rests).

Legend: T rows of a table, D width, b rows gathered in a step (with repeats), n distinct ones.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from widedeep.config import OptimConfig
from widedeep.parallel.world import World, held


class RowEmbedding(nn.Module):
    """A table of embeddings. In training each call's gathered rows collect their own gradient."""

    def __init__(self, rows: int, width: int, sd: float):
        super().__init__()
        # Not for autograd (nor for DDP's all-reduce of whole tensors): `RowOptimizer` moves it.
        self.weight = nn.Parameter(self._initial(rows, width, sd), requires_grad=False)
        self.gathered: list[tuple[Tensor, Tensor]] = []  # (rows [b], their embeddings [b, D] with a gradient)

    def _initial(self, rows: int, width: int, sd: float) -> Tensor:
        return nn.init.normal_(torch.empty(rows, width), std=sd)

    def forward(self, rows: Tensor) -> Tensor:
        """[b] int -> [b, D] float32."""
        values = self._look_up(rows)
        if self.training and torch.is_grad_enabled():
            values.requires_grad_()
            self.gathered.append((rows, values))
        return values

    def _look_up(self, rows: Tensor) -> Tensor:
        return nn.functional.embedding(rows, self.weight)

    def over_ranks(self, rows: Tensor, grads: Tensor, world: World) -> tuple[Tensor, Tensor]:
        """The mean gradient over ranks of every row that any rank touched, the same on all.

        Only distinct rows travel, so the traffic is that of the batch and not of the table.

        Args:
            rows: [b] int64, what this rank gathered; all ranks gather as many, and not none.
            grads: [b, D] of them.
            world: all ranks.

        Returns:
            [n] int64 rows of what this rank holds of the table, as `summed` gives them, and [n, D].

        """
        count, width = grads.shape
        rows, grads = summed(rows, grads, len(self.weight))
        if world.size == 1:
            return rows, grads
        # One message of a size known to all, so that nobody waits to learn it: behind the distinct rows, the first
        # one again with no gradient. Rows and gradients travel as 32 bits each.
        mine = torch.zeros(count, width + 1, dtype=torch.int32, device=rows.device)
        mine[: len(rows), :width] = grads.view(torch.int32)
        mine[: len(rows), width] = rows
        mine[len(rows) :, width] = rows[0]
        every = mine.new_empty(world.size * count, width + 1)
        dist.all_gather_single(every, mine)
        rows, grads = summed(every[:, width].long(), every[:, :width].view(torch.float32), len(self.weight))
        return rows, grads.div_(world.size)

    @torch.no_grad()
    def settle(self) -> None:
        """Give the last row the mean of all others."""
        if len(self.weight) > 1:
            self.weight[-1] = self.weight[:-1].mean(0)


def stand_ins(rows: Tensor, size: int) -> Tensor:
    """The place of one of each row's repeats, the same for all of them: [b], each below `size` -> [b] int64.

    Without a sort: each row number's last writer stands for all its repeats. Which repeat that is may be
    left to chance on parallel hardware.
    """
    order = torch.arange(len(rows), device=rows.device)
    writer = torch.empty(size, dtype=torch.int64, device=rows.device)
    writer[rows] = order
    return writer.index_select(0, rows)


def summed(rows: Tensor, grads: Tensor, size: int, compact: bool | None = None) -> tuple[Tensor, Tensor]:
    """Each row's gradients summed, in the order they come in.

    Args:
        rows: [b] int64, each below `size`.
        grads: [b, D].
        size: T.
        compact: whether each distinct row comes out once; otherwise as often as before, always with the
            whole sum. By default not on a GPU: the host would have to wait to learn how many rows there are.

    Returns:
        [n] rows and [n, D] gradients.

    """
    if compact is None:
        compact = rows.device.type == "cpu"
    leaders = stand_ins(rows, size)
    if not compact:
        return rows, torch.zeros_like(grads).index_add_(0, leaders, grads).index_select(0, leaders)
    first = leaders == torch.arange(len(rows), device=rows.device)
    places = (first.cumsum(0) - 1).index_select(0, leaders)  # [b] places among the distinct rows
    unique = rows[first]
    return unique, grads.new_zeros(len(unique), grads.shape[1]).index_add_(0, places, grads)


class RowOptimizer:
    """Moves the touched rows of embedding tables.

    adam, adamw: moments of each row's own weights; bias correction by the number of steps, not of touches.
    adagrad: one sum of squared gradients a row. sgd: no momentum (a resting row would keep drifting).
    """

    def __init__(self, tables: list[RowEmbedding], config: OptimConfig, world: World):
        self._tables, self._config, self._world = tables, config, world
        self._steps = 0
        kinds = {"adam": 2, "adamw": 2, "adagrad": 1, "sgd": 0}[config.name]
        self._moments = [[torch.zeros_like(t.weight) for _ in range(kinds)] for t in tables]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Apply the gradients that the last backward pass left in the tables, and forget them.

        Args:
            rate: the learning rate of this step.
        """
        self._steps += 1
        for table, moments in zip(self._tables, self._moments, strict=True):
            rows = torch.cat([r for r, _ in table.gathered]).long()
            grads = torch.cat([self._gradient(values) for _, values in table.gathered])
            table.gathered.clear()
            rows, grads = table.over_ranks(rows, grads, self._world)
            self._update(held(table.weight), [held(moment) for moment in moments], rows, grads, rate)

    def _gradient(self, values: Tensor) -> Tensor:
        """[b, D]: of the loss and of `embedding_decay` x the mean squared norm of the batch's embeddings."""
        assert values.grad is not None
        if self._config.embedding_decay:
            return values.grad.add_(values.detach(), alpha=2.0 * self._config.embedding_decay / len(values))
        return values.grad

    def _update(self, weight: Tensor, moments: list[Tensor], rows: Tensor, grads: Tensor, rate: float) -> None:
        """Weight [T, D] as far as it is held here, moments of the same shape; rows [n] of it, grads [n, D].

        A row that comes twice comes with the same gradient, so whichever of its copies is written last will do.
        """
        # `index_select` rather than [rows], and no scaled `index_add_`: on a CPU both are 5 times as slow.
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
        """Steps, and moments as far as they are held here."""
        return {"steps": self._steps, "moments": [[held(m) for m in moments] for moments in self._moments]}

    def load_state_dict(self, state: dict) -> None:
        """Go on where `state_dict` was taken."""
        self._steps = state["steps"]
        for mine, theirs in zip(self._moments, state["moments"], strict=True):
            for moment, value in zip(mine, theirs, strict=True):
                held(moment).copy_(value)
