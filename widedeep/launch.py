"""How training is started: the environment that a rank needs, and torch's launcher with two habits changed.

Two settings of a process decide a fifth of the speed on CPU, and both are read before the first line of Python:

- Threads that wait for each other spin for long. Where anything else wants the cores, that can slow a step down
  40 times; here they spin briefly and then sleep.
- glibc gives the memory of every large tensor back to the system, to be asked for, page by page, at the next step.
  Here it keeps what it has, in large pages.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

# Allocations are large pages (transparent ones, madvise), never mapped each by itself, never given back.
MALLOC = {"hugetlb": 1, "mmap_threshold": 1 << 30, "trim_threshold": 1 << 40}
TUNING = {
    "GOMP_SPINCOUNT": "1000",
    "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in MALLOC.items()),
}
LOOPBACK = "127.0.0.1"
# Options of torch's launcher that say where other nodes are.
OF_NODES = ("--nnodes", "--rdzv", "--master", "--local-addr", "--local_addr", "--node-rank", "--node_rank")


def enter_tuned_process() -> None:
    """Start this program again, in this process, in the tuned environment; return if it is in it already.

    What the environment says on its own account stays. Call it before torch is imported.
    """
    missing = {name: value for name, value in TUNING.items() if name not in os.environ}
    if "OMP_WAIT_POLICY" in os.environ:
        missing.pop("GOMP_SPINCOUNT", None)
    if missing:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})


def launch_training(options: Sequence[str], settings: Sequence[str]) -> None:
    """Run widedeep/train.py under torch's launcher, as `torchrun OPTIONS widedeep/train.py SETTINGS` does.

    With two differences: the process ends with the exit code of the rank that failed first (torchrun: always 1), and
    on a single node the ranks meet at the loopback address. torchrun has them meet at the machine's name, and waits
    for minutes where that resolves to nothing.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    if not any(option.startswith(OF_NODES) for option in options):
        os.environ.setdefault("PET_LOCAL_ADDR", LOOPBACK)
    try:
        run.main([*options, str(Path(__file__).with_name("train.py")), *settings])
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        # A rank that died of a signal has a negative code, which a shell cannot show.
        sys.exit(failure.exitcode if failure.exitcode > 0 else 1)
