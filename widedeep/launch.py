"""The `torchrun` command of this environment: torch's own, but for three of its habits.

- argparse refuses a flag that could abbreviate two of the launcher's own, even behind the script's name:
  `torchrun widedeep/train.py --run runs/a` ends with «ambiguous option: --run could match --run-path,
  --run_path». Here abbreviations are off. (With torch's own: `torchrun -- widedeep/train.py --run runs/a`.)
- It ends with 1 whatever a rank ended with. Here the first failed rank's exit code is passed on.
- Threads of a CPU rank that wait for each other spin for long. Where anything else wants the cores that can slow
  a step down 40 times; here they spin briefly and then sleep, unless the environment says otherwise.

And glibc gives the memory of every large tensor back to the system, to be asked for, page by page, at the next step.
Here it keeps what it has, in large pages, unless the environment says otherwise: a step then takes a fifth less.
"""

import argparse
import os
import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

# Allocations are large pages (transparent ones, madvise), never mapped each by itself, never given back.
MALLOC = {"hugetlb": 1, "mmap_threshold": 1 << 30, "trim_threshold": 1 << 40}


def main() -> None:
    """Run torch.distributed.run on the command line's arguments."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("GLIBC_TUNABLES", ":".join(f"glibc.malloc.{name}={value}" for name, value in MALLOC.items()))
    original = run.get_args_parser

    def without_abbreviations() -> argparse.ArgumentParser:
        parser = original()
        parser.allow_abbrev = False
        return parser

    run.get_args_parser = without_abbreviations
    try:
        run.main()
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        # A rank that died of a signal has a negative code, which a shell cannot show.
        sys.exit(failure.exitcode if failure.exitcode > 0 else 1)
