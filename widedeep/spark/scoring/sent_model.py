"""The trained model of a run, on the driver and on the executors."""

import os
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import SparkSession

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.score import ScoreConfig
from widedeep.models.artifact import MODEL_FILE, Artifact, load_artifact
from widedeep.schema.manifest import Manifest
from widedeep.spark.filesystem import Files, scratch_directory
from widedeep.training.metrics_file import METRICS_FILE


class SentModel(NamedTuple):
    """An artifact, and its file: the name under which Spark has sent it, or its path. `SparkFiles.get` takes both."""

    artifact: Artifact
    file: str


def load_model(spark: SparkSession, config: ScoreConfig, prepared: Manifest) -> Artifact:
    """Return the model of a run.

    Raises:
        InputError: the run has no model, or it was trained on other data than `prepared`.

    """
    return _load_checked(spark, config, prepared)[1]


def _load_checked(spark: SparkSession, config: ScoreConfig, prepared: Manifest) -> tuple[Path, Artifact]:
    """Return the model's file on this machine, and the model."""
    files = Files(spark)
    file = local_model(files, config.run_dir)
    artifact = load_artifact(file)
    artifact.check_trained_on(prepared.digest, config.run_dir, config.data)
    if not files.exists(f"{config.run_dir}/{METRICS_FILE}"):
        log.warning("the training in %s is not finished: this is its best epoch so far", config.run_dir)
    return file, artifact


def send_model(spark: SparkSession, config: ScoreConfig, prepared: Manifest) -> SentModel:
    """Load the model of a run and send its file to the executors.

    Raises:
        InputError: the run has no model, or it was trained on other data than `prepared`.

    """
    file, artifact = _load_checked(spark, config, prepared)
    # A session keeps every file that it was sent, and takes no second one of the same name.
    named = scratch_directory() / f"{uuid4().hex}-{MODEL_FILE}"
    try:
        os.link(file, named)  # Spark would name a symbolic link's target
    except OSError:  # another file system
        shutil.copyfile(file, named)
    if str(spark.sparkContext.master).startswith("local"):
        return SentModel(artifact, str(named))  # Spark would copy the file, and compare the copy with it
    spark.sparkContext.addFile(str(named))
    return SentModel(artifact, named.name)


@lru_cache(maxsize=1)
def received_model(file: str) -> Artifact:
    """Return the model of a `SentModel` in a worker of an executor: read once for all tasks of a Python process.

    Args:
        file: of `SentModel`.

    """
    return load_artifact(Path(SparkFiles.get(file)), verify=False)


def warm_up_workers(spark: SparkSession, file: str) -> None:
    """Let a Python worker for each core import torch and read the model; they stay for the tasks that follow."""

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        received_model(file)
        yield from batches

    cores = spark.sparkContext.defaultParallelism
    spark.range(0, cores, 1, cores).mapInArrow(read, "id long").collect()


def local_model(files: Files, run: str) -> Path:
    """Return the model of a run as a file of this machine; fetch it if the run is on another file system."""
    remote = f"{run}/{MODEL_FILE}"
    if not files.exists(remote):
        raise InputError(f"{run} holds no {MODEL_FILE}: train first with torchrun widedeep/train.py --run-dir {run}")
    return files.local(remote) or files.fetch(remote)
