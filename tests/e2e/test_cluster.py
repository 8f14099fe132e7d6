"""Jobs on a standalone cluster of this machine: real daemons and executors, some of which are killed."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.draws import drawn
from tests.e2e.test_pipeline import ENVIRONMENT, command
from tests.training import ROOT

# Every task that is slower than the median of the tenth that is done is started a second time.
SPECULATION = " ".join(
    f"--conf spark.speculation{setting}"
    for setting in ("=true", ".interval=20ms", ".quantile=0.1", ".multiplier=1.0001", ".minTaskRuntime=0ms")
)


@pytest.fixture
def cluster():
    script = ["bash", str(ROOT / "scripts" / "cluster.sh")]
    arguments = ["--workers", "2", "--memory", "1g", "--port", "17077", "--ui-port", "18080"]
    started = subprocess.run([*script, "start", *arguments], env=ENVIRONMENT, capture_output=True, text=True)
    assert started.returncode == 0, started.stderr
    yield started.stdout.strip()
    subprocess.run([*script, "stop"], env=ENVIRONMENT, check=True, capture_output=True)


def lists(directory: Path) -> pa.Table:
    return pq.read_table(directory).sort_by([("user_id", "ascending"), ("rank", "ascending")])


def test_a_cluster_gives_what_local_spark_gives(dump, prepared, cluster, tmp_path):
    """Master and two workers of their own; the package reaches the executors by being sent."""
    data, run = tmp_path / "prepared", tmp_path / "run"
    command(f"spark-submit --master {cluster} jobs/prepare.py --input {dump} --output {data}")
    digests = [json.loads((path / "manifest.json").read_text())["digest"] for path in (prepared, data)]
    assert digests[0] == digests[1]
    command(
        f"torchrun --nproc-per-node 2 widedeep/train.py --config wide_deep --data {data} --run-dir {run} --epochs 1"
    )
    score = f"jobs/score_all.py --data {data} --run-dir {run} --output"
    command(f"spark-submit --master {cluster} {score} {tmp_path}/far")
    command(f"spark-submit {score} {tmp_path}/near")
    far, near = (lists(tmp_path / name) for name in ("far", "near"))
    assert far.num_rows > 0
    assert far.equals(near)


def test_executors_use_the_package_that_was_sent(cluster, tmp_path):
    program = tmp_path / "where.py"
    program.write_text(
        "import pyarrow as pa\n"
        "from widedeep.spark.session import build_session\n"
        "def where(batches):\n"
        "    import widedeep\n"
        "    for batch in batches:\n"
        "        yield pa.record_batch([pa.array([widedeep.__file__])], names=['file'])\n"
        "spark = build_session('where')\n"
        "print([row.file for row in spark.range(2).mapInArrow(where, 'file string').collect()])\n"
    )
    said = command(f"spark-submit --master {cluster} {program}", cwd=tmp_path)
    assert ".zip/widedeep/__init__.py" in said.stdout


def kill_worker(number: int) -> None:
    """Kill a worker and its executors, as when the power of its machine fails."""
    daemon = int((ROOT / ".cluster" / f"worker-{number}.pid").read_text())
    executors = [int(pid) for pid in Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()]
    children = [Path(f"/proc/{pid}/task/{pid}/children").read_text().split() for pid in executors]
    for pid in [daemon, *executors, *(int(pid) for found in children for pid in found)]:
        os.kill(pid, signal.SIGKILL)


def run_and_kill_a_worker(line: str, there: list[Path], draw: random.Random) -> None:
    """Run a job, and kill one of its workers some time after the first of `there` exists."""
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(line.split(), cwd=ROOT, env=ENVIRONMENT, **streams)
    deadline, moment = time.monotonic() + 300, draw.choice(there)
    while not moment.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 2))
    assert process.poll() is None, "it ended before a worker was killed"
    kill_worker(draw.choice([1, 2]))
    _, log = process.communicate(timeout=600)
    assert process.returncode == 0, log


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the executors in /proc")
def test_prepare_with_speculation_and_a_worker_killed_gives_the_same_data(dump, prepared, cluster, tmp_path):
    work = tmp_path / "data.staging.work"
    moments = [work / name for name in ("items", "ratings", "user_index")]
    line = f"spark-submit --master {cluster} {SPECULATION} jobs/prepare.py --input {dump} --output {tmp_path}/data"
    run_and_kill_a_worker(line, moments, drawn("prepare on a cluster"))
    digests = [json.loads((path / "manifest.json").read_text())["digest"] for path in (prepared, tmp_path / "data")]
    assert digests[0] == digests[1]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the executors in /proc")
def test_lists_with_speculation_and_a_worker_killed_are_the_same(prepared, cluster, tmp_path):
    run = tmp_path / "run"
    command(f"torchrun widedeep/train.py --config wide_deep --data {prepared} --run-dir {run} --epochs 1")
    score = f"jobs/score_all.py --data {prepared} --run-dir {run} --users-per-file 64 --output"
    command(f"spark-submit {score} {tmp_path}/near")
    line = f"spark-submit --master {cluster} {SPECULATION} {score} {tmp_path}/far"
    run_and_kill_a_worker(line, [tmp_path / "far.staging.work"], drawn("score_all on a cluster"))
    assert lists(tmp_path / "far").equals(lists(tmp_path / "near"))
