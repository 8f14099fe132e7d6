"""The model's prediction for every rating of the test split, made on the executors."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import torch
from pyspark import SparkFiles
from pyspark.sql import SparkSession

from widedeep.common.console import log
from widedeep.config.score import ScoreConfig
from widedeep.models.artifact import load_artifact
from widedeep.schema.manifest import HIDDEN_MANIFEST
from widedeep.scoring.pairs import PredictionManifest, predict_pairs
from widedeep.spark.device import task_device
from widedeep.spark.filesystem import Files, staged_directory
from widedeep.spark.partitioning import partition_by_range, task_count
from widedeep.spark.shards import describe_files, write_parquet

PREDICTED = "user int, item int, rating float, predicted float"
# Fewer ratings than this are not worth a task of their own: starting torch costs half a second.
MIN_RATINGS_PER_TASK = 1 << 16
# A task's ratings; sorting them takes 24 MB.
MAX_RATINGS_PER_TASK = 1 << 21


def make_predictor(model_file: str) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that an executor runs over batches of (user, item, rating); adds `predicted`.

    Args:
        model_file: name under which Spark has sent the artifact to the executors.

    """

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # Spark runs a task on each core
        device = task_device()
        model = load_artifact(Path(SparkFiles.get(model_file))).model.to(device)
        for batch in batches:
            user, item, rating = (batch.column(name) for name in ("user", "item", "rating"))
            predicted = predict_pairs(model, user.to_numpy(), item.to_numpy(), device)
            yield pa.record_batch(
                [user, item, rating, pa.array(predicted)], names=["user", "item", "rating", "predicted"]
            )

    return predict


def write_predictions(
    spark: SparkSession, config: ScoreConfig, model_file: str, users: int, rows: int, digest: str
) -> PredictionManifest:
    """Predict, write and commit.

    Args:
        spark: the session.
        config: of the job; `predictions` names the directory.
        model_file: name under which Spark has sent the artifact to the executors.
        users: number of all users.
        rows: number of test ratings.
        digest: of the prepared directory.

    """
    assert config.predictions is not None
    files = Files(spark)
    log.info("predicting the %s ratings of the test split", f"{rows:,}")
    ratings = spark.read.parquet(f"{config.data}/ratings").where("split = 'test'").select("user", "item", "rating")
    # A task then meets each user once.
    tasks = task_count(spark, rows, MIN_RATINGS_PER_TASK, MAX_RATINGS_PER_TASK)
    placed = partition_by_range(ratings, "user", users, tasks, "item")
    predicted = placed.mapInArrow(make_predictor(model_file), PREDICTED)
    with staged_directory(files, config.predictions, HIDDEN_MANIFEST) as staged:
        write_parquet(files, predicted, staged.path)
        manifest = PredictionManifest(
            config={"data": config.data, "run": config.run_dir},
            data_digest=digest,
            rows=rows,
            files=describe_files(spark, staged.path),
        )
        assert sum(file.rows for file in manifest.files) == rows
        staged.commit(manifest.model_dump_json(indent=1))
    return manifest
