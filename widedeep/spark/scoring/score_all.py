"""Score every anime for every user and write each user's top-N as Parquet.

spark-submit jobs/score_all.py --data data/prepared --run-dir runs/wide_deep --output data/recommendations --top-n 10

With --predictions DIR also the predicted rating of every rating of the test split.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyspark import Broadcast, SparkFiles
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.table import Table as View

from widedeep.common.command import load_config
from widedeep.common.console import log, stdout
from widedeep.common.errors import InputError
from widedeep.config.score import ScoreConfig
from widedeep.models.artifact import FILE, Artifact, load_artifact
from widedeep.schema.manifest import HIDDEN_MANIFEST
from widedeep.schema.recommendations import COLUMNS, Recall, RecommendationManifest
from widedeep.scoring.pairs import PredictionManifest
from widedeep.scoring.scorer import BLOCK, Scorer
from widedeep.scoring.two_stage import FIT_USERS, Approximation, TwoStageScorer, fit, recall
from widedeep.spark.device import task_device
from widedeep.spark.filesystem import Files, check_replaceable, read_prepared, staged_directory
from widedeep.spark.partitioning import Salt, hash_key, partition_by_range, task_count
from widedeep.spark.scoring.predictions import write_predictions
from widedeep.spark.session import build_session
from widedeep.spark.shards import describe_files, write_parquet

# A look-up reads one row group: small ones make it quick.
ROW_GROUP_BYTES = 1 << 18
# A recall below this is warned of.
WANTED_RECALL = 0.99
# Fewer users than this are not worth a task of their own: starting torch costs half a second.
MIN_USERS_PER_TASK = 512

SCORED = pa.schema(
    [
        ("user_id", pa.int64()),
        ("rank", pa.int32()),
        ("item", pa.int32()),
        ("anime_id", pa.int64()),
        ("score", pa.float32()),
        ("predicted_rating", pa.float32()),
    ]
)


def seen_items(spark: SparkSession, data: str, splits: Sequence[str]) -> DataFrame:
    """user, seen: the items each user has rated in some splits, as a sorted array."""
    ratings = spark.read.parquet(f"{data}/ratings").where(F.col("split").isin(*splits))
    return ratings.groupBy("user").agg(F.sort_array(F.collect_list("item")).alias("seen"))


def users_to_score(users: DataFrame, count: int | None) -> DataFrame:
    """user, user_id and train_ratings of all users, or of `count` of them drawn by a hash of their id."""
    frame = users.select("user", "user_id", "train_ratings")
    return frame if count is None else frame.orderBy(hash_key(F.col("user_id"), Salt.USER_SAMPLE)).limit(count)


def placed_by_user(users: DataFrame, per_file: int) -> tuple[DataFrame, int]:
    """Users in partitions of at most about `per_file` consecutive ones, in order; and the number of partitions.

    Users are dense positions in the order of their ids, so a partition is a range of ids. With a
    sample of the users the ranges are wider, so that the partitions stay as full. Every core gets work.
    """
    row = users.agg(F.count("*").alias("n"), F.max("user").alias("last")).first()
    assert row is not None
    count = task_count(users.sparkSession, row["n"], MIN_USERS_PER_TASK, per_file)
    return partition_by_range(users, "user", row["last"] + 1, count), count


def approximate(
    config: ScoreConfig, artifact: Artifact, users: DataFrame, seen: DataFrame
) -> tuple[Approximation, Recall] | None:
    """What the two-stage method needs, and how well it does; None where all pairs are to be scored.

    Args:
        config: of the job.
        artifact: the trained model.
        users: user, user_id and train_ratings of those to be scored.
        seen: as of `seen_items`.

    """
    warm = np.flatnonzero(artifact.user_ratings > 0).astype(np.int32)
    items, candidates = len(artifact.anime_id), config.candidates_each
    if config.method == "exact" or candidates >= items or len(warm) < 2:
        if config.method != "exact":
            log.info("%s anime, of %s users with ratings: every pair is scored", f"{items:,}", f"{len(warm):,}")
        return None
    checked, hidden = recall_sample(users, seen, min(config.recall_users, len(warm) // 2))
    if not len(checked):
        return None  # nobody to score has ratings
    log.info("approximating the scores by those of %d landmarks", min(config.landmarks, items))
    others = np.random.default_rng(0).permutation(np.setdiff1d(warm, checked))  # measured on users it was not fitted to
    scorer = Scorer(artifact.model, items)
    approximation = fit(scorer, others[:FIT_USERS], config.landmarks)
    two_stage = TwoStageScorer(artifact.model, items, approximation, candidates)
    exact, found = (s.top(checked, hidden, config.top_n)[0] for s in (scorer, two_stage))
    measured = Recall(value=recall(exact, found), users=len(checked), candidates=candidates)
    if measured.value < WANTED_RECALL:
        log.warning(
            "recall@%d is %.4f, below %g: raise --candidates (%d) or --landmarks (%d), or score with --method exact",
            *(config.top_n, measured.value, WANTED_RECALL, candidates, config.landmarks),
        )
    return approximation, measured


def recall_sample(users: DataFrame, seen: DataFrame, count: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Positions and seen items of `count` users with training ratings, drawn by a hash of their id."""
    warm = users.where(F.col("train_ratings") > 0)
    drawn = sorted(
        row["user"] for row in warm.orderBy(hash_key(F.col("user_id"), Salt.RECALL_SAMPLE)).limit(count).collect()
    )
    rows = seen.where(F.col("user").isin(drawn)).collect()
    items = {row["user"]: np.array(row["seen"], np.int64) for row in rows}
    return np.array(drawn, np.int32), [items.get(user, np.empty(0, np.int64)) for user in drawn]


def make_scorer(
    model_file: str, top_n: int, cold_users: str, approximation: Broadcast[bytes] | None, candidates: int
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function that an executor runs over its users.

    Args:
        model_file: name under which Spark has sent the artifact to the executors.
        top_n: items for each user.
        cold_users: what those without training ratings get, `popular` or `model`.
        approximation: as bytes, for the two-stage method; None to score every pair.
        candidates: items of each user that the two-stage method scores.

    Returns:
        Maps batches of (user, user_id, train_ratings, seen) to batches of SCORED.

    """

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # Spark runs a task on each core
        artifact = load_artifact(Path(SparkFiles.get(model_file)))
        device = task_device()
        model, count = artifact.model.to(device), len(artifact.anime_id)
        if approximation is None:
            scorer = Scorer(model, count, device)
        else:
            scorer = TwoStageScorer(model, count, Approximation.from_bytes(approximation.value), candidates, device)
        yield from score_batches(artifact, scorer, batches, top_n, cold_users)

    return score


def score_batches(
    artifact: Artifact, scorer: Scorer, batches: Iterator[pa.RecordBatch], top_n: int, cold_users: str
) -> Iterator[pa.RecordBatch]:
    """Batches of (user, user_id, train_ratings, seen) -> batches of SCORED."""
    fallback = None
    for batch in batches:
        cold = batch.column("train_ratings").to_numpy() == 0
        if cold_users == "model" and not artifact.model.cold_users_alike:
            cold[:] = False  # the model tells them apart, so each is scored as everybody else is
        users, ids = batch.column("user").to_numpy(), batch.column("user_id").to_numpy()
        seen = [np.asarray(s.values, np.int64) if s.is_valid else np.empty(0, np.int64) for s in batch.column("seen")]
        if cold.any() and fallback is None:
            fallback = Fallback(artifact, scorer, cold_users, int(users[cold][0]))
        for low in range(0, len(users), BLOCK):
            part = slice(low, low + BLOCK)
            yield score_block(artifact, scorer, fallback, users[part], ids[part], cold[part], seen[part], top_n)


class Fallback:
    """What users without training ratings get. If the model has them all alike, all is worked out once."""

    def __init__(self, artifact: Artifact, scorer: Scorer, kind: str, user: int):
        self._scorer, self._alike = scorer, artifact.model.cold_users_alike
        self.predicted = scorer.scores(torch.tensor([user], dtype=torch.int32))[0].cpu().numpy().copy()  # [I]
        users = max(1, int((artifact.user_ratings > 0).sum()))
        # popular: the share of the training users who rated the anime
        self.scores = artifact.item_ratings / users if kind == "popular" else self.predicted
        self.order = np.argsort(-self.scores, kind="stable")

    def top(self, seen: np.ndarray, n: int) -> np.ndarray:
        """The n best items that are not seen (a user can have ratings outside the training split)."""
        head = self.order[: n + len(seen)]
        return head[~np.isin(head, seen)][:n]

    def ratings(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Predicted ratings of each user's own items: [U] and [U, n] positions, -1 for none -> [U, n]."""
        known = items.clip(min=0)
        return self.predicted[known] if self._alike else self._scorer.of_chosen(users, known)


def score_block(
    artifact: Artifact,
    scorer: Scorer,
    fallback: Fallback | None,
    users: np.ndarray,
    ids: np.ndarray,
    cold: np.ndarray,
    seen: list[np.ndarray],
    top_n: int,
) -> pa.RecordBatch:
    """Recommendations of a block of users as a batch of SCORED."""
    n = min(top_n, len(artifact.anime_id))
    items = np.full((len(users), n), -1, np.int64)
    scores = np.zeros((len(users), n), np.float32)
    predicted = np.zeros((len(users), n), np.float32)
    warm = np.flatnonzero(~cold)
    if len(warm):
        items[warm], scores[warm] = scorer.top(users[warm], [seen[i] for i in warm], n)
        predicted[warm] = scores[warm]
    for row in np.flatnonzero(cold):
        assert fallback is not None
        best = fallback.top(seen[row], n)
        items[row, : len(best)] = best
        scores[row, : len(best)] = fallback.scores[best]
    if cold.any():
        assert fallback is not None
        predicted[cold] = fallback.ratings(users[cold], items[cold])
    rows, ranks = np.nonzero(items >= 0)  # a user may have fewer than n unseen items
    chosen = items[rows, ranks]
    return pa.record_batch(
        [
            pa.array(ids[rows], pa.int64()),
            pa.array(ranks + 1, pa.int32()),
            pa.array(chosen, pa.int32()),
            pa.array(artifact.anime_id[chosen], pa.int64()),
            pa.array(scores[rows, ranks], pa.float32()),
            pa.array(np.clip(predicted[rows, ranks], artifact.scale.lowest, artifact.scale.highest), pa.float32()),
        ],
        schema=SCORED,
    )


def score_all(
    spark: SparkSession, config: ScoreConfig
) -> tuple[RecommendationManifest | None, PredictionManifest | None]:
    """Score, write and commit what is asked for: lists, predictions of the test split or both."""
    files = Files(spark)
    wanted = {"output": config.output if config.top_n else None, "predictions": config.predictions}
    for flag, directory in wanted.items():
        if directory:
            check_replaceable(files, directory, HIDDEN_MANIFEST, flag)
    prepared = read_prepared(files, config.data)
    artifact_file = local_artifact(files, config.run_dir)
    artifact = load_artifact(artifact_file)
    if artifact.manifest_digest != prepared.digest:
        raise InputError(
            f"the model in {config.run_dir} was trained on other data (digest {artifact.manifest_digest[:12]}) than "
            f"{config.data} holds ({prepared.digest[:12]}): score with the data it was trained on, or train again"
        )
    tested = prepared.ratings.rows("test")
    if config.predictions and not tested:
        raise InputError(
            f"{config.data} has no test ratings to write --predictions of: prepare with split.test above 0"
        )
    spark.sparkContext.addFile(str(artifact_file))
    name, users = artifact_file.name, prepared.users.rows
    predictions = write_predictions(spark, config, name, users, tested, prepared.digest) if config.predictions else None
    lists = write_recommendations(spark, config, artifact, name, prepared.digest) if config.top_n else None
    return lists, predictions


def write_recommendations(
    spark: SparkSession, config: ScoreConfig, artifact: Artifact, model_file: str, digest: str
) -> RecommendationManifest:
    """Score every anime for every user, write the lists and commit them.

    Args:
        spark: the session.
        config: of the job; `output` names the directory.
        artifact: the trained model.
        model_file: name under which Spark has sent the artifact to the executors.
        digest: of the prepared directory.

    """
    files = Files(spark)
    users = users_to_score(spark.read.parquet(f"{config.data}/users"), config.sample_users)
    seen = seen_items(spark, config.data, config.exclude)
    rough = approximate(config, artifact, users, seen)
    sent = spark.sparkContext.broadcast(rough[0].to_bytes()) if rough else None
    placed, partitions = placed_by_user(users.join(seen, on="user", how="left"), config.users_per_file)
    log.info("scoring %s anime for each user, in %d tasks", f"{len(artifact.anime_id):,}", partitions)
    scored = placed.select("user", "user_id", "train_ratings", "seen").mapInArrow(
        make_scorer(model_file, config.top_n, config.cold_users, sent, config.candidates_each), spark_schema()
    )
    titles = spark.read.parquet(f"{config.data}/items").select("item", "title")
    result = scored.join(F.broadcast(titles), on="item", how="left").select(*COLUMNS)
    with staged_directory(files, config.output, HIDDEN_MANIFEST) as staged:
        write_parquet(files, result, staged.path, ROW_GROUP_BYTES)
        written = spark.read.parquet(staged.path)
        counted = ("user_id", "anime_id")
        totals = written.agg(F.count("*").alias("rows"), *(F.count_distinct(c).alias(c) for c in counted)).first()
        assert totals is not None
        manifest = RecommendationManifest(
            config=config.model_dump(mode="json", exclude={"output"}),
            data_digest=digest,
            users=totals["user_id"],
            rows=totals["rows"],
            distinct_anime=totals["anime_id"],
            recall=rough[1] if rough else None,
            files=describe_files(spark, staged.path),
        )
        staged.commit(manifest.model_dump_json(indent=1))
    return manifest


def spark_schema() -> str:
    """SCORED in Spark's words."""
    kinds = {pa.int64(): "bigint", pa.int32(): "int", pa.float32(): "float"}
    return ", ".join(f"{field.name} {kinds[field.type]}" for field in SCORED)


def local_artifact(files: Files, run: str) -> Path:
    """The model's artifact as a file of this machine; fetched if the run is on another file system."""
    remote = f"{run}/{FILE}"
    if not files.exists(remote):
        raise InputError(f"{run} holds no {FILE}: train first with torchrun widedeep/train.py --run-dir {run}")
    return files.local(remote) or files.fetch(remote)


def show_summary(manifest: RecommendationManifest, output: str) -> None:
    """Print what was written of lists."""
    view = View(title=f"recommendations in {output}", title_justify="left", show_header=False)
    view.add_column("what")
    view.add_column("count", justify="right")
    view.add_row("users", f"{manifest.users:,}")
    view.add_row("rows", f"{manifest.rows:,}")
    view.add_row("distinct anime", f"{manifest.distinct_anime:,}")
    view.add_row("files", f"{len(manifest.files):,}")
    if manifest.recall is not None:
        name = f"recall@{manifest.config['top_n']}, of {manifest.recall.users:,} users"
        view.add_row(name, f"{manifest.recall.value:.4f}")
    stdout.print(view)


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(ScoreConfig, argv, "score")
    # Batches of a bounded size: a user's row carries all the items he has seen.
    spark = build_session("widedeep score_all", {"spark.sql.execution.arrow.maxRecordsPerBatch": "2048"})
    try:
        lists, predictions = score_all(spark, config)
    finally:
        spark.stop()
    if lists:
        show_summary(lists, config.output)
    if predictions:
        stdout.print(f"predictions of {predictions.rows:,} test ratings in {config.predictions}")
