"""The ranks of a training: device, process group and collectives. A single process is a world of size one."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist

from widedeep.common.errors import InputError
from widedeep.common.machine import available_cores


@dataclass(frozen=True)
class World:
    """This process among all ranks."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and prints: rank 0 does."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over all ranks in place; every rank gets the same bits."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in the order of ranks, on every rank."""
        if self.size == 1:
            return [value]
        box: list[Any] = [None] * self.size
        dist.all_gather_object(box, value)
        return box

    def barrier(self) -> None:
        """Wait until all ranks have called this."""
        if self.size > 1:
            dist.barrier()


ALONE = World(0, 1, torch.device("cpu"))


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """Return the rows of a tensor on this rank: the local shard of a DTensor, all rows of any other tensor."""
    # Not isinstance: importing DTensor takes half a second, and scoring does not need it.
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def join_world(device: str, timeout_seconds: float = 1800) -> Iterator[World]:
    """Join the ranks that torchrun started, or run alone without torchrun; leave the process group at the end.

    Args:
        device: auto, cpu or cuda.
        timeout_seconds: after which waiting for another rank is an error.

    Raises:
        InputError: `device` is cuda but there is no GPU, or there are more ranks than GPUs.

    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda is set but PyTorch sees no GPU; use --device cpu or auto")
    cuda = device != "cpu" and torch.cuda.is_available()
    if cuda and local_size > torch.cuda.device_count():
        raise InputError(
            f"{local_size} ranks on a machine with {torch.cuda.device_count()} GPU(s): "
            "start fewer with --nproc-per-node, or use --device cpu"
        )
    chosen = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(chosen)
        torch.set_float32_matmul_precision("high")  # TF32: factors are rounded to 10 bits, sums are float32
    else:
        # torchrun gives each rank one thread. Divide the available cores among the ranks of this machine instead.
        torch.set_num_threads(max(1, available_cores() // local_size))
    if size > 1:
        # gloo's threads must end before the interpreter does, or they sometimes abort the process ("terminate called
        # without an active exception"). So no reference to the process group may outlive this. The module below stores
        # the group of the time of its import in the defaults of its functions; DDP would import it later.
        import_module("torch.distributed.nn.functional")
        dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(seconds=timeout_seconds))
    try:
        yield World(rank, size, chosen)
    finally:
        if dist.is_initialized():
            gc.collect()  # reference cycles of DDP keep the group alive
            dist.destroy_process_group()
