"""Show what this machine has and what is wrong with it: the first command to run when another one fails.

widedeep doctor
"""

import os
import platform
import socket
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import psutil
from packaging.requirements import Requirement

from widedeep.common.command import EXIT_FAILED, load_config
from widedeep.common.console import print_table, say
from widedeep.common.files import GB, free_space
from widedeep.common.machine import available_cores, find_java, java_mistake, name_resolves
from widedeep.config.doctor import DoctorConfig

# Spark's default heap of 1 GB, its Python workers and the trainer's tables beside it.
NEEDED_MEMORY = 3 * GB
# A dump of 24 M ratings, prepared, with Spark's shuffle files.
NEEDED_DISK = 10 * GB


class Finding(NamedTuple):
    """The result of one check."""

    name: str
    found: str
    mistake: str | None = None  # what is wrong, and the remedy
    remark: str | None = None  # what may be too little for some data


def packages() -> Iterator[Finding]:
    """Yield the installed version of each dependency, and whether it fits."""
    for line in requires("widedeep") or []:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(wanted.name)
        except PackageNotFoundError:
            yield Finding(wanted.name, "missing", f"pip install '{wanted}'")
            continue
        fits = wanted.specifier.contains(installed, prereleases=True)
        yield Finding(wanted.name, installed, None if fits else f"{wanted.specifier} is needed: pip install '{wanted}'")


def java() -> Finding:
    """Return the version and path of the Java that Spark would start."""
    installed = find_java()
    return Finding(
        "Java", f"{installed.version} ({installed.path})" if installed else "missing", java_mistake(installed)
    )


def accelerators() -> Finding:
    """Return the GPUs that PyTorch can use."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("GPUs", "unknown", f"torch cannot be imported: {error}")
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "PyTorch's build is for CPUs"
    return Finding("GPUs", ", ".join(names) or f"none; {built}")


def space(directory: Path) -> Finding:
    """Return the free disk space of the file system that holds a directory."""
    free = free_space(directory)
    remark = f"a dump of 24 M ratings takes {NEEDED_DISK / GB:.0f} GB with all that is made of it"
    return Finding(
        "disk", f"{free / GB:.1f} GB free in {directory.resolve()}", remark=remark if free < NEEDED_DISK else None
    )


def memory() -> Finding:
    """Return the available memory."""
    free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    remark = f"Spark and the trainer take {NEEDED_MEMORY / GB:.0f} GB at 24 M ratings"
    available = f"{free / GB:.1f} of {total / GB:.1f} GB available"
    return Finding("memory", available, remark=remark if free < NEEDED_MEMORY else None)


def host_name() -> Finding:
    """Return this machine's name, and whether it resolves: Spark and torchrun look it up when they start."""
    name = socket.gethostname()
    remedy = (
        "it does not resolve: spark-submit fails and torchrun waits for minutes; "
        f"add «127.0.0.1 {name}» to /etc/hosts, or set PET_LOCAL_ADDR and SPARK_LOCAL_IP to 127.0.0.1"
    )
    given = {"PET_LOCAL_ADDR", "SPARK_LOCAL_IP"} <= set(os.environ)
    return Finding("host name", name, None if name_resolves() or given else remedy)


def examine(data: Path) -> list[Finding]:
    """Run all checks and return their results."""
    return [
        Finding("widedeep", version("widedeep")),
        Finding("Python", f"{platform.python_version()} ({sys.executable})"),
        Finding("system", platform.platform()),
        java(),
        *packages(),
        accelerators(),
        Finding("processors", str(available_cores())),
        memory(),
        space(data),
        host_name(),
    ]


def main(argv: Sequence[str]) -> None:
    """Run all checks, print them, and exit with 1 if something is wrong."""
    config = load_config(DoctorConfig, argv, "doctor")
    findings = examine(config.data)
    print_table("this machine", ("", "found"), [(name, found) for name, found, *_ in findings], text=("", "found"))
    for finding in findings:
        if text := finding.mistake or finding.remark:
            say(f"{finding.name}: {text}")
    if any(finding.mistake for finding in findings):
        sys.exit(EXIT_FAILED)
    say("nothing is wrong")
