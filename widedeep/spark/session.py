"""How a SparkSession is built, and how a job runs under spark-submit."""

import hashlib
import io
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from widedeep.common.command import run_command
from widedeep.common.console import log
from widedeep.common.errors import DamagedFileError, InputError, WriteError
from widedeep.common.launch import TUNING
from widedeep.common.machine import LOOPBACK, find_java, java_mistake, name_resolves
from widedeep.spark.filesystem import scratch_directory

PACKAGE = Path(__file__).resolve().parents[1]

# Only defaults: the settings of spark-submit (--master, --conf, spark-defaults.conf) win over them.
DEFAULTS = {
    "spark.log.level": "WARN",
    # In a log file, a progress bar would run into our own lines.
    "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
    # Spark writes a checksum of every page, but does not verify it by default.
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    # Python workers that score would otherwise get the memory of large tensors anew, page by page, for each block.
    "spark.executorEnv.GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", TUNING["GLIBC_TUNABLES"]),
}

SMALL_BYTES = 64 << 20  # an input of less is shuffled in partitions of SHUFFLE_BYTES
SHUFFLE_BYTES = 32 << 20


def build_session(name: str, extra: Mapping[str, str] | None = None) -> SparkSession:
    """Start the SparkSession of a job, or get the one that runs, and send our package to its executors.

    Args:
        name: shown in the Spark UI.
        extra: further defaults of this job; like all defaults, they yield to the settings of spark-submit.

    """
    # Workers otherwise start the first `python3` on the PATH, which may be another one.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        _check_machine()
    # The JVM first: only it knows what spark-submit's options and spark-defaults.conf say.
    initialized: Any = SparkContext
    initialized._ensure_initialized()
    conf = SparkConf()
    for key, value in {**DEFAULTS, **(extra or {})}.items():
        conf.setIfMissing(key, value)
    conf.setIfMissing("spark.app.name", name)
    spark = SparkSession.builder.config(conf=conf).getOrCreate()
    if not str(spark.sparkContext.master).startswith("local"):
        spark.sparkContext.addPyFile(zip_package())
    return spark


def _check_machine() -> None:
    """Check what Spark needs to start, where spark-submit has not started it.

    Raises:
        InputError: there is no Java that Spark runs on.

    """
    if mistake := java_mistake(find_java()):
        raise InputError(mistake)
    if not name_resolves():  # Spark looks up the name of its own machine, and fails without an address
        os.environ.setdefault("SPARK_LOCAL_IP", LOOPBACK)


@contextmanager
def shuffles_for(spark: SparkSession, size: int) -> Iterator[None]:
    """Shuffle a small input in few partitions, and plan once: 200 tasks a shuffle would take longer than their work.

    What spark-submit says of either wins.

    Args:
        spark: the session.
        size: bytes of the input.

    """
    partitions = max(spark.sparkContext.defaultParallelism, -(-size // SHUFFLE_BYTES))
    wanted = {"spark.sql.shuffle.partitions": str(partitions), "spark.sql.adaptive.enabled": "false"}
    given = spark.sparkContext.getConf()
    before = {name: str(spark.conf.get(name)) for name in wanted if size < SMALL_BYTES and not given.contains(name)}
    for name in before:
        spark.conf.set(name, wanted[name])
    try:
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def run_concurrently(*steps: Callable[[], Any]) -> list[Any]:
    """Run steps at the same time, so that Spark plans one while it executes another; return their results.

    Every step has ended when this returns or raises; the first error is raised.
    """
    with ThreadPoolExecutor(len(steps)) as pool:
        return [future.result() for future in [pool.submit(step) for step in steps]]


@contextmanager
def beside(step: Callable[[], Any]) -> Iterator[None]:
    """Run a step that only saves time while the block runs; its error is a warning. Wait for it at the end."""

    def attempt() -> None:
        try:
            step()
        except Exception as error:
            log.warning("what would have saved time has failed: %s", error)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(attempt)
        yield


def package_digest() -> str:
    """Return a digest of the code of our own package."""
    sources = sorted(PACKAGE.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def zip_package() -> str:
    """Zip our own package for the executors, which have no checkout; return the file's path."""
    sources = sorted(PACKAGE.rglob("*.py"))
    target = scratch_directory() / f"widedeep-{package_digest()}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sources:
            archive.write(path, path.relative_to(PACKAGE.parent))
    return str(target)


class SubmitterStderr(io.TextIOBase):
    """The standard error of the spark-submit that started this process.

    spark-submit joins a Python program's stderr to its stdout and prints both to its own stdout. Only the
    JVM beside us still has its stderr.
    """

    def __init__(self):
        context: Any = SparkContext
        context._ensure_initialized()
        self._system = context._jvm.java.lang.System

    def write(self, text: str) -> int:
        """Print; returns the number of characters."""
        self._system.err.print(text)
        return len(text)

    def flush(self) -> None:
        """Flush the printed text."""
        self._system.err.flush()

    def isatty(self) -> bool:
        """Whether spark-submit was started from a terminal."""
        return self._system.console() is not None


@contextmanager
def bad_files_and_disks_named() -> Iterator[None]:
    """Name what has let Spark down.

    Raises:
        DamagedFileError: a file that a task could not read, such as a packed one that is cut off.
        WriteError: a full disk, which is not that of an output (see `staged_directory`).

    """
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        text = str(error)
        if "No space left on device" in text:
            raise WriteError(
                "Spark has no space left on device for what it keeps while it works: free some in its spark.local.dir "
                "(/tmp by default), or name another one with spark-submit --conf spark.local.dir=DIR"
            ) from error
        file = re.search(r"\[FAILED_READ_FILE[^]]*\] Encountered error while reading file (.+?)\.\s", text)
        if file is None:
            raise
        causes = re.findall(r"^Caused by: (?:[\w.$]+: )?(.+)$", text, re.MULTILINE)
        why = f" ({causes[-1].strip()})" if causes else ""
        raise DamagedFileError(f"{file[1]} cannot be read{why}: it is damaged or cut off; get it again") from error


def run_job(main: Callable[[Sequence[str]], None]) -> None:
    """Run the `main` of a job: results to stdout, all else to stderr, under spark-submit too."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        sys.stderr = SubmitterStderr()

    def run(arguments: Sequence[str]) -> None:
        with bad_files_and_disks_named():
            main(arguments)

    run_command(run)
