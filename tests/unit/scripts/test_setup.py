"""What scripts/setup.sh makes besides packages."""

import os
import subprocess
import sys
from pathlib import Path

ARCHIVE = Path(sys.prefix) / "spark-classes.jsa"


def entered() -> str:
    """Return the options of Java that entering the environment sets."""
    shell = f'unset SPARK_SUBMIT_OPTS; . "{sys.prefix}/bin/activate"; printf %s "$SPARK_SUBMIT_OPTS"'
    return subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout


def test_spark_takes_its_classes_from_the_archive(tmp_path):
    log = tmp_path / "classes.log"
    options = f"{entered()} -Xlog:class+load:file={log} -XX:+PrintCommandLineFlags"
    submit = Path(sys.executable).with_name("spark-submit")
    done = subprocess.run([submit, "--version"], env={**os.environ, "SPARK_SUBMIT_OPTS": options}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert " org.apache.spark.deploy.SparkSubmit source: shared objects file (top)\n" in log.read_text()
    assert b" -XX:+UseParallelGC" in done.stdout


def test_entering_the_environment_names_the_archive():
    assert entered().startswith(f"-XX:SharedArchiveFile={ARCHIVE} ")


def test_options_of_the_user_stay():
    shell = f'export SPARK_SUBMIT_OPTS=-Xmx3g; . "{sys.prefix}/bin/activate"; printf %s "$SPARK_SUBMIT_OPTS"'
    assert subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout == "-Xmx3g"
