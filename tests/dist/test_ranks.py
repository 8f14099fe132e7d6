"""Real ranks: `torchrun widedeep/train.py` with one process and with two."""

import math
from pathlib import Path

import pytest

from tests.builders import read_split, write_prepared
from tests.training import command, curve, metrics, scalars, torchrun, widedeep


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks") / "prepared"
    manifest = write_prepared(path, ratings=8001)
    assert manifest.ratings.rows("train") % 2 == 0  # two ranks drop none, so that their last batch is the same
    return path, manifest


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """The same training on 1 and on 2 ranks: number of ranks -> run directory and finished process."""
    folder = tmp_path_factory.mktemp("runs")
    flags = {"loader__mode": "resident", "optim__embedding_decay": 1e-3, "optim__clip_norm": 1.0, "track_steps": 10}
    done = {ranks: torchrun(ranks, command(data[0], folder / str(ranks), **flags)) for ranks in (1, 2)}
    assert {ranks: process.returncode for ranks, process in done.items()} == {1: 0, 2: 0}, done[2].stderr
    return {ranks: (folder / str(ranks), process) for ranks, process in done.items()}


def test_any_number_of_ranks_gives_the_same_curve(runs):
    one, two = ([epoch["valid"]["rmse"] for epoch in curve(runs[ranks][0])] for ranks in (1, 2))
    assert two == pytest.approx(one, rel=1e-5)
    assert one[0] != pytest.approx(one[1], rel=1e-3)  # it is no constant


@pytest.mark.parametrize("name", ["loss", "gradient_norm", "learning_rate"])
def test_any_number_of_ranks_tracks_the_same_steps(runs, name):
    one, two = (scalars(runs[ranks][0] / "tensorboard/steps", f"step/{name}") for ranks in (1, 2))
    steps = 3 * metrics(runs[1][0])["train"]["steps_per_epoch"]
    assert [step for step, _ in two] == [step for step, _ in one] == list(range(10, steps + 1, 10))
    assert [value for _, value in two] == pytest.approx([value for _, value in one], rel=1e-4)
    assert name == "learning_rate" or len({value for _, value in one}) == len(one)


def test_any_number_of_ranks_gives_the_same_curve_of_another_architecture(data, tmp_path):
    flags = {"model__name": "ncf", "model__gmf_dim": 8, "model__mlp_dim": 8, "epochs": 2, "ranking_users": 0}
    for ranks in (1, 2):
        argv = command(data[0], tmp_path / str(ranks), **flags)
        done = torchrun(ranks, argv)
        assert done.returncode == 0, done.stderr
    one, two = ([epoch["valid"]["rmse"] for epoch in curve(tmp_path / str(ranks))] for ranks in (1, 2))
    assert two == pytest.approx(one, rel=1e-5)
    assert one[0] != pytest.approx(one[1], rel=1e-3)


def test_any_number_of_ranks_measures_the_same(runs):
    one, two = (metrics(runs[ranks][0]) for ranks in (1, 2))
    assert (one["train"]["ranks"], two["train"]["ranks"]) == (1, 2)
    assert two["test"] == pytest.approx(one["test"], rel=1e-5)
    for name in ("global_mean", "bias"):
        assert two["reference_models"][name] == pytest.approx(one["reference_models"][name], rel=1e-9)
    for side in ("by_user_ratings", "by_item_ratings"):
        assert sum(errors["ratings"] for errors in one["rating"][side].values()) == one["test"]["ratings"]
        for bucket, errors in one["rating"][side].items():
            assert two["rating"][side][bucket]["ratings"] == errors["ratings"]
            if errors["ratings"]:
                assert two["rating"][side][bucket] == pytest.approx(errors, rel=1e-4)
    assert two["ranking"]["popularity"] == pytest.approx(one["ranking"]["popularity"], rel=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
def test_metrics_json_has_what_the_contract_names(runs, ranks):
    found = metrics(runs[ranks][0])
    for errors in (found["valid"], found["test"], found["reference_models"]["global_mean"], found["reference_models"]["bias"]):
        assert all(math.isfinite(errors[name]) for name in ("rmse", "mae", "r2"))
        assert errors["mae"] < errors["rmse"]
    assert found["valid"]["rmse"] == min(epoch["valid"]["rmse"] for epoch in curve(runs[ranks][0]))
    assert found["train"]["samples_per_second"] > 0
    assert found["train"]["seconds"] > 0
    assert 0 <= found["train"]["data_wait_share"] <= 1


@pytest.mark.parametrize("ranks", [1, 2])
def test_every_rating_is_trained_on_and_measured_once(runs, data, ranks):
    path, manifest = data
    found, rows = (
        metrics(runs[ranks][0]),
        {split: len(read_split(path, manifest, split)) for split in ("train", "test")},
    )
    for errors in (found["test"], found["reference_models"]["global_mean"], found["reference_models"]["bias"]):
        assert errors["ratings"] == rows["test"]
    assert found["valid"]["ratings"] == manifest.ratings.rows("valid")
    assert found["train"]["samples"] == 3 * (rows["train"] - found["train"]["dropped_per_epoch"])
    assert found["train"]["dropped_per_epoch"] == rows["train"] % ranks


@pytest.mark.parametrize("ranks", [1, 2])
def test_results_go_to_stdout_once_and_the_log_to_stderr(runs, ranks):
    run, process = runs[ranks]
    assert process.stdout.startswith("test ratings never seen")
    assert process.stdout.count(f"{metrics(run)['test']['rmse']:.4f}") == 1
    assert "epoch" not in process.stdout.splitlines()[0]
    assert process.stderr.count("epoch 3/3  train RMSE") == 1
    assert process.stderr.count("report.html") == 1
    assert "epoch 3/3" not in process.stdout


SHOW_THREADS = """
import os, sys
from pathlib import Path
from widedeep.train import main
main(sys.argv[1:])
names = [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]
Path(__file__).with_name("threads" + os.environ["RANK"]).write_text("".join(names))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for threads in /proc")
@pytest.mark.parametrize("sharding", ["none", "row"])
def test_no_thread_of_the_process_group_outlives_the_training(data, tmp_path, sharding):
    """Such threads aborted a rank at its exit in one of six trainings."""
    (tmp_path / "script.py").write_text(SHOW_THREADS)
    _, *flags = command(data[0], tmp_path / "run", epochs=1, ranking_users=0, embedding__sharding=sharding)
    done = torchrun(2, [str(tmp_path / "script.py"), *flags])
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        threads = (tmp_path / f"threads{rank}").read_text()
        assert "python" in threads
        assert "gloo" not in threads


def test_two_streaming_ranks_learn(data, tmp_path):
    path, manifest = data
    done = torchrun(2, command(path, tmp_path / "run", loader__mode="stream", loader__shuffle_buffer=1000))
    assert done.returncode == 0, done.stderr
    found = metrics(tmp_path / "run")
    assert found["test"]["rmse"] < 0.9 * found["reference_models"]["global_mean"]["rmse"]
    assert found["test"]["rmse"] < found["reference_models"]["bias"]["rmse"]
    assert found["test"]["ratings"] == manifest.ratings.rows("test")
    # Two of the four shards each, of which the smaller pair sets the steps.
    shards = [shard.rows for shard in manifest.ratings.shards["train"]]
    smaller = min(shards[0] + shards[2], shards[1] + shards[3])
    assert found["train"]["samples"] == 3 * 2 * smaller


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"optim__lr": -1, "epochs": "many"}, ["optim.lr: Input should be greater than 0", "epochs: ", "2 mistake(s)"]),
        ({"batch_size": 63}, ["batch_size 63 is not a multiple of the 2 ranks"]),
    ],
)
def test_wrong_settings_end_with_2_and_say_what_is_wrong(data, tmp_path, flags, said):
    done = widedeep(2, command(data[0], tmp_path / "run", **flags))
    assert done.returncode == 2
    assert done.stdout == ""
    assert all(text in done.stderr for text in said)
    assert "Traceback" not in done.stderr
