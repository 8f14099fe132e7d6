"""Lists for all users, made on the executors and written as Parquet."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import torch
from pyspark import Broadcast, StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from widedeep.common.console import log
from widedeep.config.score import ScoreConfig
from widedeep.schema.dataset import Identifiers
from widedeep.schema.manifest import HIDDEN_MANIFEST
from widedeep.schema.recommendations import Recall, RecommendationManifest, list_schema
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.two_stage import Approximation, TwoStageScorer
from widedeep.scoring.user_lists import ListPlan, score_batches
from widedeep.spark.device import task_device
from widedeep.spark.filesystem import Files
from widedeep.spark.finished_steps import begin_again, finish_step, is_finished, resume_or_reset
from widedeep.spark.partitioning import Salt, hash_key, task_count
from widedeep.spark.prepared_data import PreparedData
from widedeep.spark.scoring.approximation import fit_approximation
from widedeep.spark.scoring.rules import SparkItems, read_rules
from widedeep.spark.scoring.sent_model import SentModel, received_model
from widedeep.spark.session import run_concurrently
from widedeep.spark.shards import describe_files, write_parquet
from widedeep.spark.staged_directory import Output, staged_directory

# A look-up reads one row group: small ones make it quick.
ROW_GROUP_BYTES = 1 << 18
# A task for fewer users does not pay: starting torch takes half a second.
MIN_USERS_PER_TASK = 512
BLOCK_TASKS = 4  # of a block, for each core: what a killed job has to score again at most


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
    """Score every item for every user, write the lists and commit them to `config.output`.

    Users are scored in blocks. If the job is killed, the same command goes on after the last block.
    """
    spark, files, ids = data.spark, data.files, data.manifest.dataset.ids
    settings = config.model_dump(mode="json", exclude={"output", "overwrite", "verify"})
    with staged_directory(files, recommendations_output(config)) as staged:
        users, steps = users_to_score(data.users, config.sample_users), f"{staged.path}.work"
        each = BLOCK_TASKS * spark.sparkContext.defaultParallelism
        blocks = list(plan_files(users, config.users_per_file).split(each))
        resume_or_reset(files, steps, settings, data.manifest.digest, trained.artifact.sha256, blocks)
        recall = _score_blocks(config, trained, data, users, blocks, steps)
        _collect_files(files, steps, staged.path)
        (rows, distinct_users, distinct_items), described = run_concurrently(
            lambda: _totals(spark.read.parquet(staged.path), ids), lambda: describe_files(spark, staged.path)
        )
        manifest = RecommendationManifest(
            config=settings,
            data_digest=trained.artifact.manifest_digest,
            model=trained.artifact.sha256,
            ids=ids,
            users=distinct_users,
            rows=rows,
            distinct_items=distinct_items,
            recall=recall,
            files=described,
        )
        staged.commit(manifest.seal())
    files.delete(steps)
    return manifest


class UserBlock(NamedTuple):
    """Users whose lists stand in some consecutive files."""

    first_file: int
    files: int
    span: int  # user indexes of each file

    def split(self, files: int) -> Iterator["UserBlock"]:
        """Yield blocks of at most so many files that make up this one."""
        end = self.first_file + self.files
        for first in range(self.first_file, end, files):
            yield UserBlock(first, min(files, end - first), self.span)


def plan_files(users: DataFrame, users_per_file: int) -> UserBlock:
    """Return the files for all users, about `users_per_file` consecutive ones in each, as one block.

    User indexes are in the order of the ids, so a file is a range of ids. The ranges of a sample of the users are
    wider, so that its files are as full. Every core gets work.
    """
    row = users.agg(F.count("*").alias("n"), F.max("user").alias("last")).collect()[0]
    count = task_count(users.sparkSession, row["n"], MIN_USERS_PER_TASK, users_per_file)
    return UserBlock(0, count, -(-(row["last"] + 1) // count))


def _score_blocks(
    config: ScoreConfig,
    trained: SentModel,
    data: PreparedData,
    users: DataFrame,
    blocks: Sequence[UserBlock],
    steps: str,
) -> Recall | None:
    """Write the lists of each block to a directory in `steps`, unless it is there; return the recall of candidates."""
    spark, seen = data.spark, seen_items(data, config.exclude)
    fitted = fit_approximation(config, trained.artifact, users, seen)
    stored = spark.sparkContext.broadcast(fitted.approximation.to_bytes()) if fitted else None
    plan = spark.sparkContext.broadcast(plan_lists(config, data))
    scorer = make_scorer(trained.file, config.candidates_each, stored, plan)
    log.info("scoring %s items for each user", f"{len(trained.artifact.item_id):,}")
    known = users.join(seen, on="user", how="left").persist(StorageLevel.DISK_ONLY)
    for number, block in enumerate(blocks, 1):
        step = f"{steps}/block-{block.first_file:05d}"
        if is_finished(data.files, step):
            log.info("block %d of %d is there already", number, len(blocks))
            continue
        placed = place_users(known, block).select("user", "user_id", "seen")
        lists = placed.mapInArrow(scorer, from_arrow_schema(list_schema(data.manifest.dataset.ids)))
        write_parquet(data.files, lists, step, ROW_GROUP_BYTES)
        finish_step(data.files, step)
        log.info("block %d of %d is scored", number, len(blocks))
    known.unpersist()
    return fitted.recall if fitted else None


def place_users(users: DataFrame, block: UserBlock) -> DataFrame:
    """Return the users of a block, in a partition for each of its files, in ascending order."""
    file_number = F.expr(f"int(user div {block.span}) - {block.first_file}")
    mine = users.where(file_number.between(0, block.files - 1))
    return mine.repartitionById(block.files, file_number).sortWithinPartitions("user")


def _collect_files(files: Files, steps: str, target: str) -> None:
    """Move the files of all blocks to one directory, numbered in their order."""
    files.make_directory(target)
    parts = []
    for step in sorted(name for name, _, _ in files.entries(steps) if name.startswith("block-")):
        names = [name for name, _, _ in files.entries(f"{steps}/{step}") if name.endswith(".parquet")]
        parts += [f"{steps}/{step}/{name}" for name in names]
        begin_again(files, f"{steps}/{step}")  # before it loses a file: after a crash it would look whole
    for number, part in enumerate(parts):
        files.rename(part, f"{target}/part-{number:05d}.parquet")


def seen_items(data: PreparedData, splits: Sequence[str]) -> DataFrame:
    """Return user and seen: the items that each user rated in some splits, as a sorted array."""
    return data.ratings(splits).groupBy("user").agg(F.sort_array(F.collect_list("item")).alias("seen"))


def users_to_score(users: DataFrame, count: int | None) -> DataFrame:
    """Return user, user_id and train_ratings of all users, or of a sample of `count` by a hash of their id."""
    frame = users.select("user", "user_id", "train_ratings")
    return frame if count is None else frame.orderBy(hash_key(F.col("user_id"), Salt.USER_SAMPLE)).limit(count)


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
        model_file: of `SentModel`.
        candidates: of each user, for the two-stage method.
        approximation: as bytes, for the two-stage method; None to score every pair.
        plan: what lists to make.

    Returns:
        A function from batches of (user, user_id, seen) to batches of `list_schema`.

    """

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # Spark runs a task on each core
        artifact = received_model(model_file)
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
