"""Lists for all users, made on the executors and written as Parquet."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import torch
from pyspark import Broadcast, SparkFiles
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from widedeep.common.console import log
from widedeep.config.score import ScoreConfig
from widedeep.models.artifact import load_artifact
from widedeep.schema.dataset import Identifiers
from widedeep.schema.manifest import HIDDEN_MANIFEST
from widedeep.schema.recommendations import RecommendationManifest, list_schema
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.two_stage import Approximation, TwoStageScorer
from widedeep.scoring.user_lists import ListPlan, score_batches
from widedeep.spark.device import task_device
from widedeep.spark.partitioning import Salt, hash_key, partition_by_range, task_count
from widedeep.spark.prepared_data import PreparedData
from widedeep.spark.scoring.approximation import fit_approximation
from widedeep.spark.scoring.rules import SparkItems, read_rules
from widedeep.spark.scoring.sent_model import SentModel
from widedeep.spark.shards import describe_files, write_parquet
from widedeep.spark.staged_directory import Output, staged_directory

# A look-up reads one row group: small ones make it quick.
ROW_GROUP_BYTES = 1 << 18
# A task for fewer users does not pay: starting torch takes half a second.
MIN_USERS_PER_TASK = 512


def recommendations_output(config: ScoreConfig) -> Output:
    """Return the directory that the settings name."""
    return Output(
        config.output,
        RecommendationManifest.kind,
        config.overwrite,
        inputs=[config.data, config.run_dir],
        manifest_name=HIDDEN_MANIFEST,
    )


def write_recommendations(config: ScoreConfig, trained: SentModel, data: PreparedData) -> RecommendationManifest:
    """Score every item for every user, write the lists and commit them to `config.output`."""
    spark, ids = data.spark, data.manifest.dataset.ids
    users = users_to_score(data.users, config.sample_users)
    seen = seen_items(data, config.exclude)
    fitted = fit_approximation(config, trained.artifact, users, seen)
    stored = spark.sparkContext.broadcast(fitted.approximation.to_bytes()) if fitted else None
    plan = spark.sparkContext.broadcast(plan_lists(config, data))
    placed = place_users(users.join(seen, on="user", how="left"), config.users_per_file)
    log.info("scoring %s items for each user", f"{len(trained.artifact.item_id):,}")
    lists = placed.select("user", "user_id", "seen").mapInArrow(
        make_scorer(trained.file_name, config.candidates_each, stored, plan),
        from_arrow_schema(list_schema(ids)),
    )
    with staged_directory(data.files, recommendations_output(config)) as staged:
        write_parquet(data.files, lists, staged.path, ROW_GROUP_BYTES)
        rows, distinct_users, distinct_items = _totals(spark.read.parquet(staged.path), ids)
        manifest = RecommendationManifest(
            config=config.model_dump(mode="json", exclude={"output", "overwrite", "verify"}),
            data_digest=trained.artifact.manifest_digest,
            model=trained.artifact.sha256,
            ids=ids,
            users=distinct_users,
            rows=rows,
            distinct_items=distinct_items,
            recall=fitted.recall if fitted else None,
            files=describe_files(spark, staged.path),
        )
        staged.commit(manifest.seal())
    return manifest


def seen_items(data: PreparedData, splits: Sequence[str]) -> DataFrame:
    """Return user and seen: the items that each user rated in some splits, as a sorted array."""
    return data.ratings(splits).groupBy("user").agg(F.sort_array(F.collect_list("item")).alias("seen"))


def users_to_score(users: DataFrame, count: int | None) -> DataFrame:
    """Return user, user_id and train_ratings of all users, or of a sample of `count` by a hash of their id."""
    frame = users.select("user", "user_id", "train_ratings")
    return frame if count is None else frame.orderBy(hash_key(F.col("user_id"), Salt.USER_SAMPLE)).limit(count)


def place_users(users: DataFrame, users_per_file: int) -> DataFrame:
    """Return users in partitions of about `users_per_file` consecutive ones, in ascending order.

    User indexes are in the order of the ids, so a partition is a range of ids. The ranges of a sample of the users are
    wider, so that its partitions are as full. Every core gets work.
    """
    row = users.agg(F.count("*").alias("n"), F.max("user").alias("last")).collect()[0]
    tasks = task_count(users.sparkSession, row["n"], MIN_USERS_PER_TASK, users_per_file)
    return partition_by_range(users, "user", row["last"] + 1, tasks)


def plan_lists(config: ScoreConfig, data: PreparedData) -> ListPlan:
    """Return what lists the settings ask for."""
    return ListPlan(
        titles=SparkItems(data).read("title").combine_chunks(),
        top_n=config.top_n,
        cold_users=config.cold_users,
        rules=read_rules(config, data),
        reasons=config.reasons,
    )


def make_scorer(
    model_file: str, candidates: int, approximation: Broadcast[bytes] | None, plan: Broadcast[ListPlan]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function that an executor runs over its users.

    Args:
        model_file: name under which Spark has sent the artifact to the executors.
        candidates: of each user, for the two-stage method.
        approximation: as bytes, for the two-stage method; None to score every pair.
        plan: what lists to make.

    Returns:
        A function from batches of (user, user_id, seen) to batches of `list_schema`.

    """

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # Spark runs a task on each core
        artifact = load_artifact(Path(SparkFiles.get(model_file)), verify=False)
        device = task_device()
        model, items = artifact.model.to(device), len(artifact.item_id)
        if approximation is None:
            scorer = Scorer(model, items, device)
        else:
            scorer = TwoStageScorer(model, items, Approximation.from_bytes(approximation.value), candidates, device)
        yield from score_batches(artifact, scorer, batches, plan.value)

    return score


def _totals(lists: DataFrame, ids: Identifiers) -> tuple[int, int, int]:
    """Return the numbers of rows, distinct users and distinct items."""
    counts = [F.count("*"), F.count_distinct("user_id"), F.count_distinct(ids.item)]
    rows, users, items = lists.agg(*counts).collect()[0]
    return rows, users, items
