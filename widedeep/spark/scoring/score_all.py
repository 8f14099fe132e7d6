"""Score every item for every user and write each user's top-N as Parquet.

spark-submit jobs/score_all.py --data data/prepared --run-dir runs/best --output data/recommendations --top-n 10

With --predictions DIR it also writes the predicted rating of every rating of the test split.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import SparkSession

from widedeep.common.command import load_config
from widedeep.common.console import log_counts, print_table, say
from widedeep.config.score import ScoreConfig
from widedeep.schema.predictions import PredictionManifest
from widedeep.schema.recommendations import RecommendationManifest
from widedeep.spark.filesystem import Files
from widedeep.spark.prepared_data import PreparedData
from widedeep.spark.scoring.predictions import predictions_output, write_predictions
from widedeep.spark.scoring.recommendations import recommendations_output, write_recommendations
from widedeep.spark.scoring.sent_model import load_model, send_model, warm_up_workers
from widedeep.spark.session import beside, build_session, shuffles_for
from widedeep.spark.staged_directory import check_output

BYTES_OF_ROW = 64  # of a list or a prediction, compressed; measured: 5 without reasons, 27 to 51 with them


class Scored(NamedTuple):
    """What `score_all` has written."""

    lists: RecommendationManifest | None
    predictions: PredictionManifest | None


def score_all(spark: SparkSession, config: ScoreConfig) -> Scored:
    """Score, write and commit the outputs that the config asks for: lists, predictions of the test split, or both."""
    files = Files(spark)
    if config.top_n:
        check_output(files, recommendations_output(config))
    if config.predictions:
        check_output(files, predictions_output(config))
    data = PreparedData(spark, config.data, config.verify)
    trained = send_model(spark, config, data.manifest)
    warm = beside(lambda: warm_up_workers(spark, trained.file))
    with shuffles_for(spark, data.manifest.ratings.bytes_in_memory), warm:
        predictions = write_predictions(config, trained, data) if config.predictions else None
        lists = write_recommendations(config, trained, data) if config.top_n else None
    return Scored(lists, predictions)


def plan(spark: SparkSession, config: ScoreConfig) -> None:
    """Check the model, the data, the outputs and the free space, and print what would be done."""
    files = Files(spark)
    outputs = [recommendations_output(config)] if config.top_n else []
    outputs += [predictions_output(config)] if config.predictions else []
    for output in outputs:
        check_output(files, output)
    data = PreparedData(spark, config.data, config.verify)
    artifact = load_model(spark, config, data.manifest)
    users = min(config.sample_users or data.manifest.users.rows, data.manifest.users.rows)
    predicted = data.manifest.ratings.rows("test") if config.predictions else 0
    needed = BYTES_OF_ROW * (users * config.top_n + predicted)
    files.require_space(config.output, needed)
    rows = [
        ("model", f"{artifact.config.name}, best epoch {artifact.best.epoch + 1}, sha256 {artifact.sha256[:12]}"),
        ("users", f"{users:,} of {data.manifest.users.rows:,}"),
        ("items scored for each", f"{len(artifact.item_id):,}"),
        ("rows of lists, at most", f"{users * config.top_n:,}"),
        ("predicted test ratings", f"{predicted:,}"),
        ("bytes, at most about", f"{needed:,}"),
    ]
    print_table("plan: all of this is there and fits together", ("what", "how much"), rows, text=("what",))


def counts_of(scored: Scored) -> dict[str, int]:
    """Return the numbers of rows written."""
    lists, predictions = scored.lists, scored.predictions
    counts = {"users": lists.users, "rows": lists.rows, "distinct_items": lists.distinct_items} if lists else {}
    return counts | ({"predictions": predictions.rows} if predictions else {})


def show_summary(scored: Scored, config: ScoreConfig) -> None:
    """Print the numbers of users, rows, items and files written."""
    if lists := scored.lists:
        counts = {"users": lists.users, "rows": lists.rows, "distinct items": lists.distinct_items}
        rows = [(name, f"{count:,}") for name, count in {**counts, "files": len(lists.files)}.items()]
        if lists.recall is not None:
            name = f"recall@{config.top_n}, of {lists.recall.users:,} users"
            rows.append((name, f"{lists.recall.value:.4f}"))
        print_table(f"recommendations in {config.output}", ("", ""), rows)
    if scored.predictions:
        say(f"predictions of {scored.predictions.rows:,} test ratings in {config.predictions}")


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(ScoreConfig, argv, "score")
    # Batches of a bounded size: a user's row carries all the items that they have seen.
    spark = build_session("widedeep score_all", {"spark.sql.execution.arrow.maxRecordsPerBatch": "2048"})
    try:
        if config.dry_run:
            plan(spark, config)
            return
        scored = score_all(spark, config)
    finally:
        spark.stop()
    log_counts("scored", counts_of(scored))
    show_summary(scored, config)
