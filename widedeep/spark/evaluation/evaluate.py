"""Measure every system on the test split in the same way.

spark-submit jobs/evaluate.py --data data/prepared --systems data/systems
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pyspark.sql import SparkSession

from widedeep.common.command import load_config
from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.evaluate import EvaluateConfig
from widedeep.reporting.evaluation_summary import print_comparison, print_evaluations
from widedeep.schema.evaluation import EVALUATION_FILE, Comparison, Evaluation, parse_evaluation
from widedeep.schema.manifest import HIDDEN_MANIFEST
from widedeep.schema.records import seal
from widedeep.spark.evaluation.compare import compare_systems
from widedeep.spark.evaluation.evaluation_data import EvaluationData, read_evaluation_data
from widedeep.spark.evaluation.ranking import measure_ranking
from widedeep.spark.evaluation.ratings import measure_ratings
from widedeep.spark.evaluation.systems import System, find_systems, manifest_digests
from widedeep.spark.session import build_session, shuffles_for
from widedeep.spark.staged_directory import Output, staged_directory

DETAILS = "evaluation"  # directory of a system with the metrics of each user and the error of each rating


class EvaluationResult(NamedTuple):
    """What a run found."""

    evaluations: dict[str, Evaluation]  # name of the system -> evaluation
    failures: list[str]  # systems that could not be evaluated, and why
    comparison: Comparison | None


def evaluate_systems(spark: SparkSession, config: EvaluateConfig) -> EvaluationResult:
    """Evaluate the systems that have changed, and compare all; a system that fails does not stop the others."""
    data = read_evaluation_data(spark, config.data)
    systems = find_systems(data.files, config)
    names = [system.name for system in systems]
    if config.against and config.against not in names:
        raise InputError(f"against: {config.systems} holds no system {config.against}: it holds {names}")
    evaluations, failures = {}, []
    for number, system in enumerate(systems, 1):
        try:
            evaluation = None if config.resume == "never" else _read_current_evaluation(data, system)
            if evaluation is None:
                log.info("evaluating %s (%d of %d): %s", system.name, number, len(systems), ", ".join(system.outputs))
                with shuffles_for(spark, data.manifest.ratings.bytes_in_memory):
                    evaluation = _evaluate(data, system)
            evaluations[system.name] = evaluation
        except InputError as error:
            failures.append(f"{system.name}: {error}")
    comparison = _compare(data, config, systems, evaluations) if config.against in evaluations else None
    return EvaluationResult(evaluations, failures, comparison)


def _read_current_evaluation(data: EvaluationData, system: System) -> Evaluation | None:
    """The evaluation of the same outputs on the same data that an earlier run wrote, if there is one."""
    file = f"{system.directory}/{EVALUATION_FILE}"
    if not data.files.exists(file) or not data.files.exists(f"{system.directory}/{DETAILS}/{HIDDEN_MANIFEST}"):
        return None
    try:
        evaluation = parse_evaluation(data.files.read_text(file), file)
    except InputError:
        return None
    current = (data.manifest.digest, manifest_digests(data, system), data.manifest.ratings.scale.liked)
    if (evaluation.data_digest, evaluation.inputs, evaluation.liked) != current:
        return None
    log.info("%s is evaluated already; --resume never evaluates it again", system.name)
    return evaluation


def _evaluate(data: EvaluationData, system: System) -> Evaluation:
    """Evaluate a system, commit the details, then write evaluation.json."""
    digests = manifest_digests(data, system)
    predictions, lists = (system.outputs.get(kind) for kind in ("predictions", "recommendations"))
    output = Output(f"{system.directory}/{DETAILS}", DETAILS, overwrite=True, manifest_name=HIDDEN_MANIFEST)
    with staged_directory(data.files, output) as staged:
        # Ones that stand for "has had to do with" are no ratings to predict.
        predictions = None if data.manifest.ratings.scale.implicit else predictions
        rating = measure_ratings(data, predictions, f"{staged.path}/ratings") if predictions else None
        ranking = measure_ranking(data, lists, f"{staged.path}/users") if lists else None
        staged.commit(seal(DETAILS, 1, digests))
    evaluation = Evaluation(
        system=system.name,
        seed=data.manifest.config.get("seed"),
        data_digest=data.manifest.digest,
        inputs=digests,
        liked=data.manifest.ratings.scale.liked,
        rating=rating,
        ranking=ranking,
    )
    # An older evaluation.json has other digests: after a crash before this line, the next run evaluates again.
    data.files.write_text(f"{system.directory}/{EVALUATION_FILE}", evaluation.model_dump_json(indent=1))
    return evaluation


def _compare(
    data: EvaluationData, config: EvaluateConfig, systems: Sequence[System], evaluations: Mapping[str, Evaluation]
) -> Comparison:
    """Compare all systems with the one that the settings name, and write the comparison."""
    assert config.against is not None
    details = {system.name: f"{system.directory}/{DETAILS}" for system in systems}
    comparison = compare_systems(data.spark, details, evaluations, config.against)
    file = f"{config.systems.rstrip('/')}/against_{config.against}.json"
    data.files.write_text(file, comparison.model_dump_json(indent=1))
    return comparison


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    config = load_config(EvaluateConfig, argv, "evaluate")
    # Spark warns about long plans, which it shortens for its log.
    spark = build_session("widedeep evaluate", {"spark.sql.debug.maxToStringFields": "1000"})
    try:
        result = evaluate_systems(spark, config)
    finally:
        spark.stop()
    print_evaluations(result.evaluations)
    if result.comparison:
        print_comparison(result.comparison)
    if result.failures:
        raise InputError("\n".join([f"{len(result.failures)} system(s) could not be evaluated:", *result.failures]))
