"""What scripts/setup.sh makes besides packages."""

import os
import subprocess
import sys
from pathlib import Path

ARCHIVE = Path(sys.prefix) / "spark-classes.jsa"


def test_spark_takes_its_classes_from_the_archive(tmp_path):
    log = tmp_path / "classes.log"
    options = f"-XX:SharedArchiveFile={ARCHIVE} -Xlog:class+load:file={log}"
    submit = Path(sys.executable).with_name("spark-submit")
    done = subprocess.run([submit, "--version"], env={**os.environ, "SPARK_SUBMIT_OPTS": options}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert " org.apache.spark.deploy.SparkSubmit source: shared objects file (top)\n" in log.read_text()


def test_entering_the_environment_names_the_archive():
    shell = f'unset SPARK_SUBMIT_OPTS; . "{sys.prefix}/bin/activate"; echo "$SPARK_SUBMIT_OPTS"'
    said = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert f"-XX:SharedArchiveFile={ARCHIVE} " in said
