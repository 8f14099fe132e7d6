"""Fit baselines on train, tune them on valid, and write their predictions and lists for test."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from widedeep.baselines.base import Baseline, BaselineContext
from widedeep.baselines.simple import Bias, with_popular_for_cold
from widedeep.baselines.tuning import Candidate, Evaluator, TuningResult, recommend, tune
from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.baselines import BaselinesConfig
from widedeep.data.feature_tables import Tables
from widedeep.data.rating_matrices import Splits, load_splits
from widedeep.schema.manifest import Manifest
from widedeep.spark.baseline_fits.outputs import ListLabels, SystemWriter, local_prepared
from widedeep.spark.baseline_fits.registry import configured, selected
from widedeep.spark.baseline_fits.results import (
    TUNING_FILE,
    BaselineResult,
    Seconds,
    finished_results,
    identity_of,
)
from widedeep.spark.filesystem import Files, read_prepared

# Splits whose items are left out of the lists.
EXCLUDED = ("train", "valid")


class Inputs(NamedTuple):
    """What all baselines of a run are given."""

    config: BaselinesConfig
    manifest: Manifest
    context: BaselineContext
    labels: ListLabels


def run_baselines(spark: SparkSession, config: BaselinesConfig) -> dict[str, BaselineResult]:
    """Run the baselines that are not finished yet; return the results of all that were asked for, by name."""
    files = Files(spark)
    manifest = read_prepared(files, config.data)
    results = finished_results(files, config, manifest)
    for name in results:
        log.info("%s is finished already; --resume never runs it again", name)
    missing = [baseline for baseline in selected(config) if baseline.name not in results]
    if missing:
        inputs = load_inputs(files, config, manifest)
        check_memory(missing, inputs.context.splits, config.memory_gb)
        for number, baseline in enumerate(missing, 1):
            log.info("%s (%d of %d)", baseline.name, number, len(missing))
            results[baseline.name] = run_baseline(spark, inputs, baseline)
    return {name: results[name] for name in config.only}


def load_inputs(files: Files, config: BaselinesConfig, manifest: Manifest) -> Inputs:
    """Read the ratings and the labels of users and items.

    Raises:
        InputError: there are no test ratings.

    """
    if not manifest.ratings.rows("test"):
        raise InputError(f"{config.data} has no test ratings to predict: prepare with split.test above 0")
    here = local_prepared(files, config.data, manifest)
    splits, tables = load_splits(here, manifest), Tables(here, manifest)
    evaluator = Evaluator(splits, config.tune_users, config.seed)
    strengths = configured(config, Bias).strengths
    context = BaselineContext(splits, evaluator, strengths, config.data, config.seed)
    users, items = tables.users, tables.items
    title = pa.array(items.strings("title"), pa.string())
    labels = ListLabels(users.values("user_id"), items.values("item_id"), title)
    return Inputs(config, manifest, context, labels)


def check_memory(baselines: Iterable[Baseline], splits: Splits, limit_gb: float) -> None:
    """Refuse baselines that need more memory than allowed, before hours are spent.

    Raises:
        InputError: saying how much is needed.

    """
    need_gb = {baseline.name: baseline.memory_bytes(splits) / 1e9 for baseline in baselines}
    too_large = [name for name, need in need_gb.items() if need > limit_gb]
    if too_large:
        raise InputError(
            f"memory_gb: {' and '.join(too_large)} need about {max(need_gb.values()):.1f} GB for "
            f"{len(splits.rated):,} rated items, {limit_gb:g} are allowed: raise --memory-gb where there is more, or "
            "name the other baselines with --only"
        )


def run_baseline(spark: SparkSession, inputs: Inputs, baseline: Baseline) -> BaselineResult:
    """Tune a baseline, write its predictions and lists, and last of all its result."""
    config, files, began = inputs.config, Files(spark), time.monotonic()
    writer = SystemWriter(spark, f"{config.output}/{baseline.name}", inputs.manifest, inputs.labels)
    writer.check_outputs()  # before the work, not after it
    files.delete(f"{writer.directory}/{TUNING_FILE}")
    tuned = tune(baseline.name, complete_candidates(baseline, inputs.context), inputs.context.evaluator)
    tuning = round(time.monotonic() - began, 1)
    write_outputs(writer, inputs, baseline.name, tuned)
    result = BaselineResult(
        baseline=baseline.name,
        identity=identity_of(config, inputs.manifest, baseline.name),
        ratings=tuned.trial_of(tuned.ratings),
        lists=tuned.trial_of(tuned.lists),
        trials=tuple(tuned.trials),
        seconds=Seconds(tuning=tuning, writing=round(time.monotonic() - began - tuning, 1)),
    )
    result.write(files, writer.directory)
    return result


def complete_candidates(baseline: Baseline, context: BaselineContext) -> Iterator[Candidate]:
    """Yield the baseline's candidates, their lists completed for users without training ratings."""
    for candidate in baseline.candidates(context):
        ranker = candidate.ranker and with_popular_for_cold(context.splits, candidate.ranker)
        yield candidate._replace(ranker=ranker)


def write_outputs(writer: SystemWriter, inputs: Inputs, name: str, tuned: TuningResult) -> None:
    """Write the best candidates' predictions of the test split and lists for its users."""
    splits, top_n = inputs.context.splits, inputs.config.top_n
    config = {"baseline": name, "exclude": EXCLUDED, "top_n": top_n}
    if tuned.ratings and tuned.ratings.predictor:
        settings = config | {"settings": tuned.ratings.settings}
        writer.write_predictions(splits.pairs("test"), tuned.ratings.predictor, settings)
    if tuned.lists and tuned.lists.ranker:
        seen = splits.matrix("train") + splits.matrix("valid")
        lists = recommend(tuned.lists.ranker, users_to_list(splits), seen, top_n)
        predictor = tuned.lists.predictor or inputs.context.bias_predictor
        writer.write_lists(lists, predictor, config | {"settings": tuned.lists.settings})


def users_to_list(splits: Splits) -> np.ndarray:
    """Return the indexes of the users with a liked test item, ascending."""
    user, _, rating = splits.pairs("test")
    return np.unique(user[rating >= splits.scale.liked]).astype(np.int64)
