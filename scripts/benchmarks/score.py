"""Compare the scoring of jobs/score_all.py inside Spark with matrix products and with MLlib's ALS on the same users."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from pyspark import Broadcast
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from benchmarks.measure import Round, alternately, gemm_rate_of_cores
from benchmarks.workspace import Workspace
from widedeep.config.score import ScoreConfig
from widedeep.models.artifact import MODEL_FILE, load_artifact
from widedeep.models.tiled_mlp import TILE_PAIRS
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.schema.manifest import SPLITS
from widedeep.schema.recommendations import list_schema
from widedeep.spark.prepared_data import PreparedData
from widedeep.spark.scoring.approximation import fit_approximation
from widedeep.spark.scoring.recommendations import (
    make_scorer,
    place_users,
    plan_files,
    plan_lists,
    seen_items,
)
from widedeep.spark.scoring.sent_model import send_model
from widedeep.spark.session import build_session

USERS = 16_000
TWO_STAGE_TIMES = 3  # the two-stage method gets more users, so that Spark's fixed costs do not hide its speed
DEFAULT_USERS = 10_000  # of the default model, which takes longer for each
TOP_N = 10


class Lists:
    """Makes lists for the users of prepared data, and keeps none."""

    def __init__(self, spark: SparkSession, workspace: Workspace):
        self.spark, self.data = spark, PreparedData(spark, str(workspace.prepared))
        self.config = ScoreConfig(
            data=str(workspace.prepared), run_dir=str(workspace.run), top_n=TOP_N, method="two_stage"
        )
        self.everybody = (
            self.data.users.where("train_ratings > 0")
            .select("user", "user_id", "train_ratings")
            .orderBy(F.xxhash64("user_id"))
        )
        self.seen = seen_items(self.data, SPLITS)
        self._plan = spark.sparkContext.broadcast(plan_lists(self.config, self.data))
        self._schema = from_arrow_schema(list_schema(self.data.manifest.dataset.ids))

    def users(self, count: int) -> DataFrame:
        """Return some users, who stay in memory once they are counted."""
        return self.everybody.limit(count).join(self.seen, on="user", how="left").cache()

    def send(self, run: Path) -> str:
        """Send the model of a run to the workers, and return its name there."""
        config = self.config.model_copy(update={"run_dir": str(run)})
        return send_model(self.spark, config, self.data.manifest).file

    def score(self, users: DataFrame, model: str, approximation: Broadcast[bytes] | None = None) -> None:
        """Make the lists of users by a model that was sent."""
        placed = place_users(users, plan_files(users, self.config.users_per_file))
        scorer = make_scorer(model, self.config.candidates_each, approximation, self._plan)
        _consume(placed.select("user", "user_id", "train_ratings", "seen").mapInArrow(scorer, self._schema))


def _consume(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


def bench(workspace: Workspace, repeats: int) -> list[Round]:
    """Time the top-N lists of the full model, of the two-stage method, of ALS and of the default model, in turn."""
    artifact, default = load_artifact(workspace.run / MODEL_FILE), workspace.default_run
    spark = build_session("widedeep bench", {"spark.sql.execution.arrow.maxRecordsPerBatch": "2048"})
    try:
        lists = Lists(spark, workspace)
        exact_users, rough_users, default_users = map(lists.users, (USERS, TWO_STAGE_TIMES * USERS, DEFAULT_USERS))
        counts = [users.count() for users in (exact_users, rough_users, default_users)]
        fitted = fit_approximation(lists.config, artifact, lists.everybody, lists.seen)
        assert fitted is not None
        rough = spark.sparkContext.broadcast(fitted.approximation.to_bytes())
        als = fit_als(spark, lists.config.data, exact_users)
        als_items, als_users = als.itemFactors.count(), exact_users.select("user").cache()
        plain, flagship = lists.send(workspace.run), lists.send(default)
        times = alternately(
            repeats,
            lambda: lists.score(exact_users, plain),
            lambda: lists.score(rough_users, plain, rough),
            lambda: _consume(als.recommendForUserSubset(als_users, TOP_N)),
            lambda: lists.score(default_users, flagship),
        )
    finally:
        spark.stop()
    limit, items = gemm_pairs_per_second(), len(artifact.item_id)
    sizes = {"users": counts[0], "items": items, "als_items": als_items, "two_stage_recall": fitted.recall.value}
    return [
        compare(counts[0] * items / exact, counts[1] * items / two_stage, counts[0] * als_items / of_als, limit)
        | {"default_users_per_second": counts[2] / of_default}
        | sizes
        for exact, two_stage, of_als, of_default in times
    ]


def gemm_pairs_per_second() -> float:
    """Return how many pairs a second the products of the plain wide & deep alone would take."""
    model = WideDeepConfig()
    widths = (*model.hidden, 1)
    flops = 2 * sum(
        inner * outer for inner, outer in pairwise(widths)
    )  # for a pair; the first layer is split into a user and an item part
    return gemm_rate_of_cores(TILE_PAIRS, model.hidden[0], model.hidden[1]) / flops


def compare(exact: float, two_stage: float, als: float, limit: float) -> Round:
    """Return rates in pairs a second, and their ratios."""
    return {
        "pairs_per_second": exact,
        "vs_gemm": exact / limit,
        "vs_als": exact / als,
        "two_stage_speedup": two_stage / exact,
        "two_stage_pairs_per_second": two_stage,
        "als_pairs_per_second": als,
        "gemm_pairs_per_second": limit,
    }


def fit_als(spark: SparkSession, data: str, users: DataFrame) -> Any:
    """Fit rank-32 factors of all anime and of these users in one iteration: quality does not affect speed."""
    ratings = spark.read.parquet(f"{data}/ratings/split=train").join(users.select("user"), on="user", how="left_semi")
    return ALS(rank=32, maxIter=1, userCol="user", itemCol="item", ratingCol="rating", seed=0).fit(ratings)
