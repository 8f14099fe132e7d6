"""Measure the time and memory of commands and functions, and the speed of this machine's matrix products."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from widedeep.common.machine import available_cores
from widedeep.training.limit import gemm_rate

ROOT = Path(__file__).resolve().parent.parent.parent
CORES = available_cores()
POLL_SECONDS = 0.1
CPU, GEMM_SECONDS = torch.device("cpu"), 2.0


Round = dict[str, float]  # what one round measured, by name


class Cost(NamedTuple):
    """Time and memory that a command took."""

    seconds: float
    peak_bytes: int  # highest resident memory of all its processes together


def command(*arguments: str | Path) -> Cost:
    """Run a command of this environment in the checkout; its stdout is dropped.

    Raises:
        RuntimeError: the command failed; the message ends with its last lines of stderr.

    """
    program = Path(sys.executable).parent / str(arguments[0])
    process = subprocess.Popen(
        [str(program), *map(str, arguments[1:])],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    begun, peak, last_lines = time.perf_counter(), [0], []
    watch = threading.Thread(target=_watch, args=(psutil.Process(process.pid), peak))
    watch.start()
    assert process.stderr is not None
    for line in process.stderr:
        last_lines = [*last_lines[-20:], line]
    status, seconds = process.wait(), time.perf_counter() - begun
    watch.join()
    if status:
        raise RuntimeError(f"{' '.join(map(str, arguments))} ended with {status}:\n{''.join(last_lines)}")
    return Cost(seconds, peak[0])


def _watch(process: psutil.Process, peak: list[int]) -> None:
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        total = 0
        try:
            for one in [process, *process.children(recursive=True)]:
                total += one.memory_info().rss
        except psutil.NoSuchProcess:
            pass
        peak[0] = max(peak[0], total)
        time.sleep(POLL_SECONDS)


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the seconds that one call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def alternately(repeats: int, *works: Callable[[], Any]) -> list[list[float]]:
    """Return the times of functions in each round, called in turn so that other load slows all; warms up first."""
    for work in works:
        work()
    return [[seconds_of(work) for work in works] for _ in range(repeats)]


def _gemm_on_one_core(shape: tuple[int, int, int]) -> float:
    torch.set_num_threads(1)
    return gemm_rate(CPU, GEMM_SECONDS, *shape)


def gemm_rate_of_cores(rows: int, inner: int, columns: int) -> float:
    """Return the FLOP/s of one product on each core at once, each in its own process, as Spark's tasks run."""
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(_gemm_on_one_core, [(rows, inner, columns)] * CORES))
