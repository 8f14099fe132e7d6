"""A log of who played what when, without ratings, through all commands."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from tests.e2e.test_pipeline import command

LISTENERS, SONGS, GENRES = 400, 90, 3


def write_log(directory: Path) -> pd.DataFrame:
    """Each listener plays songs of one genre ten times as often as others; texts are identifiers."""
    random = np.random.default_rng(0)
    odds = np.where(np.arange(LISTENERS)[:, None] % GENRES == np.arange(SONGS) % GENRES, 10.0, 1.0)
    odds /= odds.sum(1, keepdims=True)
    played = [random.choice(SONGS, 18, p=share) for share in odds]  # some twice
    frame = pd.DataFrame({"listener": np.repeat(np.arange(LISTENERS), 18), "song": np.concatenate(played)})
    frame["listener"], frame["song"] = "zoë " + frame["listener"].astype(str), "s/" + frame["song"].astype(str)
    frame["played_at"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.permutation(len(frame)), unit="min")
    directory.mkdir()
    frame.to_csv(directory / "plays.csv", index=False)
    return frame


def test_a_log_without_ratings_goes_through_all_commands(tmp_path):
    played = write_log(tmp_path / "raw")
    raw, described, data, run = (tmp_path / name for name in ("raw", "plays.toml", "prepared", "run"))
    lists, systems = tmp_path / "systems/best/recommendations", tmp_path / "systems"
    command(f"widedeep check-data --input {raw} --write {described}")
    said = command(f"widedeep check-data --input {raw} --dataset {described}")
    assert "prepare would take these files" in said.stdout
    command(f"spark-submit jobs/prepare.py --input {raw} --dataset {described} --output {data} --split.kind time")
    pairs = played.drop_duplicates(["listener", "song"])
    manifest = json.loads((data / "manifest.json").read_text())
    assert sum(file["rows"] for split in manifest["ratings"]["shards"].values() for file in split) == len(pairs)
    said = command(f"torchrun widedeep/train.py --data {data} --run-dir {run} --max-steps 12 --model.ridge 20")
    assert "RMSE" not in said.stdout
    command(f"spark-submit jobs/score_all.py --data {data} --run-dir {run} --output {lists} --exclude train,valid")
    command(f"spark-submit jobs/evaluate.py --data {data} --systems {systems}")
    evaluation = json.loads((systems / "best/evaluation.json").read_text())
    assert evaluation["rating"] is None
    metrics = json.loads((run / "metrics.json").read_text())
    assert evaluation["ranking"]["ndcg_at_10"]["mean"] > 1.5 * metrics["ranking"]["popularity"]["ndcg_at_10"]
    table = pq.read_table(lists).to_pandas()
    assert set(table["user_id"]) == set(played["listener"])
    assert set(table["item_id"]) <= set(played["song"])
    assert table["predicted_rating"].isna().all()
