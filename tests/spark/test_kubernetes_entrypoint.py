"""examples/k8s/entrypoint.sh starts what Spark on Kubernetes asks a pod for."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_pipeline import ENVIRONMENT
from tests.training import ROOT


def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    argv = ["bash", str(ROOT / "examples/k8s/entrypoint.sh"), *arguments]
    environment = ENVIRONMENT | variables
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300)


def test_a_driver_runs_the_job_with_its_settings(tmp_path):
    """Spark's operator names a file of properties and a file inside of the image."""
    properties = tmp_path / "spark.properties"
    properties.write_text("spark.master local[1]\nspark.ui.enabled false\n")
    job = tmp_path / "job.py"
    job.write_text(
        "import sys\n"
        "from widedeep.spark.session import build_session\n"
        "spark = build_session('job')\n"
        "conf = spark.sparkContext.getConf()\n"
        "print(sys.argv[1:], conf.get('spark.master'), conf.get('spark.driver.bindAddress'))\n"
    )
    named = ("--properties-file", str(properties), "--class", "org.apache.spark.deploy.PythonRunner")
    done = start("driver", *named, f"local://{job}", "--ranks=2", SPARK_DRIVER_BIND_ADDRESS="127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['--ranks=2'] local[1] 127.0.0.1"


def test_an_executor_turns_to_its_driver(tmp_path):
    """Nobody listens at the address, so it ends; that it tried shows that Spark took all that it was given."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]
        done = start(
            "executor",
            SPARK_JAVA_OPT_0="-Dspark.driver.port=1",
            SPARK_JAVA_OPT_1="-XX:+PrintCommandLineFlags",
            SPARK_EXECUTOR_MEMORY="256m",
            SPARK_DRIVER_URL=f"spark://CoarseGrainedScheduler@127.0.0.1:{port}",
            SPARK_EXECUTOR_ID="7",
            SPARK_EXECUTOR_CORES="1",
            SPARK_APPLICATION_ID="spark-application",
            SPARK_EXECUTOR_POD_IP="127.0.0.1",
            SPARK_RESOURCE_PROFILE_ID="0",
            SPARK_EXECUTOR_POD_NAME="executor-7",
        )
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert f"MaxHeapSize={256 << 20}" in said
    assert f"127.0.0.1:{port}" in said
    assert "KubernetesExecutorBackend" in said
    assert "Unrecognized" not in said


@pytest.mark.parametrize("code", [0, 75])
def test_anything_else_is_a_command(code, tmp_path):
    assert start(sys.executable, "-c", f"raise SystemExit({code})").returncode == code


def test_it_may_be_executed():
    assert os.access(Path(ROOT / "examples/k8s/entrypoint.sh"), os.X_OK)
