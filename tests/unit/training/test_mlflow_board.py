"""Curves in the real MLflow, with its store in a file."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.builders import write_prepared
from tests.training import command, curve, metrics, python, train
from widedeep.common.errors import InputError, Stopped
from widedeep.training.checkpoints import newest_first
from widedeep.training.mlflow_board import MLflowBoard
from widedeep.training.settings import TrainConfig
from widedeep.training.tracking import Tracker

FLAGS = {"track": "tensorboard,mlflow", "track_steps": 10, "ranking_users": 0}
GIVEN = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """Data, and a run of three epochs with its own store."""
    assert not any(name in os.environ for name in GIVEN)
    folder = tmp_path_factory.mktemp("mlflow")
    write_prepared(folder / "prepared")
    train(command(folder / "prepared", folder / "run #1", **FLAGS))
    return folder / "prepared", folder / "run #1"


def store(run: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{run.resolve()}/mlflow/mlflow.db")


def only_run(client: MlflowClient, experiment: str = "widedeep"):
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return run


def points(client: MlflowClient, run_id: str, name: str) -> list[tuple[int, float]]:
    """Return the points of a curve, doubled ones, too, ordered by their numbers."""
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, name))


def rmse_curve(run: Path) -> list[tuple[int, float]]:
    return [(line["epoch"], line["valid"]["rmse"]) for line in curve(run)]


def test_a_run_has_settings_curves_and_final_metrics(trained):
    client, run = store(trained[1]), trained[1]
    found = only_run(client)
    assert (found.info.run_name, found.info.status) == ("run #1", "FINISHED")
    assert found.data.tags["run_dir"] == str(run)
    params = found.data.params
    assert (params["optim.lr"], params["model.hidden"], params["patience"]) == ("0.01", "16,8", "none")
    assert points(client, found.info.run_id, "valid/rmse") == rmse_curve(run)
    steps = 3 * metrics(run)["train"]["steps_per_epoch"]
    for name in ("loss", "learning_rate", "gradient_norm", "samples_per_second", "data_wait_share"):
        numbers = [step for step, _ in points(client, found.info.run_id, f"step/{name}")]
        assert numbers == list(range(10, steps + 1, 10)), name
    assert found.data.metrics["test/rmse"] == pytest.approx(metrics(run)["test"]["rmse"])
    assert client.list_artifacts(found.info.run_id) == []  # they stand in the run's directory


def test_a_resumed_run_goes_on_in_its_run_and_doubles_no_point(trained, tmp_path):
    run = tmp_path / "moved"
    shutil.copytree(trained[1], run)
    (run / "metrics.json").unlink()
    shutil.rmtree(newest_first(run / "checkpoints")[0])
    before, client = only_run(store(trained[1])), store(run)
    train(command(trained[0], run, **FLAGS))
    found = only_run(client)
    assert found.info.run_id == before.info.run_id
    for name in before.data.metrics:
        assert points(client, found.info.run_id, name) == points(store(trained[1]), before.info.run_id, name), name
    # In another process and read without MLflow, because this one has the store open, which the new one replaces.
    done = python(command(trained[0], run, **FLAGS, resume="never", epochs=1))
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(run / "mlflow/mlflow.db")) as database:
        (new,) = database.execute("SELECT run_uuid FROM runs")
    assert new[0] != before.info.run_id
    assert "INFO mlflow" not in done.stderr


@pytest.fixture
def elsewhere(trained, tmp_path, monkeypatch) -> MlflowClient:
    """A store that the environment names, with a place for files."""
    shutil.copy(trained[1] / "mlflow/mlflow.db", tmp_path / "store.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/store.db")
    client.create_experiment("mine", (tmp_path / "files").as_uri())
    return client


def test_a_store_that_the_environment_names_gets_the_files(trained, elsewhere, tmp_path):
    train(command(trained[0], tmp_path / "run", **FLAGS, epochs=1))
    found = only_run(elsewhere, "mine")
    for name in ("metrics.json", "model.safetensors"):
        file = Path(elsewhere.download_artifacts(found.info.run_id, name))
        if name == "metrics.json":
            assert metrics(file.parent) == metrics(tmp_path / "run")
        else:
            assert file.read_bytes() == (tmp_path / "run" / name).read_bytes()
    assert not (tmp_path / "run/mlflow/mlflow.db").exists()


@pytest.mark.parametrize(
    ("error", "status"), [(Stopped("asked"), "KILLED"), (KeyboardInterrupt(), "KILLED"), (ValueError("x"), "FAILED")]
)
def test_how_a_run_ended_is_its_status(elsewhere, tmp_path, error, status):
    (tmp_path / "run").mkdir()
    config = TrainConfig(run_dir=tmp_path / "run", track=("mlflow",))
    with pytest.raises(type(error)), Tracker(config, 0, 0):
        raise error
    assert only_run(elsewhere, "mine").info.status == status
    with Tracker(config, 0, 0):
        assert only_run(elsewhere, "mine").info.status == "RUNNING"


def test_a_store_that_fails_later_ends_no_training(elsewhere, tmp_path, caplog):
    (tmp_path / "run").mkdir()
    board = MLflowBoard(TrainConfig(run_dir=tmp_path / "run"), {"optim.lr": 0.5})
    elsewhere.delete_run(only_run(elsewhere, "mine").info.run_id)
    board.record("epoch", 0, {"valid/rmse": 1.5})
    board.close(None)
    assert "mlflow: 1 values were not taken and are lost" in caplog.text
    with pytest.raises(InputError, match="the run cannot be opened in MLflow at sqlite"):
        MLflowBoard(TrainConfig(run_dir=tmp_path / "run"), {})


def test_a_store_that_does_not_answer_is_one_sentence(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=r"cannot be opened in MLflow at http://127\.0\.0\.1:9"):
        train(command(trained[0], tmp_path / "run", **FLAGS))


def test_a_directory_that_no_url_can_name_is_refused(tmp_path):
    (tmp_path / "what?").mkdir()
    with pytest.raises(InputError, match="because of the question mark"):
        MLflowBoard(TrainConfig(run_dir=tmp_path / "what?"), {})
