"""How near a training comes to the limit of its device: the rate of its matrix products."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

LEAST_SHARE = 0.01  # a model with less does something else than multiply, of which this is no measure
RATE_SECONDS = 0.1  # for which the rate of a device is measured
# Rows and columns of the matrices, and products between two looks at the clock: both hide the start of a product.
SIDE, PRODUCTS = {"cpu": 1024, "cuda": 4096}, {"cpu": 1, "cuda": 10}


def gemm_rate(device: torch.device, seconds: float, rows: int, inner: int, columns: int) -> float:
    """Return the FLOP/s of the float32 matrix product [rows, inner] x [inner, columns], with the settings of torch.

    Args:
        device: where to multiply, with all of torch's threads if it is the CPU.
        seconds: how long to multiply, after a first product that does not count. The median product tells.
        rows: of the left matrix.
        inner: columns of the left matrix, rows of the right one.
        columns: of the right matrix.

    """
    generator = torch.Generator(device).manual_seed(0)  # of its own: a training's draws must not depend on this
    left = torch.rand(rows, inner, device=device, generator=generator)
    right = torch.rand(inner, columns, device=device, generator=generator)
    out, count = torch.empty(rows, columns, device=device), PRODUCTS[device.type]

    def multiply() -> float:
        begun = time.perf_counter()
        for _ in range(count):
            torch.mm(left, right, out=out)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    multiply()
    times, begun = [multiply()], time.perf_counter()
    while time.perf_counter() - begun < seconds:
        times.append(multiply())
    return 2.0 * rows * inner * columns * count / median(times)


class _SparseOperands(TorchDispatchMode):
    """Notes whether an operation has a sparse tensor as an argument."""

    found = False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        self.found |= any(isinstance(value, Tensor) and value.layout != torch.strided for value in args)
        return func(*args, **(kwargs or {}))


class MachineLimit:
    """The share of its device's rate of matrix products that a training reaches on this rank."""

    def __init__(self, device: torch.device, ranks: int):
        self._device, self._ranks = device, ranks
        self._flops_per_rating: float | None = None
        self._counted, self._rate = False, 0.0

    def counting(self, ratings: int) -> AbstractContextManager[None]:
        """Return a context for a training step of `ratings` ratings of this rank; what the first one does is counted.

        Counted are the floating-point operations of dense matrix products and convolutions, forward and backward.
        """
        if self._counted or not ratings:
            return nullcontext()
        self._counted = True
        return self._count(ratings)

    @contextmanager
    def _count(self, ratings: int) -> Iterator[None]:
        with FlopCounterMode(display=False) as counter, _SparseOperands() as sparse:
            yield
        # The counter takes a sparse matrix for a dense one, so there is no number then.
        if not sparse.found and counter.get_total_flops():
            self._flops_per_rating = counter.get_total_flops() / ratings

    def share(self, samples_per_second: float) -> float | None:
        """Return the share, 1 for a training that does nothing but multiply matrices as fast as the device can.

        The first call measures the rate of the device, which takes some `RATE_SECONDS`.

        Args:
            samples_per_second: over all ranks, which are taken to be equally fast.

        Returns:
            None for models whose steps have sparse products or hardly any: below LEAST_SHARE.

        """
        if self._flops_per_rating is None:
            return None
        side = SIDE[self._device.type]
        self._rate = self._rate or gemm_rate(self._device, RATE_SECONDS, side, side, side)
        share = self._flops_per_rating * samples_per_second / self._ranks / self._rate
        return share if share >= LEAST_SHARE else None
