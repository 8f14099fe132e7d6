"""Commands in processes of their own; one that hangs tells where."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

SECONDS = 900.0  # after which a command counts as hanging
STACKS_SECONDS = 3.0  # for a process to write down where it stands


def run_command(
    argv: Sequence[str], cwd: Path, environment: dict[str, str] | None = None, seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; AssertionError with the stacks of all its processes if it hangs."""
    variables = {**(os.environ if environment is None else environment), "PYTHONFAULTHANDLER": "1"}
    with subprocess.Popen(
        argv, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            end_with_stacks([*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)])
            said = process.communicate()
            raise AssertionError("\n".join([f"{' '.join(argv)} hangs:", *said])) from None
    return subprocess.CompletedProcess(argv, process.returncode, *said)


def end_with_stacks(processes: list[psutil.Process]) -> None:
    """Let processes of Java and Python print the stacks of their threads, and kill all."""
    java = [process for process in processes if is_java(process)]
    for some, number in ((java, signal.SIGQUIT), ([p for p in processes if p not in java], signal.SIGABRT)):
        send(some, number)
        time.sleep(STACKS_SECONDS)
    send(processes, signal.SIGKILL)


def is_java(process: psutil.Process) -> bool:
    """Whether a process is Java; one that has ended is not."""
    try:
        return process.name() == "java"
    except psutil.NoSuchProcess:
        return False


def send(processes: list[psutil.Process], number: int) -> None:
    """Send a signal to all processes that are still there: some end with others."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
