"""A description of a data set and its files -> whether they fit, column by column.

spark-submit jobs/check_data.py --dataset mal2023 --input data/raw

It reads the first rows of each file by the functions of prepare. Without a description it proposes one, without Spark.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.command import load_config
from widedeep.common.console import log, say
from widedeep.common.errors import InputError
from widedeep.common.files import write_atomically
from widedeep.config.check_data import CheckDataConfig
from widedeep.data.dataset_descriptions import read_dataset
from widedeep.data.propose_dataset import propose_dataset
from widedeep.schema.dataset import Dataset, EntityFile, RatingsFile
from widedeep.spark.filesystem import Files
from widedeep.spark.preparation import ingest
from widedeep.spark.preparation.check_summary import DataReport, FileReport, Refused, show_report
from widedeep.spark.preparation.column_roles import RoleReport, entity_roles, rating_roles, scale_seen
from widedeep.spark.preparation.ingest import REASON, ROW
from widedeep.spark.preparation.quarantine import (
    CheckedFile,
    CheckedRatings,
    check_file,
    check_ratings,
    harmless_reasons,
    require_few_bad_rows,
)
from widedeep.spark.preparation.workspace import find_inputs
from widedeep.spark.session import build_session

# The samples are small.
SMALL_SHUFFLES = {"spark.sql.shuffle.partitions": "4"}


class Sample(NamedTuple):
    """A file of a data set: all of its rows, not read yet, and the first of them."""

    path: str
    described: RatingsFile | EntityFile
    all: DataFrame
    first: DataFrame


def check_data(spark: SparkSession, config: CheckDataConfig, name: str) -> DataReport:
    """Check the first rows of each file of a data set as prepare checks all of them.

    Args:
        spark: the session.
        config: where the files are, and how many rows are read.
        name: the description, a preset or a file.

    Raises:
        InputError: there is no such description, or a file is not there. What else prepare would refuse is in
            the report, under `problems`.

    """
    described = read_dataset(name)
    files = Files(spark)
    inputs = find_inputs(files, config.input, described)
    problems: list[str] = []
    samples = {}
    for kind, file in inputs.dataset.files.items():
        path = inputs.files[kind].path
        try:
            samples[kind] = read_sample(spark, files, path, file, config.rows)
        except InputError as error:  # all mistakes show at once
            problems.append(str(error))
    reports, seen = [], None
    if sample := samples.get("ratings"):
        typed = type_ratings(sample, samples.get("items"), inputs.dataset)
        reports.append(_report_ratings(sample, typed, inputs.dataset, config, problems))
        seen = scale_seen(typed, inputs.dataset.ratings)
    for kind in ("items", "users"):
        file = getattr(inputs.dataset, kind)
        if (sample := samples.get(kind)) and isinstance(file, EntityFile):
            reports.append(_report_entities(kind, sample, file, inputs.dataset, config, problems))
    missing = [file.path for kind, file in described.files.items() if kind not in inputs.files]
    return DataReport(inputs.dataset, config.rows, tuple(reports), seen, tuple(missing), tuple(problems))


def read_sample(spark: SparkSession, files: Files, path: str, described: RatingsFile | EntityFile, most: int) -> Sample:
    """The first rows of a file; InputError if a column that is read is missing."""
    rows = ingest.read_rows(spark, files, path, described, described.columns)
    # Taken to the driver, as `limit` would read the beginning of every part and mix them.
    return Sample(path, described, rows, spark.createDataFrame(rows.take(most), rows.schema))


def type_ratings(ratings: Sample, items: Sample | None, dataset: Dataset) -> DataFrame:
    """The ratings of a sample, typed. Their items are looked up among all items, not among a sample of them."""
    known = None
    if items and dataset.items:
        rows = ingest.entity_rows(items.all, dataset.items, (), dataset.ids)
        known = rows.where(F.col(REASON).isNull()).select(F.col(ingest.ID).alias("item_id"), F.lit(0).alias("item"))
    return ingest.typed_ratings(ratings.first, known, dataset, dataset.scale("drop")).localCheckpoint()


def _report_ratings(
    sample: Sample, typed: DataFrame, dataset: Dataset, config: CheckDataConfig, problems: list[str]
) -> FileReport:
    checked = check_file(sample.path, typed)

    def keep(_name: str, make: Callable[[], DataFrame]) -> DataFrame:
        return make().localCheckpoint()

    try:
        checked = check_ratings(sample.path, typed, dataset, dataset.scale("drop"), keep)
    except InputError as error:  # repeated pairs, which the description refuses
        problems.append(str(error))
    return _report(
        "ratings",
        sample,
        checked,
        rating_roles(sample.first, typed, dataset),
        config,
        problems,
        harmless_reasons(dataset),
    )


def _report_entities(
    kind: str, sample: Sample, file: EntityFile, dataset: Dataset, config: CheckDataConfig, problems: list[str]
) -> FileReport:
    rows = ingest.entity_rows(sample.first, file, file.columns, dataset.ids).localCheckpoint()
    return _report(kind, sample, check_file(sample.path, rows), entity_roles(rows, file, dataset.ids), config, problems)


def _report(
    kind: str,
    sample: Sample,
    checked: CheckedFile,
    roles: tuple[RoleReport, ...],
    config: CheckDataConfig,
    problems: list[str],
    harmless: Sequence[str] = (),
) -> FileReport:
    try:
        require_few_bad_rows(checked, config.max_bad_share, harmless)
    except InputError as error:
        problems.append(str(error))
    return FileReport(
        kind, sample.path, sample.described.format, checked.read, checked.read < config.rows, roles, _refused(checked)
    )


def _refused(checked: CheckedFile) -> tuple[Refused, ...]:
    """The reasons to refuse rows, each with an example."""
    rows = checked.refused.groupBy(REASON).agg(F.first(ROW).alias(ROW)).collect()
    examples = {row[REASON]: row[ROW] for row in rows}
    if isinstance(checked, CheckedRatings) and checked.copies is not None:
        copy = checked.copies.where("copy > 1").first()
        assert copy is not None
        examples["duplicate_pair"] = f"{copy['user_id']},{copy['item_id']},{copy['rating']:g}"
    return tuple(Refused(reason, count, examples[reason]) for reason, count in checked.bad.items())


def propose(config: CheckDataConfig) -> None:
    """Print a description of the files in a directory of this machine, or write it to a file."""
    proposal = propose_dataset(Path(config.input), config.rows)
    if config.write is None:
        say(proposal, end="")
        return
    write_atomically(config.write, proposal.encode("utf-8"))
    log.info("wrote %s: read it through, then check it with --dataset %s", config.write, config.write)


def conclude(report: DataReport) -> None:
    """Print a report; InputError if prepare would refuse the data set."""
    show_report(report)
    if report.problems:
        raise InputError("prepare would refuse this data set: " + "\n".join(report.problems))
    say("prepare would take these files")


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(CheckDataConfig, argv, "check_data")
    if config.dataset is None:
        propose(config)
        return
    spark = build_session("widedeep check-data", SMALL_SHUFFLES)
    try:
        report = check_data(spark, config, config.dataset)
    finally:
        spark.stop()
    conclude(report)
