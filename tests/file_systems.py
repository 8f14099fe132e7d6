"""Small file systems of a test's own, mounted for its commands alone: nothing is left of them when it ends."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.training import ROOT


class Mounted(NamedTuple):
    """A file system that only the command lines see which begin with `enter`."""

    path: Path  # for them
    seen: Path  # the same directory, for this process
    enter: tuple[str, ...]


@contextmanager
def mounted(path: Path, *options: str) -> Iterator[Mounted]:
    """Give a file system, as `mount` understands the options, at an empty directory; skip where that is not allowed."""
    path.mkdir()
    if not all(map(shutil.which, ("unshare", "nsenter"))):
        pytest.skip("file systems cannot be mounted for a single command here: there is no unshare or nsenter")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = 'mount "$@" && echo mounted && exec sleep infinity'
    argv = ["unshare", *user, "--mount", "sh", "-c", script, "sh", *options, str(path)]
    keeper = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if keeper.stdout.readline() != "mounted\n":
            pytest.skip(f"this user may not mount {' '.join(options)}: {keeper.stderr.read()}")
        enter = ["nsenter", "--target", str(keeper.pid), "--mount"]
        enter += ["--user", "--preserve-credentials"] if user else []
        enter += ["env", "-C", str(ROOT)]  # entering leads to /
        yield Mounted(path, Path(f"/proc/{keeper.pid}/root{path}"), tuple(enter))
    finally:
        keeper.kill()
        keeper.communicate()


def tmpfs(size: str) -> tuple[str, ...]:
    """Return the options of a file system in memory that holds so much, such as `30m`."""
    return ("-t", "tmpfs", "-o", f"size={size}", "none")
