"""The one place a SparkSession is built, and how a job is run under spark-submit."""

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from widedeep.common.command import run_command
from widedeep.common.errors import InputError
from widedeep.common.machine import LOOPBACK, find_java, java_mistake, name_resolves
from widedeep.spark.filesystem import scratch_directory

PACKAGE = Path(__file__).resolve().parents[1]

# Only defaults: what spark-submit was told (--master, --conf, spark-defaults.conf) always wins.
DEFAULTS = {
    "spark.log.level": "WARN",
    # A bar belongs on a terminal; in a log file it would run into our own lines.
    "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
    # Spark writes a checksum of every page, but reads without a look at it unless told.
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
}


def build_session(name: str, extra: Mapping[str, str] | None = None) -> SparkSession:
    """Start (or take up) the SparkSession of a job and make its executors able to import us.

    Args:
        name: shown in the Spark UI.
        extra: further defaults of this job; like all defaults, they yield to spark-submit's.

    """
    # Workers otherwise start whatever `python3` the PATH holds, which need not be this one.
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
    """Look at what starting Spark needs, where spark-submit has not started it.

    Raises:
        InputError: there is no Java that Spark runs on.

    """
    if mistake := java_mistake(find_java()):
        raise InputError(mistake)
    if not name_resolves():  # Spark looks up its own machine, and fails if it finds nothing
        os.environ.setdefault("SPARK_LOCAL_IP", LOOPBACK)


def together(*steps: Callable[[], Any]) -> list[Any]:
    """The results of steps that run side by side: one's jobs fill the cores while another's are planned.

    All end before this does; the first error is raised.
    """
    with ThreadPoolExecutor(len(steps)) as pool:
        return [future.result() for future in [pool.submit(step) for step in steps]]


def zip_package() -> str:
    """Zip our own package for the executors, which have no checkout; return the file's path."""
    sources = sorted(PACKAGE.rglob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    target = scratch_directory() / f"widedeep-{digest}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sources:
            archive.write(path, path.relative_to(PACKAGE.parent))
    return str(target)


class SubmitterStderr(io.TextIOBase):
    """The standard error of the spark-submit that started us.

    spark-submit joins a Python program's stderr to its stdout and prints both to its own stdout. The JVM
    at our side still has the true one.
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
        """Let what was printed be seen."""
        self._system.err.flush()

    def isatty(self) -> bool:
        """Whether spark-submit was started from a terminal."""
        return self._system.console() is not None


def run_job(main: Callable[[Sequence[str]], None]) -> None:
    """Run the `main` of a job: results to stdout, all else to stderr, under spark-submit too."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        sys.stderr = SubmitterStderr()
    run_command(main)
