"""Measure every system on the test split in the same way.

spark-submit jobs/evaluate.py --data data/prepared --systems data/systems
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich import box
from rich.table import Table as View

from widedeep.common.command import load_config
from widedeep.common.console import log, stdout
from widedeep.common.errors import InputError
from widedeep.config import EvaluateConfig
from widedeep.evaluation.gini import gini
from widedeep.evaluation.ranking_metrics import ACCURACY, CHARACTER, ItemFacts
from widedeep.evaluation.rating_metrics import rating_metrics
from widedeep.schema.evaluation import (
    EVALUATION_FILE,
    LIST_LENGTH,
    Comparison,
    ErrorMetrics,
    Evaluation,
    MeanOverUsers,
    RankingMetrics,
    RatingMetrics,
    parse_evaluation,
)
from widedeep.schema.manifest import HIDDEN_MANIFEST, LIKED
from widedeep.spark.evaluation import ranking_quality, rating_quality
from widedeep.spark.evaluation.compare import compare
from widedeep.spark.filesystem import Files, read_prepared, staged_directory
from widedeep.spark.partitioning import task_count
from widedeep.spark.session import build_session, together
from widedeep.spark.shards import write_parquet

KINDS = ("recommendations", "predictions")
COLUMNS = {
    "recommendations": ("user_id", "rank", "anime_id"),
    "predictions": ("user", "item", "rating", "predicted"),
}
MIN_USERS_PER_TASK, MAX_USERS_PER_TASK = 1 << 13, 1 << 17
DETAILS = "evaluation"  # figures of each user and each rating, below a system's directory


class System(NamedTuple):
    """What is to be evaluated: directories of one system, and where its figures go."""

    name: str
    output: str
    inputs: dict[str, str]  # of KINDS -> directory


class Result(NamedTuple):
    """What a run came to."""

    found: dict[str, Evaluation]  # name -> evaluation
    wrong: list[str]  # systems that could not be evaluated, and why
    comparison: Comparison | None


class Evaluate:
    """One run: its settings, its session and the frames of the prepared directory that all systems share."""

    def __init__(self, spark: SparkSession, config: EvaluateConfig):
        self.spark, self.config, self.files = spark, config, Files(spark)
        self.prepared = read_prepared(self.files, config.data)
        if not self.prepared.ratings.rows("test"):
            raise InputError(f"{config.data} has no test ratings to evaluate on: prepare with split.test above 0")
        ratings = spark.read.parquet(f"{config.data}/ratings")
        self.test = ratings.where("split = 'test'").select("user", "item", "rating")
        self.seen = ratings.where("split <> 'test'").select("user", "item", "split")
        self.users = spark.read.parquet(f"{config.data}/users").select("user", "user_id", "train_ratings")
        columns = ["item", "anime_id", "train_ratings", "genres"]
        self.items = spark.read.parquet(f"{config.data}/items").select(*columns)
        self.relevant = self.test.where(F.col("rating") >= LIKED).select("user", "item")

    def run(self) -> Result:
        """Evaluate what has changed, and compare. A system that cannot be evaluated does not keep others from it."""
        systems, against = self.systems(), self.config.against
        names = [system.name for system in systems]
        if against and against not in names:
            raise InputError(f"against: {self.config.systems} holds no system {against}: it holds {names}")
        found, wrong = {}, []
        for number, system in enumerate(systems, 1):
            try:
                found[system.name] = self._kept(system) or self._evaluate(system, f"{number} of {len(systems)}")
            except InputError as error:
                wrong.append(f"{system.name}: {error}")
        if not against or against not in found:
            return Result(found, wrong, None)
        details = {system.name: f"{system.output}/{DETAILS}" for system in systems}
        comparison = compare(self.spark, details, found, against)
        file = f"{self.config.systems.rstrip('/')}/against_{against}.json"
        self.files.write_text(file, comparison.model_dump_json(indent=1))
        return Result(found, wrong, comparison)

    def systems(self) -> list[System]:
        """The systems that the settings name, in the order of their names; InputError if there is none."""
        config = self.config
        if config.output:
            inputs = {"recommendations": config.recommendations, "predictions": config.predictions}
            output = config.output.rstrip("/")
            name = output.rpartition("/")[2]
            return [System(name, output, {kind: path for kind, path in inputs.items() if path})]
        found = []
        for name in self._names():
            directory = f"{config.systems.rstrip('/')}/{name}"
            inputs = {kind: f"{directory}/{kind}" for kind in KINDS if self.files.exists(f"{directory}/{kind}")}
            if inputs:
                found.append(System(name, directory, inputs))
        if not found:
            raise InputError(
                f"systems {config.systems} holds no directory with {' or '.join(KINDS)} in it: write some with "
                f"jobs/score_all.py --output {config.systems}/NAME/recommendations --exclude train,valid --top-n "
                f"{LIST_LENGTH} --predictions {config.systems}/NAME/predictions"
            )
        return found

    def _names(self) -> list[str]:
        if not self.files.exists(self.config.systems):
            return []
        names = [name for name, _, _ in self.files.entries(self.config.systems) if not name.startswith((".", "_"))]
        return [name for name in names if self.files.is_directory(f"{self.config.systems}/{name}")]

    def _stamps(self, system: System) -> dict[str, str]:
        """Kind -> sha256 of the manifest; InputError if an input is not whole or was made of other data."""
        stamps = {}
        for kind, path in system.inputs.items():
            note = f"{path}/{HIDDEN_MANIFEST}"
            text = self.files.read_text(note) if self.files.exists(note) else None
            if text is None:
                raise InputError(f"{path} holds no {HIDDEN_MANIFEST}: it was not written to the end; write it again")
            _check_note(note, text, self.prepared.digest, self.config.data)
            stamps[kind] = hashlib.sha256(text.encode()).hexdigest()
        return stamps

    def _kept(self, system: System) -> Evaluation | None:
        """The evaluation that is there already, if it is of the same inputs."""
        path = f"{system.output}/{EVALUATION_FILE}"
        if self.config.resume == "never" or not self.files.exists(path):
            return None
        try:
            there = parse_evaluation(self.files.read_text(path), path)
        except InputError:
            return None
        fresh = (self.prepared.digest, self._stamps(system), LIKED)
        if (there.data_digest, there.inputs, there.liked) != fresh:
            return None
        if not self.files.exists(f"{system.output}/{DETAILS}/{HIDDEN_MANIFEST}"):
            return None
        log.info("%s is evaluated already; --resume never evaluates it anew", system.name)
        return there

    def _evaluate(self, system: System, place: str) -> Evaluation:
        """Evaluate, write the details and commit them, write evaluation.json last."""
        stamps = self._stamps(system)
        log.info("evaluating %s (%s): %s", system.name, place, ", ".join(system.inputs))
        details = f"{system.output}/{DETAILS}"
        predictions, lists = (system.inputs.get(kind) for kind in ("predictions", "recommendations"))
        with staged_directory(self.files, details, HIDDEN_MANIFEST) as staged:
            rating = self._rating(predictions, f"{staged.path}/ratings") if predictions else None
            ranking = self._ranking(lists, f"{staged.path}/users") if lists else None
            staged.commit(json.dumps(stamps, indent=1))
        evaluation = Evaluation(
            system=system.name,
            seed=self.prepared.config.get("seed"),
            data_digest=self.prepared.digest,
            inputs=stamps,
            liked=LIKED,
            rating=rating,
            ranking=ranking,
        )
        # An evaluation.json of former inputs has other stamps: should this end here, the next run does it again.
        self.files.write_text(f"{system.output}/{EVALUATION_FILE}", evaluation.model_dump_json(indent=1))
        return evaluation

    @cached_property
    def catalogue(self) -> Broadcast[ItemFacts]:
        """What the figures of lists need to know of the anime, sent to the executors once."""
        train_users = self.users.where("train_ratings > 0").count()
        genres = len(self.prepared.items.vocabularies["genres"])
        return self.spark.sparkContext.broadcast(ranking_quality.read_item_facts(self.items, train_users, genres))

    def _tasks(self) -> int:
        """Tasks that the users' lists are worth: Spark would start Python for each of its 200 partitions."""
        return task_count(self.spark, self.prepared.users.rows, MIN_USERS_PER_TASK, MAX_USERS_PER_TASK)

    def _read(self, kind: str, path: str) -> DataFrame:
        """The Parquet files of an input; InputError if a column is missing."""
        frame = self.spark.read.parquet(path)
        missing = [name for name in COLUMNS[kind] if name not in frame.columns]
        if missing:
            raise InputError(f"{path} has no column {', '.join(missing)}: {kind} must have {list(COLUMNS[kind])}")
        return frame.select(*COLUMNS[kind])

    def _rating(self, path: str, target: str) -> RatingMetrics:
        """Figures of predicted ratings; squared errors go to `target`."""
        predictions, tested = self._read("predictions", path), self.prepared.ratings.rows("test")
        matches = rating_quality.matched(self.test, predictions).persist()
        try:
            found = {row["problem"]: row for row in rating_quality.problems(matches).collect()}
            rows = sum(row["rows"] for row in found.values())
            for problem, row in sorted((p, row) for p, row in found.items() if p is not None):
                raise InputError(
                    f"{path}: the prediction of user position {row['user']}, item position {row['item']} {problem} "
                    f"({row['rows']:,} of {tested:,} do so): write the predictions again, of {self.config.data}"
                )
            if rows != tested or predictions.count() != tested:
                raise InputError(
                    f"{path} has {predictions.count():,} rows, the test split of {self.config.data} has {tested:,}: "
                    "each test rating must be predicted once, and nothing else"
                )
            write_parquet(self.files, rating_quality.rating_errors(matches, self.prepared.ratings.lowest), target)
        finally:
            matches.unpersist()
        cells = rating_quality.error_cells(self.spark.read.parquet(target), self.users, self.items)
        return rating_metrics([row.asDict() for row in cells.collect()])

    def _ranking(self, path: str, target: str) -> RankingMetrics:
        """Figures of lists; those of each user go to `target`."""
        placed = ranking_quality.placed_lists(self._read("recommendations", path), self.users, self.items).persist()
        try:
            self._check_lists(path, placed)
            lists = ranking_quality.of_users(placed, self.relevant).coalesce(self._tasks()).persist()
            figures = lists.mapInArrow(ranking_quality.make_figures(self.catalogue), ranking_quality.FIGURES)
            write_parquet(self.files, figures, target)
            shown = {row["times"]: row["items"] for row in ranking_quality.exposures(lists).collect()}
            lists.unpersist()
        finally:
            placed.unpersist()
        row = ranking_quality.means(self.spark.read.parquet(target)).first()
        assert row is not None
        if not row["users"]:
            raise InputError(
                f"{self.config.data} has no test rating of {LIKED:g} or more: lists cannot be judged by it"
            )
        if row["users_with_list"] < row["users"]:
            log.warning(
                "%s: %s of the %s users with a test rating of %g or more have no list; they count as ones who were "
                "shown nothing relevant",
                *(path, f"{row['users'] - row['users_with_list']:,}", f"{row['users']:,}", LIKED),
            )
        if row["longest_list"] < LIST_LENGTH:
            log.warning(
                "%s: no list is longer than %d; recall@20 counts what is not there as missed: write %d for each user",
                *(path, row["longest_list"], LIST_LENGTH),
            )
        means = {name: _mean(row, name) for name in (*ACCURACY, *CHARACTER)}
        distinct, items = sum(shown.values()), self.prepared.items.rows
        return RankingMetrics(
            users=row["users"],
            users_with_list=row["users_with_list"],
            longest_list=row["longest_list"],
            coverage_at_10=distinct / items,
            gini_at_10=gini({**shown, 0: items - distinct}),
            **means,
        )

    def _check_lists(self, path: str, placed: DataFrame) -> None:
        """InputError if lists name what the data does not know, are out of order, or hold rated anime."""
        row = placed.where("user IS NULL OR item IS NULL").orderBy("user_id", "anime_id").first()
        if row:
            what = f"user_id {row['user_id']}" if row["user"] is None else f"anime_id {row['anime_id']}"
            raise InputError(
                f"{path}: {what} is not in {self.config.data}: recommend from the data that is evaluated on"
            )
        broken, rated = together(
            lambda: ranking_quality.broken_lists(placed).orderBy("user_id").first(),
            lambda: ranking_quality.already_rated(placed, self.seen).orderBy("user_id", "anime_id").first(),
        )
        if broken:
            raise InputError(
                f"{path}: the list of user_id {broken['user_id']} holds an anime twice or has other ranks than "
                "1, 2, 3, …: write the lists again"
            )
        if rated:
            raise InputError(
                f"{path}: anime_id {rated['anime_id']} is recommended to user_id {rated['user_id']}, who rated it in "
                f"the {rated['split']} split: leave rated anime out (score_all.py --exclude train,valid)"
            )


def _check_note(file: str, text: str, digest: str, data: str) -> None:
    """InputError if a manifest tells of other data, or of lists that leave out what they are judged by."""
    try:
        note = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{file} is not JSON ({error}): write the directory again") from None
    made_of = note.get("data_digest", digest)
    if made_of != digest:
        raise InputError(
            f"{file}: data_digest {made_of[:12]} is not that of {data} ({digest[:12]}): "
            "evaluate with the data it was made of"
        )
    if "test" in note.get("config", {}).get("exclude", ()):
        raise InputError(
            f"{file}: config.exclude names test, so the lists leave out what they would be judged by: "
            "score again with --exclude train,valid"
        )


def _mean(row, name: str) -> MeanOverUsers:
    users, sd = row[f"{name}_users"], row[f"{name}_sd"]
    return MeanOverUsers(
        mean=row[f"{name}_mean"], standard_error=sd / users**0.5 if sd is not None else None, users=users
    )


def show_summary(found: dict[str, Evaluation]) -> None:
    """Print systems as rows and the main figures as columns."""
    rated = {name: e.rating for name, e in found.items() if e.rating}
    ranked = {name: e.ranking for name, e in found.items() if e.ranking}
    if rated:
        view = _view("predicted ratings of the test split, 1-10 scale", ("RMSE", "MAE", "R2", "off by"))
        for name, f in sorted(rated.items(), key=lambda pair: _or_inf(pair[1].overall)):
            view.add_row(name, *map(_text, (f.overall.rmse, f.overall.mae, f.overall.r2, f.calibration_error)))
        stdout.print(view)
    if ranked:
        names = ("NDCG@10", "±", "Recall@20", "MAP@10", "MRR@10", "hits@10")
        view = _view("lists, judged by test ratings of 8 or more (±: standard error)", names)
        order = sorted(ranked.items(), key=lambda pair: -(pair[1].ndcg_at_10.mean or 0.0))
        for name, f in order:
            rest = (f.recall_at_20, f.map_at_10, f.mrr_at_10, f.hit_rate_at_10)
            values = (f.ndcg_at_10.mean, f.ndcg_at_10.standard_error, *(figure.mean for figure in rest))
            view.add_row(name, *map(_text, values))
        stdout.print(view)
        view = _view("what the lists show", ("coverage", "Gini", "novelty, bits", "diversity"))
        for name, f in order:
            view.add_row(
                name, *map(_text, (f.coverage_at_10, f.gini_at_10, f.novelty_at_10.mean, f.diversity_at_10.mean))
            )
        stdout.print(view)


def show_comparison(result: Comparison) -> None:
    """Print the differences with their intervals."""
    view = _view(
        f"compared with {result.against}, 95 % intervals over users", ("figure", "difference", "from", "to", "p")
    )
    for name, compared in result.systems.items():
        for figure, found in (("NDCG@10", compared.ndcg_at_10), ("RMSE", compared.rmse)):
            if found:
                p = "" if found.p_value is None else "<1e-99" if found.p_value < 1e-99 else f"{found.p_value:.2g}"
                view.add_row(name, figure, *(_text(v, sign=True) for v in (found.difference, found.low, found.high)), p)
    stdout.print(view)


def _view(title: str, columns: Sequence[str]) -> View:
    view = View(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    view.add_column("system", overflow="fold")
    for name in columns:
        view.add_column(name, justify="right", no_wrap=True)
    return view


def _text(value: float | None, sign: bool = False) -> str:
    return "" if value is None else f"{value:{'+' if sign else ''}.4f}"


def _or_inf(errors: ErrorMetrics) -> float:
    return errors.rmse if errors.rmse is not None else float("inf")


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(EvaluateConfig, argv, "evaluate")
    # Spark warns of long plans that it shortens for its log.
    spark = build_session("widedeep evaluate", {"spark.sql.debug.maxToStringFields": "1000"})
    try:
        result = Evaluate(spark, config).run()
    finally:
        spark.stop()
    show_summary(result.found)
    if result.comparison:
        show_comparison(result.comparison)
    if result.wrong:
        raise InputError("\n".join([f"{len(result.wrong)} system(s) could not be evaluated:", *result.wrong]))
