"""Who we are among the ranks: device, process group, reductions. One process is a world of one."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

# gloo's threads must be gone before the interpreter's end, where they abort the process now and then («terminate
# called without an active exception»), so nothing may outlive `join_world` that holds the group. Imported later,
# as DDP does, this module would hold it in the defaults of its functions.
import torch.distributed.nn.functional

from widedeep.common.errors import InputError


@dataclass(frozen=True)
class World:
    """The position of this process among all ranks."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and speaks to the user."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all ranks, in place; the same bits on every rank."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def share(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """All ranks' values, in the order of ranks, on every rank."""
        if self.size == 1:
            return [value]
        box: list[Any] = [None] * self.size
        dist.all_gather_object(box, value)
        return box

    def wait(self) -> None:
        """Go on when all ranks have come here."""
        if self.size > 1:
            dist.barrier()


ALONE = World(0, 1, 0, 1, torch.device("cpu"))


def held(tensor: torch.Tensor) -> torch.Tensor:
    """What this rank holds of a tensor: its share of a DTensor, all of any other."""
    # By its method, as importing the class takes half a second, which scoring has no use for.
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Join the ranks that torchrun started (or be alone), and leave at the end.

    Args:
        device: auto, cpu or cuda.

    Raises:
        InputError: cuda is asked for and there is none.

    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda is asked for but PyTorch sees no GPU; use --device cpu or auto")
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda and local_size > torch.cuda.device_count():
        raise InputError(
            f"{local_size} ranks on a machine with {torch.cuda.device_count()} GPU(s): "
            "start fewer with --nproc-per-node, or use --device cpu"
        )
    place = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(place)
        torch.set_float32_matmul_precision("high")  # TF32: 10 bits of each factor, sums in float32
    else:
        # torchrun pins ranks to one thread; share the cores this process may use instead.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // local_size))
    if size > 1:
        dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(minutes=30))
    try:
        yield World(rank, size, local_rank, local_size, place)
    finally:
        if dist.is_initialized():
            gc.collect()  # DDP's cycles hold the group: see above
            dist.destroy_process_group()
