"""The curves of a run in MLflow, and the only importer of it.

RUN/mlflow/run.json      which run of which MLflow this is, so that a resumed training goes on in it
RUN/mlflow/mlflow.db     MLflow's store, unless the environment names another
"""

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# MLflow would tell its makers what is called, unless the environment says otherwise before it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from widedeep.common.console import log
from widedeep.common.errors import InputError, Stopped
from widedeep.common.files import write_atomically
from widedeep.models.artifact import MODEL_FILE
from widedeep.training.metrics_file import METRICS_FILE, RunMetrics
from widedeep.training.settings import TrainConfig
from widedeep.training.tracking import MLFLOW, Axis

RUN_FILE = "run.json"
EXPERIMENT = "widedeep"  # unless the environment names another
SEND_SECONDS = 10.0  # between two requests with points of steps: one takes tens of milliseconds
MOST_METRICS, MOST_PARAMS = 1000, 100  # that MLflow takes in a request


class MLflowBoard:
    """Sends curves to MLflow from a thread of its own, so that a slow store does not hold up the training.

    What the store does not take once the training has begun is lost with a warning.
    """

    def __init__(self, config: TrainConfig, settings: Mapping[str, object]):
        """Open the run that `RUN/mlflow/` names, or begin a new one.

        Raises:
            InputError: MLflow cannot be reached, or does not have the run any more.

        """
        self._directory, self._model = config.run_dir / MLFLOW, config.run_dir / MODEL_FILE
        self._directory.mkdir(exist_ok=True)
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
        self._given = os.environ.get("MLFLOW_TRACKING_URI")
        uri = self._given or _local_store(self._directory)
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._run_id = self._kept_run() or self._new_run(config, settings)
            self._last = self._last_points()
        except MlflowException as error:
            raise InputError(
                f"track: the run cannot be opened in MLflow at {uri} ({first_line(error)}): set MLFLOW_TRACKING_URI to "
                f"where it is, or delete {self._directory / RUN_FILE} to begin a new one there"
            ) from None
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[Metric] = []
        self._sent = time.monotonic()

    def _kept_run(self) -> str | None:
        """Return the id of the run that an earlier part of the training has begun in this store."""
        file = self._directory / RUN_FILE
        kept = json.loads(file.read_text()) if file.exists() else {}
        if not kept or kept["tracking_uri"] != self._given:
            return None
        self._client.update_run(kept["run_id"], status="RUNNING")
        return kept["run_id"]

    def _new_run(self, config: TrainConfig, settings: Mapping[str, object]) -> str:
        client, name = self._client, os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = os.environ.get("MLFLOW_EXPERIMENT_ID")
        if experiment is None:
            found = client.get_experiment_by_name(name)
            # Files would go to the current directory, whatever the store.
            files = None if self._given else (self._directory.resolve() / "files").as_uri()
            experiment = found.experiment_id if found else client.create_experiment(name, files)
        run_id = client.create_run(experiment, run_name=config.run_dir.name).info.run_id
        client.log_batch(run_id, tags=[RunTag("run_dir", str(config.run_dir.resolve()))])
        params = [Param(key, str(value)) for key, value in settings.items()]
        for start in range(0, len(params), MOST_PARAMS):
            client.log_batch(run_id, params=params[start : start + MOST_PARAMS])
        content = {"tracking_uri": self._given, "run_id": run_id}
        write_atomically(self._directory / RUN_FILE, json.dumps(content).encode())
        return run_id

    def _last_points(self) -> dict[str, int]:
        """Return the number of each curve's last point: MLflow keeps what it has, so points are not sent again."""
        curves = self._client.get_run(self._run_id).data.metrics
        return {key: max(m.step for m in self._client.get_metric_history(self._run_id, key)) for key in curves}

    def record(self, axis: Axis, number: int, values: Mapping[str, float]) -> None:
        """See `Board`."""
        now = round(1000 * time.time())
        new = {key: value for key, value in values.items() if number > self._last.get(key, -1)}
        self._waiting += [Metric(key, value, now, number) for key, value in new.items()]
        if axis == "epoch" or time.monotonic() - self._sent > SEND_SECONDS:
            self._send()

    def _send(self) -> None:
        self._thread.submit(self._log, self._waiting)
        self._waiting, self._sent = [], time.monotonic()

    def _log(self, metrics: Sequence[Metric]) -> None:
        try:
            for start in range(0, len(metrics), MOST_METRICS):
                self._client.log_batch(self._run_id, metrics[start : start + MOST_METRICS])
        except MlflowException as error:
            log.warning("mlflow: %d values were not taken and are lost: %s", len(metrics), first_line(error))

    def finish(self, values: Mapping[str, float], metrics: RunMetrics) -> None:
        """See `Board`; to a store elsewhere, `metrics.json` and the model go, too."""
        self.record("epoch", 0, values)
        if self._given:
            try:
                self._client.log_dict(self._run_id, metrics.model_dump(mode="json"), METRICS_FILE)
                self._client.log_artifact(self._run_id, str(self._model))
            except Exception as error:  # whatever the client of the store of files raises
                log.warning(
                    "mlflow: the files were not taken, they are in %s: %s", self._model.parent, first_line(error)
                )

    def close(self, error: BaseException | None) -> None:
        """See `Board`."""
        self._send()
        self._thread.shutdown()
        stopped = isinstance(error, Stopped | KeyboardInterrupt)
        status = "FINISHED" if error is None else "KILLED" if stopped else "FAILED"
        try:
            self._client.set_terminated(self._run_id, status)
        except MlflowException as failure:
            log.warning("mlflow: the run stays open there: %s", first_line(failure))


def first_line(error: Exception) -> str:
    """Return the first line of an error; MLflow's go on with SQL."""
    return str(error).partition("\n")[0]


def _local_store(directory: Path) -> str:
    if "?" in str(directory.resolve()):
        raise InputError(
            f"track: MLflow cannot have its store in {directory}, because of the question mark: choose another "
            "--run-dir, or set MLFLOW_TRACKING_URI"
        )
    return f"sqlite:///{directory.resolve() / 'mlflow.db'}"
