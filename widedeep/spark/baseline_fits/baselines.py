"""Known methods fitted on train, tuned on valid and written as systems to compare a model with.

spark-submit jobs/baselines.py --data data/prepared --output data/systems
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import SparkSession
from rich.table import Table as View

from widedeep.baselines.ease import ease_lists
from widedeep.baselines.factors import product_predictor, product_ranker
from widedeep.baselines.item_knn import item_lists, item_ratings
from widedeep.baselines.simple import bias_fits, bias_predictor, bias_ranker, global_mean, popular_for_cold, popularity
from widedeep.baselines.tuning import Judge, Offer, Predictor, Tuned, ranked, tune
from widedeep.baselines.user_knn import user_lists, user_ratings
from widedeep.common.command import load_config
from widedeep.common.console import log, stdout
from widedeep.common.errors import InputError
from widedeep.config.baselines import BaselineName, BaselinesConfig
from widedeep.data.feature_tables import Tables
from widedeep.data.rating_matrices import Splits, load_splits
from widedeep.evaluation.reference_models import Biases
from widedeep.schema.manifest import HIDDEN_MANIFEST, LIKED, Manifest
from widedeep.spark.baseline_fits.als import explicit_factors, implicit_factors, less_biases, less_mean, train_ratings
from widedeep.spark.baseline_fits.systems import Names, prepared_here, write_lists, write_predictions
from widedeep.spark.filesystem import Files, check_replaceable, read_prepared
from widedeep.spark.session import build_session

TUNING = "tuning.json"
EXCLUDED = ("train", "valid")
# Bytes that `ease` and `item_knn` hold at their peak for each pair of rated anime.
PAIR_BYTES = 28


class Work:
    """What all baselines share: the ratings, the measure, the tuned biases."""

    def __init__(self, spark: SparkSession, config: BaselinesConfig, manifest: Manifest, here: Path):
        self.spark, self.config, self.manifest = spark, config, manifest
        self.splits: Splits = load_splits(here, manifest)
        self.judge = Judge(self.splits, config.tune_users, config.seed)
        tables = Tables(here, manifest)
        self.names = Names(
            tables.users.values("user_id"), tables.items.values("anime_id"), tables.items.strings("title")
        )

    @cached_property
    def bias_fits(self) -> list[tuple[dict[str, float], Biases]]:
        """Biases of all strengths."""
        grid = self.config.bias
        return bias_fits(self.splits, [(user, item) for user in grid.user_priors for item in grid.item_priors])

    @cached_property
    def biases(self) -> Biases:
        """Those with the lowest valid RMSE."""
        tuned = tune("biases", (Offer(s, bias_predictor(fit)) for s, fit in self.bias_fits), self.judge)
        return next(fit for settings, fit in self.bias_fits if tuned.ratings and settings == tuned.ratings.settings)

    @property
    def base(self) -> Predictor:
        """Ratings predicted by `biases`."""
        return bias_predictor(self.biases)

    @property
    def test_users(self) -> np.ndarray:
        """Positions of the users with a liked test item, ascending."""
        user, _, rating = self.splits.pairs("test")
        return np.unique(user[rating >= LIKED]).astype(np.int64)


# --- what each baseline offers -------------------------------------------------------------------


def offer_global_mean(work: Work) -> Iterator[Offer]:
    """Ratings by the mean of the training ratings."""
    yield Offer({}, global_mean(work.splits))


def offer_bias(work: Work) -> Iterator[Offer]:
    """Ratings by user and item bias, and lists by them."""
    for settings, fit in work.bias_fits:
        yield Offer(settings, bias_predictor(fit), bias_ranker(fit))


def offer_popularity(work: Work) -> Iterator[Offer]:
    """Lists of what is rated most, or most often well."""
    for least in work.config.popularity.least_ratings:
        yield Offer({"least_rating": least}, ranker=popularity(work.splits, least))


def offer_user_knn(work: Work) -> Iterator[Offer]:
    """Ratings and lists by similar users."""
    yield from user_lists(work.splits, work.config.user_knn)
    yield from user_ratings(work.splits, work.base, work.config.user_knn)


def offer_item_knn(work: Work) -> Iterator[Offer]:
    """Ratings and lists by similar anime."""
    yield from item_lists(work.splits, work.config.item_knn)
    yield from item_ratings(work.splits, work.base, work.config.item_knn)


def offer_als(work: Work) -> Iterator[Offer]:
    """Ratings by the mean plus factors, and lists by them."""
    ratings = less_mean(train_ratings(work.spark, work.config.data), work.splits.mean)
    for settings, factors in explicit_factors(ratings, work.splits, work.config.als, work.config.seed):
        yield Offer(settings, product_predictor(factors, global_mean(work.splits)), product_ranker(factors))


def offer_mf(work: Work) -> Iterator[Offer]:
    """Ratings by biases plus factors of what these leave, and lists by them."""
    ratings = less_biases(train_ratings(work.spark, work.config.data), work.biases)
    for settings, factors in explicit_factors(ratings, work.splits, work.config.mf, work.config.seed):
        ranker = product_ranker(factors, work.biases.item.numpy())
        yield Offer(settings, product_predictor(factors, work.base), ranker)


def offer_implicit_als(work: Work) -> Iterator[Offer]:
    """Lists by factors of who rated what."""
    ratings = train_ratings(work.spark, work.config.data)
    for settings, factors in implicit_factors(ratings, work.splits, work.config.implicit_als, work.config.seed):
        yield Offer(settings, ranker=product_ranker(factors))


def offer_ease(work: Work) -> Iterator[Offer]:
    """Lists by a linear autoencoder."""
    yield from ease_lists(work.splits, work.config.ease)


OFFERS: dict[BaselineName, Callable[[Work], Iterator[Offer]]] = {
    "global_mean": offer_global_mean,
    "bias": offer_bias,
    "popularity": offer_popularity,
    "user_knn": offer_user_knn,
    "item_knn": offer_item_knn,
    "als": offer_als,
    "mf": offer_mf,
    "implicit_als": offer_implicit_als,
    "ease": offer_ease,
}
# Those that hold matrices of all pairs of rated anime.
DENSE: tuple[BaselineName, ...] = ("item_knn", "ease")


# --- the job -------------------------------------------------------------------------------------


def run_baselines(spark: SparkSession, config: BaselinesConfig) -> dict[BaselineName, dict[str, Any]]:
    """Run the baselines that are not finished yet.

    Returns:
        name -> content of its tuning.json, for all that were asked for.

    """
    files = Files(spark)
    manifest = read_prepared(files, config.data)
    notes = {name: finished(files, config, manifest, name) for name in config.only}
    missing: list[BaselineName] = [name for name in config.only if notes[name] is None]
    for name in config.only:
        if notes[name]:
            log.info("%s is finished already; --resume never runs it again", name)
    if missing:
        if not manifest.ratings.rows("test"):
            raise InputError(f"{config.data} has no test ratings to predict: prepare with split.test above 0")
        work = Work(spark, config, manifest, prepared_here(files, config.data, manifest))
        check_memory(missing, len(work.splits.rated), config.memory_gb)
        for number, name in enumerate(missing, 1):
            log.info("%s (%d of %d)", name, number, len(missing))
            notes[name] = run_one(work, files, name)
    return {name: note for name in config.only if (note := notes[name]) is not None}


def identity(config: BaselinesConfig, manifest: Manifest, name: BaselineName) -> dict[str, Any]:
    """What the result of a baseline depends on. All lists show ratings predicted by the tuned biases, or by more."""
    settings = config.model_dump(mode="json", include={"top_n", "seed", "tune_users", "bias", name})
    return {"data_digest": manifest.digest, **settings}


def finished(files: Files, config: BaselinesConfig, manifest: Manifest, name: BaselineName) -> dict[str, Any] | None:
    """The note of a baseline that was run to its end before, None if it has to be run.

    Raises:
        InputError: it was run with other settings or on other data.

    """
    path = f"{config.output}/{name}/{TUNING}"
    if config.resume == "never" or not files.exists(path):
        return None
    note = json.loads(files.read_text(path))
    wanted, found = identity(config, manifest, name), note.get("identity", {})
    different = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if different:
        raise InputError(
            f"{config.output}/{name} holds a baseline that differs in {', '.join(different)}: "
            "choose another --output, or run it again with --resume never"
        )
    return note


def check_memory(names: Sequence[BaselineName], rated: int, limit_gb: float) -> None:
    """Refuse more anime than memory is allowed for, before hours are spent.

    Raises:
        InputError: saying how much is needed.

    """
    dense = [name for name in names if name in DENSE]
    need = PAIR_BYTES * rated**2 / 1e9
    if dense and need > limit_gb:
        raise InputError(
            f"memory_gb: {' and '.join(dense)} need about {need:.1f} GB for {rated:,} rated anime, {limit_gb:g} are "
            "allowed: raise --memory-gb where there is more, or name the other baselines with --only"
        )


def run_one(work: Work, files: Files, name: BaselineName) -> dict[str, Any]:
    """Tune a baseline, write its predictions and lists, and last of all its note."""
    began, directory = time.monotonic(), f"{work.config.output}/{name}"
    for kind in ("predictions", "recommendations"):  # before the work, not after it
        check_replaceable(files, f"{directory}/{kind}", HIDDEN_MANIFEST)
    files.delete(f"{directory}/{TUNING}")
    tuned = tune(name, with_cold(work, OFFERS[name](work)), work.judge)
    seconds = {"tuning": round(time.monotonic() - began, 1)}
    note = {
        "baseline": name,
        "identity": identity(work.config, work.manifest, name),
        "ratings": chosen(tuned, tuned.ratings),
        "lists": chosen(tuned, tuned.lists),
        "trials": [trial._asdict() for trial in tuned.trials],
        "seconds": seconds,
    }
    write_outputs(work, tuned, directory, {"baseline": name, "exclude": EXCLUDED, "top_n": work.config.top_n})
    seconds["writing"] = round(time.monotonic() - began - seconds["tuning"], 1)
    files.write_text(f"{directory}/{TUNING}", json.dumps(note, indent=1) + "\n")
    return note


def with_cold(work: Work, offers: Iterator[Offer]) -> Iterator[Offer]:
    """The offers, their lists completed for users without training ratings."""
    for offer in offers:
        yield offer._replace(ranker=popular_for_cold(work.splits, offer.ranker)) if offer.ranker else offer


def chosen(tuned: Tuned, offer: Offer | None) -> dict[str, Any] | None:
    """Settings of the best offer and its figures on valid."""
    if offer is None:
        return None
    return next(trial._asdict() for trial in tuned.trials if trial.settings == offer.settings)


def write_outputs(work: Work, tuned: Tuned, directory: str, config: dict[str, Any]) -> None:
    """Write what the best offers say of the test split."""
    splits, digest = work.splits, work.manifest.digest
    if tuned.ratings and tuned.ratings.predictor:
        settings = config | {"settings": tuned.ratings.settings}
        path = f"{directory}/predictions"
        write_predictions(work.spark, path, splits.pairs("test"), tuned.ratings.predictor, settings, digest)
    if tuned.lists and tuned.lists.ranker:
        seen = splits.matrix("train") + splits.matrix("valid")
        lists = ranked(tuned.lists.ranker, work.test_users, seen, work.config.top_n)
        settings = config | {"settings": tuned.lists.settings}
        path, predictor = f"{directory}/recommendations", tuned.lists.predictor or work.base
        write_lists(work.spark, path, lists, predictor, work.names, splits.lowest, settings, digest)


def show_summary(notes: dict[BaselineName, dict[str, Any]], output: str) -> None:
    """Print the figures on valid, by which settings were chosen."""
    view = View(title=f"systems in {output}, figures on valid", title_justify="left")
    for name in ("system", "RMSE", "NDCG@10", "Recall@20", "tuning s", "writing s"):
        view.add_column(name, justify="left" if name == "system" else "right")
    for name, note in notes.items():
        ratings, lists = ((note[part] or {}).get("figures", {}) for part in ("ratings", "lists"))
        cells = [(ratings, "rmse"), (lists, "ndcg_at_10"), (lists, "recall_at_20")]
        seconds = note["seconds"]
        view.add_row(
            name,
            *(f"{figures[key]:.4f}" if key in figures else "" for figures, key in cells),
            f"{seconds['tuning']:,.0f}",
            f"{seconds['writing']:,.0f}",
        )
    stdout.print(view)


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(BaselinesConfig, argv, "baselines")
    spark = build_session("widedeep baselines")
    try:
        notes = run_baselines(spark, config)
    finally:
        spark.stop()
    show_summary(notes, config.output)
