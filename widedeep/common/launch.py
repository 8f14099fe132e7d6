"""Start training: the environment that a rank needs, and torch's launcher.

Two settings of a process decide a third of the speed on CPU, and both are read before the first line of Python:

- OpenMP threads that wait for each other spin for long. If anything else needs the cores, that can slow a step down
  40 times. If they sleep at once, waking them takes longer than most operations. Here they spin for a fraction of a
  millisecond: most of what a step does between two operations of all threads is shorter.
- glibc returns large allocations to the system and faults them in again, page by page, at the next step. Here it keeps
  them, in large pages.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from widedeep.common.machine import LOOPBACK

# Allocations are large pages (transparent ones, madvise), never mapped each by itself, never given back.
MALLOC = {"hugetlb": 1, "mmap_threshold": 1 << 30, "trim_threshold": 1 << 40}
TUNING = {
    "GOMP_SPINCOUNT": "10000",
    "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in MALLOC.items()),
}
ENTERED = "WIDEDEEP_TUNED_PROCESS"


def enter_tuned_process() -> None:
    """Restart this program in the tuned environment, under the same process id; return if that is done already.

    Variables that are set already are kept. Call it before torch is imported.
    """
    if ENTERED in os.environ:
        return
    settings = {**TUNING, ENTERED: "1", **os.environ}
    if "OMP_WAIT_POLICY" in os.environ and "GOMP_SPINCOUNT" not in os.environ:
        del settings["GOMP_SPINCOUNT"]
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], settings)


def launch_training(options: Sequence[str], settings: Sequence[str]) -> None:
    """Run widedeep/train.py under torch's launcher, as `torchrun OPTIONS widedeep/train.py SETTINGS` does.

    With three differences: this process exits with the code of the rank that failed first, or with EXIT_STOPPED after
    SIGTERM (torchrun: always 1). On a single node the ranks meet at the loopback address; torchrun has them meet at the
    machine's name, and waits for minutes if that does not resolve. In an elastic job every meeting has a store of its
    own; torchrun's shared one is not told to a node that joins later, which then waits for it in vain.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    from widedeep.common.command import EXIT_STOPPED  # not at the top: it would slow the start before the restart

    script = str(Path(__file__).resolve().parents[1] / "train.py")
    fewest_nodes, most_nodes = run.parse_min_max_nnodes(run.parse_args([*options, script]).nnodes)
    if most_nodes == 1:
        os.environ.setdefault("PET_LOCAL_ADDR", LOOPBACK)
    if fewest_nodes < most_nodes:
        os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    try:
        run.main([*options, script, *settings])
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        # A rank that died of a signal has a negative code, which a shell cannot show.
        sys.exit(failure.exitcode if failure.exitcode > 0 else 1)
    except SignalException:  # the launcher has passed the signal on and waited for the ranks
        sys.exit(EXIT_STOPPED)
