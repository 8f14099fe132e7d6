"""The commands of the README, as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.commands import run_command
from tests.training import ROOT

BIN = Path(sys.executable).parent
# What an activated environment has: the venv's commands first, and the interpreter of the executors.
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
ENVIRONMENT.pop("PYTHONPATH", None)


def command(line: str, code: int = 0, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    done = run_command(line.split(), cwd, ENVIRONMENT)
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
