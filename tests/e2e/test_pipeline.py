"""The commands of the README, as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.training import ROOT

BIN = Path(sys.executable).parent
# What an activated environment has: the venv's commands first, and the interpreter of the executors.
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
ENVIRONMENT.pop("PYTHONPATH", None)


def command(line: str, code: int = 0, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    done = subprocess.run(line.split(), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == code, f"{line} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def rated(data: Path, splits=("train", "valid", "test")) -> set[tuple[int, int]]:
    """(user_id, anime_id) of all ratings."""
    users = pq.read_table(data / "users", columns=["user_id"])["user_id"].to_numpy()
    anime = pq.read_table(data / "items", columns=["item_id"])["item_id"].to_numpy()
    pairs = set()
    for split in splits:
        for file in (data / "ratings" / f"split={split}").glob("*.parquet"):
            table = pq.ParquetFile(file).read()
            pairs |= set(zip(users[table["user"]].tolist(), anime[table["item"]].tolist(), strict=True))
    return pairs


def test_the_three_commands_on_real_ratings(real_dump, tmp_path):
    data, run, out = tmp_path / "prepared", tmp_path / "run", tmp_path / "recommendations"
    said = command(f"spark-submit jobs/prepare.py --input {real_dump} --output {data}")
    assert "ratings read" in said.stdout
    said = command(f"torchrun widedeep/train.py --data {data} --run-dir {run} --max-steps 200")
    assert "user + item bias" in said.stdout
    metrics = json.loads((run / "metrics.json").read_text())
    # 1.21: a bias model of this sample on random splits. A fifth of the training already beats it by far.
    assert metrics["reference_models"]["bias"]["rmse"] == pytest.approx(1.21, abs=0.02)
    assert metrics["test"]["rmse"] < metrics["reference_models"]["bias"]["rmse"] - 0.09
    assert metrics["ranking"]["model"]["ndcg_at_10"] > 2.5 * metrics["ranking"]["popularity"]["ndcg_at_10"]
    command(f"spark-submit jobs/score_all.py --data {data} --run-dir {run} --output {out} --top-n 10")
    table = pq.read_table(out, columns=["user_id", "rank", "anime_id"]).to_pandas()
    everybody = pd.read_csv(real_dump / "users-details-2023.csv", usecols=["Mal ID"])["Mal ID"]
    assert set(table["user_id"]) == set(everybody)
    assert (table.groupby("user_id")["anime_id"].nunique() == 10).all()
    assert not rated(data) & set(zip(table["user_id"], table["anime_id"], strict=True))
    said = command(f"widedeep recommendations --user 2 --recommendations {out}")
    assert table[table["user_id"] == 2]["anime_id"].astype(str).iloc[0] in said.stdout


def test_wrong_input_ends_with_2_through_spark_submit(tmp_path):
    said = command(f"spark-submit jobs/prepare.py --input {tmp_path}/nothing --output {tmp_path}/out", code=2)
    assert "nothing/users-score-2023.csv does not exist" in said.stderr
    assert said.stdout == ""
    said = command("spark-submit jobs/score_all.py --users-per-file 0 --cold-users nobody", code=2)
    assert "users_per_file" in said.stderr
    assert "cold_users" in said.stderr
    command("widedeep recommendations --user x", code=2)


@pytest.fixture
def cluster():
    script = ["bash", str(ROOT / "scripts" / "cluster.sh")]
    arguments = ["--workers", "2", "--memory", "1g", "--port", "17077", "--ui-port", "18080"]
    started = subprocess.run([*script, "start", *arguments], env=ENVIRONMENT, capture_output=True, text=True)
    assert started.returncode == 0, started.stderr
    yield started.stdout.strip()
    subprocess.run([*script, "stop"], env=ENVIRONMENT, check=True, capture_output=True)


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
    far, near = (pq.read_table(tmp_path / name) for name in ("far", "near"))
    assert far.num_rows > 0
    assert far.sort_by([("user_id", "ascending"), ("rank", "ascending")]).equals(
        near.sort_by([("user_id", "ascending"), ("rank", "ascending")])
    )


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
