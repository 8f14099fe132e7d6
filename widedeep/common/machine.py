"""Look up what this machine has and the commands need: cores, Java and a host name."""

import os
import re
import shutil
import socket
import subprocess
from typing import NamedTuple

JAVA_VERSIONS = (17, 21)  # what this package is tested with on Spark 4.3
LOOPBACK = "127.0.0.1"


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Java(NamedTuple):
    """A Java installation."""

    path: str
    version: int  # 17 of 17.0.15


def find_java() -> Java | None:
    """Return the Java that Spark starts, from JAVA_HOME or else the PATH; None if there is none that runs."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which(os.path.join(home, "bin", "java") if home else "java")
    if path is None:
        return None
    try:
        said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=30).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return Java(path, int(found[1])) if found else None


def java_mistake(java: Java | None) -> str | None:
    """Return what is wrong with a Java, and the remedy; None if nothing is."""
    wanted = " or ".join(map(str, JAVA_VERSIONS))
    if java is None:
        home = os.environ.get("JAVA_HOME")
        place = f"JAVA_HOME ({home})" if home else "the PATH"
        return f"{place} has no Java: install Java {wanted} (a JRE is enough) and name its directory in JAVA_HOME"
    if java.version not in JAVA_VERSIONS:
        return f"{java.path} is Java {java.version}, Spark needs {wanted}: name one of those in JAVA_HOME"
    return None


def name_resolves() -> bool:
    """Return whether this machine's own name resolves to an address."""
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return False
    return True
