"""The model's prediction of every rating of the test split, made on the executors and written as Parquet."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import torch
from pyspark.sql.pandas.types import from_arrow_schema

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.score import ScoreConfig
from widedeep.schema.manifest import HIDDEN_MANIFEST
from widedeep.schema.predictions import PREDICTION_SCHEMA, PredictionManifest
from widedeep.scoring.pairs import predict_pairs, require_finite
from widedeep.spark.device import task_device
from widedeep.spark.partitioning import partition_by_range, task_count
from widedeep.spark.prepared_data import PreparedData
from widedeep.spark.scoring.sent_model import SentModel, received_model
from widedeep.spark.shards import describe_files, write_parquet
from widedeep.spark.staged_directory import Output, staged_directory

# A task for fewer ratings does not pay: starting torch takes half a second.
MIN_RATINGS_PER_TASK = 1 << 16
# Sorting the ratings of a task takes 24 MB.
MAX_RATINGS_PER_TASK = 1 << 21


def predictions_output(config: ScoreConfig) -> Output:
    """Return the directory that the settings name."""
    assert config.predictions is not None
    return Output(
        config.predictions,
        PredictionManifest.kind,
        config.overwrite,
        inputs=[config.data, config.run_dir],
        flag="predictions",
        manifest_name=HIDDEN_MANIFEST,
    )


def write_predictions(config: ScoreConfig, trained: SentModel, data: PreparedData) -> PredictionManifest:
    """Predict the ratings of the test split, write them and commit them to `config.predictions`.

    Raises:
        InputError: the test split is empty, or the model predicts no ratings.

    """
    if not trained.artifact.model.rates:
        raise InputError(
            f"predictions: the model of {config.run_dir} was trained to rank and predicts no ratings: "
            "leave --predictions out, or train with --loss joint"
        )
    spark, files, rows = data.spark, data.files, data.manifest.ratings.rows("test")
    if not rows:
        raise InputError(
            f"{config.data} has no test ratings to write --predictions of: prepare with split.test above 0"
        )
    log.info("predicting the %s ratings of the test split", f"{rows:,}")
    ratings = data.ratings(["test"]).select("user", "item", "rating")
    # Sorted by user, so that a task encodes each user once.
    tasks = task_count(spark, rows, MIN_RATINGS_PER_TASK, MAX_RATINGS_PER_TASK)
    placed = partition_by_range(ratings, "user", data.manifest.users.rows, tasks, "item")
    predicted = placed.mapInArrow(make_predictor(trained.file), from_arrow_schema(PREDICTION_SCHEMA))
    with staged_directory(files, predictions_output(config)) as staged:
        write_parquet(files, predicted, staged.path)
        written = describe_files(spark, staged.path)
        if sum(file.rows for file in written) != rows:
            raise InputError(
                f"{config.data} has other test ratings than its manifest says ({rows:,}): run jobs/prepare.py again"
            )
        manifest = PredictionManifest(
            config={"data": config.data, "run": config.run_dir},
            data_digest=data.manifest.digest,
            model=trained.artifact.sha256,
            rows=rows,
            files=written,
        )
        staged.commit(manifest.seal())
    return manifest


def make_predictor(model_file: str) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function that an executor runs over batches of (user, item, rating); it adds `predicted`.

    Args:
        model_file: of `SentModel`.

    """

    def predict(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # Spark runs a task on each core
        device = task_device()
        model = received_model(model_file).model.to(device)
        for batch in batches:
            user, item, rating = (batch.column(name) for name in ("user", "item", "rating"))
            predicted = predict_pairs(model, user.to_numpy(), item.to_numpy(), device)
            require_finite(predicted, user.to_numpy(), "ratings")
            yield pa.record_batch([user, item, rating, pa.array(predicted)], names=PREDICTION_SCHEMA.names)

    return predict
