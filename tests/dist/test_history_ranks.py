"""Two real ranks that are trained on whole histories."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import save_manifest, write_by_user, write_prepared
from tests.training import command, metrics, torchrun

FLAGS = {
    "model__name": "wide_deep_history",
    "model__candidates": 30,
    "model__ridge": 20,
    "batch_size": 256,
    "ranking_users": 100,
    "ranking__weight": 0.3,
    "select_by": "rmse",
    "optim__lr": 2e-3,
}
# Trains as widedeep/train.py does, and writes what each rank then has.
KEEP_SUMS = """
import json, os, sys
from pathlib import Path

import torch

from widedeep.common.command import load_config
from widedeep.parallel.world import join_world
from widedeep.training.run import TrainingRun
from widedeep.training.settings import TrainConfig

config = load_config(TrainConfig, sys.argv[1:], "train")
with join_world(config.device) as world:
    run = TrainingRun(config, world)
    before = {name: value.double().sum().item() for name, value in run.model.named_parameters()}
    run.train()
    after = {name: value.detach().double().sum().item() for name, value in run.model.named_parameters()}
    found = {"before": before, "after": after, "steps": run.loader.steps}
    run.measure()
Path(__file__).with_name("rank" + os.environ["RANK"]).write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Of two files by user one has three quarters of the ratings: the rank with the other ends with empty batches."""
    path = tmp_path_factory.mktemp("history-ranks") / "prepared"
    manifest = write_prepared(path, users=200, items=60, ratings=6000, selective=2.0, features=True)
    parts = [pq.ParquetFile(path / file.path).read() for file in manifest.ratings.by_user]
    both = (pa.concat_tables(parts[:3]), parts[3])
    files = write_by_user(path, [{name: table[name].to_numpy() for name in table.column_names} for table in both])
    ratings = manifest.ratings.model_copy(update={"by_user": files})
    save_manifest(path, manifest.model_copy(update={"ratings": ratings}))
    return path


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_two_ranks_end_with_the_same_weights(data, tmp_path, mode):
    (tmp_path / "script.py").write_text(KEEP_SUMS)
    _, *flags = command(data, tmp_path / "run", loader__mode=mode, epochs=2, **FLAGS)
    done = torchrun(2, [str(tmp_path / "script.py"), *flags])
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"rank{rank}").read_text()) for rank in range(2))
    assert first == second
    assert sum(first["after"][name] != value for name, value in first["before"].items()) > 0.9 * len(first["before"])


def test_two_ranks_learn_what_one_learns(data, tmp_path):
    """Not to the bit: each rank draws what it holds out."""
    found = {}
    for ranks in (1, 2):
        done = torchrun(ranks, command(data, tmp_path / str(ranks), epochs=8, **FLAGS))
        assert done.returncode == 0, done.stderr
        found[ranks] = metrics(tmp_path / str(ranks))
        assert found[ranks]["test"]["rmse"] < found[ranks]["reference_models"]["bias"]["rmse"]
        ranking = found[ranks]["ranking"]
        assert ranking["model"]["ndcg_at_10"] > ranking["popularity"]["ndcg_at_10"]
    assert found[2]["test"]["rmse"] == pytest.approx(found[1]["test"]["rmse"], rel=0.05)
    assert found[2]["test"]["ratings"] == found[1]["test"]["ratings"]
