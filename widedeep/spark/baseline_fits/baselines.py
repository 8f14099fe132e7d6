"""The command that fits known methods on train, tunes them on valid and writes them as systems to compare models with.

spark-submit jobs/baselines.py --data data/prepared --output data/systems
"""

from collections.abc import Mapping, Sequence

from widedeep.common.command import load_config
from widedeep.common.console import print_table
from widedeep.spark.baseline_fits.pipeline import run_baselines
from widedeep.spark.baseline_fits.registry import config_class
from widedeep.spark.baseline_fits.results import BaselineResult
from widedeep.spark.session import build_session


def show_summary(results: Mapping[str, BaselineResult], output: str) -> None:
    """Print the metrics on valid, by which settings were chosen."""
    rows = []
    for name, result in results.items():
        ratings, lists = (trial.metrics if trial else {} for trial in (result.ratings, result.lists))
        metrics = (ratings.get("rmse"), lists.get("ndcg_at_10"), lists.get("recall_at_20"))
        seconds = (result.seconds.tuning, result.seconds.writing)
        rows.append(
            [name, *("" if m is None else f"{m:.4f}" for m in metrics), *(f"{value:,.0f}" for value in seconds)]
        )
    columns = ("system", "RMSE", "NDCG@10", "Recall@20", "tuning s", "writing s")
    print_table(f"systems in {output}, metrics on valid", columns, rows)


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(config_class(), argv, "baselines")
    spark = build_session("widedeep baselines")
    try:
        results = run_baselines(spark, config)
    finally:
        spark.stop()
    show_summary(results, config.output)
