"""Raw ratings -> one HTML page of what is in it.

spark-submit jobs/explore.py --input data/raw --prepared data/prepared --output explore.html
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.command import load_config
from widedeep.common.console import log, print_table, say
from widedeep.common.errors import InputError
from widedeep.config.explore import ExploreConfig
from widedeep.data.dataset_descriptions import read_dataset
from widedeep.reporting.findings import Agreement, Findings, Prepared
from widedeep.schema.dataset import Dataset, EntityFile
from widedeep.spark.exploration import aggregates
from widedeep.spark.filesystem import Files, read_prepared
from widedeep.spark.preparation import ingest
from widedeep.spark.preparation.fields import fields_of
from widedeep.spark.preparation.quarantine import (
    CheckedFile,
    CheckedRatings,
    Keep,
    check_file,
    check_ratings,
    require_good_rows,
)
from widedeep.spark.preparation.workspace import find_inputs
from widedeep.spark.rating_sums import rating_totals
from widedeep.spark.session import build_session, run_concurrently

# All shuffles are small except for the pairs of ratings, which ask for the partitions that they need.
SMALL_SHUFFLES = {"spark.sql.shuffle.partitions": "16"}


class CheckedFiles(NamedTuple):
    """The files of a data set, and the share of the rows without a value of each of their columns."""

    dataset: Dataset
    items: CheckedFile
    users: CheckedFile
    ratings: CheckedRatings
    parsed_items: DataFrame  # from `aggregates.parse_items`
    missing: dict[str, dict[str, float]]  # file -> column -> share


def explore(spark: SparkSession, config: ExploreConfig) -> Findings:
    """Read a data set as prepare does, and aggregate it."""
    files = Files(spark)
    prepared = read_preparation(spark, files, config.prepared) if config.prepared else None
    with kept_frames() as keep:
        checked = check_files(spark, files, config, keep)
        return aggregate(checked, config, prepared, keep)


@contextmanager
def kept_frames() -> Iterator[Keep]:
    """Give a function that keeps frames on disk, as they may be larger than memory, until the block ends."""
    kept = []

    def keep(_name: str, make: Callable[[], DataFrame]) -> DataFrame:
        kept.append(make().persist(StorageLevel.DISK_ONLY))
        return kept[-1]

    try:
        yield keep
    finally:
        for frame in kept:
            frame.unpersist()


def check_files(spark: SparkSession, files: Files, config: ExploreConfig, keep: Keep) -> CheckedFiles:
    """Read, type and count the files of a data set; InputError if there is no good rating."""
    inputs = find_inputs(files, config.input, read_dataset(config.dataset))
    dataset, names = inputs.dataset, _name_columns(inputs.dataset)
    log.info("reading the items and the users of %s", config.input)
    path = inputs.files["ratings"].path
    raw = ingest.read_rows(spark, files, path, dataset.ratings, dataset.ratings.columns)
    scale = dataset.ratings.scale

    def check_entities(kind: str, file: EntityFile | None, column: str) -> tuple[CheckedFile, dict[str, float]]:
        if file is None:
            ids = keep(kind, lambda: ingest.rows_of_ids(raw, dataset, scale, column))
            return CheckedFile(path, ids, 0, {}, 0), {}
        rows = ingest.read_rows(spark, files, inputs.files[kind].path, file, file.columns)
        checked = keep(kind, lambda: ingest.entity_rows(rows, file, file.columns, dataset.ids))
        return check_file(inputs.files[kind].path, checked), missing_shares(rows, names, file.missing)

    (items, items_missing), (users, users_missing) = run_concurrently(
        lambda: check_entities("items", dataset.items, "item_id"),
        lambda: check_entities("users", dataset.users, "user_id"),
    )
    parsed_items = keep("parsed items", lambda: aggregates.parse_items(items.good, fields_of(dataset.items)))
    log.info("reading the ratings")
    known = parsed_items.select("item_id", F.lit(0).alias("item"))
    # The text of the bad rows is kept, too: it needs all columns, and if Spark reads only some of them, it takes rows
    # with missing or extra columns for whole.
    typed = keep("ratings", lambda: ingest.typed_ratings(raw, known, dataset, scale).drop("item"))
    ratings = check_ratings(path, typed, dataset, scale, keep)
    require_good_rows(ratings)
    missing = {
        "ratings": missing_shares(raw, names, dataset.ratings.missing),
        "users": users_missing,
        "items": items_missing,
    }
    return CheckedFiles(dataset, items, users, ratings, parsed_items, missing)


def _name_columns(dataset: Dataset) -> set[str]:
    """The columns of titles and names, in any file."""
    files = [file for file in (dataset.items, dataset.users) if file is not None]
    names = {file.name.column for file in files if file.name is not None}
    return names | {column for file in files for column in file.text.values()}


def missing_shares(raw: DataFrame, names: Collection[str], marks: Sequence[str]) -> dict[str, float]:
    """Column -> share of the rows without a value, of the rows that could be split; see `aggregates.is_absent`."""
    counts = raw.agg(*aggregates.missing_counts(ingest.file_columns(raw), names, marks)).collect()[0].asDict()
    rows = max(counts.pop("rows"), 1)
    return {name: n / rows for name, n in counts.items()}


def aggregate(checked: CheckedFiles, config: ExploreConfig, prepared: Prepared | None, keep: Keep) -> Findings:
    """Aggregate the good rows of a data set by Spark and collect the small results."""
    dataset, ratings = checked.dataset, checked.ratings.unique.select("user_id", "item_id", "rating")
    scale = dataset.ratings.scale
    log.info("aggregating %s ratings", f"{checked.ratings.good_count:,}")
    levels = keep("levels", lambda: aggregates.rating_levels(ratings))
    totals = rating_totals(ratings, "user_id", scale)
    users = keep("users", lambda: aggregates.all_users(checked.users.good, fields_of(dataset.users), totals))
    _, user_count = run_concurrently(levels.count, users.count)  # kept before many ask for them at once
    rated = keep("rated", lambda: aggregates.with_totals(checked.parsed_items, aggregates.anime_totals(levels, scale)))
    studios = keep("studios", lambda: aggregates.by_category(rated, "studios", most="anime"))
    log.info("counting by genre, type, studio, year, gender and activity")
    frames = small_frames(checked.parsed_items, levels, rated, users)
    frames["studios"] = studios.limit(config.studios + 1)
    tables = run_concurrently(*(frame.toPandas for frame in frames.values()))
    collected: dict[str, Any] = dict(zip(frames, tables, strict=True))
    # The null studio is for the anime without one, if there are any.
    shown = collected["studios"]
    collected["studios"] = shown.head(config.studios + int(shown["value"].isna().any()))
    files = {"ratings": checked.ratings, "users": checked.users, "items": checked.items}
    return Findings(
        source=config.input,
        scale=scale,
        **collected,
        studio_count=studios.where("value IS NOT NULL").count(),
        users=user_count,
        anime=checked.parsed_items.count(),
        rows={name: file.read for name, file in files.items()},
        refused={name: file.bad for name, file in files.items()},
        missing=checked.missing,
        agreements=(
            *(compare_means(column, "anime", rated, "score") for column in _stated(dataset.items, "dump_score")),
            *(compare_means(column, "users", users, "stated") for column in _stated(dataset.users, "dump_mean_score")),
        ),
        prepared=prepared,
    )


def _stated(file: EntityFile | None, feature: str) -> list[str]:
    """The column of a feature, or none if the data set does not have it."""
    return [file.numeric[feature].column] if file is not None and feature in file.numeric else []


def small_frames(anime: DataFrame, levels: DataFrame, rated: DataFrame, users: DataFrame) -> dict[str, DataFrame]:
    """The aggregates that go to the driver, by their name in Findings; the arguments are named as in `aggregates`."""
    return {
        "histogram": aggregates.histogram(levels),
        "type_levels": aggregates.type_levels(levels, anime),
        "score_quantiles": aggregates.score_quantiles(anime),
        "genres": aggregates.by_category(rated, "genres"),
        "types": aggregates.by_category(rated, "type"),
        "premieres": aggregates.premieres(rated),
        "years": aggregates.by_year(rated),
        "genders": aggregates.genders(users),
        "user_tail": aggregates.long_tail(users),
        "anime_tail": aggregates.long_tail(rated),
    }


def read_preparation(spark: SparkSession, files: Files, directory: str) -> Prepared:
    """What a prepared directory says of the dump; InputError if it was never committed."""
    manifest = read_prepared(files, directory)
    quarantine = spark.read.parquet(f"{directory}/quarantine")
    return Prepared(
        directory=directory,
        read=manifest.ratings.read,
        quarantined={"ratings": manifest.ratings.quarantined, **manifest.quarantined},
        examples=aggregates.quarantine_examples(quarantine).toPandas(),
        leaks=manifest.leaks,
        audit=manifest.audit.model_dump(mode="json") if manifest.audit else None,
    )


def compare_means(column: str, of: str, entities: DataFrame, stated: str) -> Agreement:
    """Compare the means that the dump states with the means of its ratings.

    Args:
        column: of the checked.
        of: anime or users.
        entities: with n, total and `stated`.
        stated: the name of the stated mean in them.

    """
    row = aggregates.agreement(entities, stated).collect()[0]
    bins = aggregates.agreement_bins(entities, stated).toPandas()
    return Agreement(column, of, row["entities"], row["correlation"], row["difference"], bins)


def import_page() -> Any:
    """The module that draws the page; InputError if the packages that it needs are not installed."""
    try:
        from widedeep.reporting import sections as page
    except ImportError as error:
        raise InputError(f"the page needs plotly and jinja2: pip install -e '.[explore]' ({error})") from None
    return page


def check_page(files: Files, output: str, mark: str) -> None:
    """Refuse to write over anything but a page of ours; InputError names it."""
    if not files.exists(output):
        return
    local = files.local(output)
    if files.is_directory(output):
        raise InputError(f"output {output} is a directory: give --output the name of a file in it")
    if local:
        with local.open(encoding="utf-8", errors="replace") as page:
            first = page.readline()
    else:
        first = files.first_line(output)
    if first.strip() != mark:
        raise InputError(f"output {output} is there and no page of this job: choose another --output or remove it")


def show_summary(totals: Sequence[tuple[str, str]], findings: Findings, output: str) -> None:
    """Print the totals, the refused rows and where the page is."""
    rows = [*totals]
    for file, reasons in findings.refused.items():
        rows += [(f"refused, {file}: {reason}", f"{count:,}") for reason, count in reasons.items()]
    print_table(f"explored {findings.source}", ("", ""), rows)
    say(f"the page is {output}")


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(ExploreConfig, argv, "explore")
    page = import_page()
    spark = build_session("widedeep explore", SMALL_SHUFFLES)
    try:
        files = Files(spark)
        check_page(files, config.output, page.PAGE_MARK)
        findings = explore(spark, config)
        log.info("writing %s", config.output)
        files.write_text(config.output, page.exploration_html(findings))
    finally:
        spark.stop()
    show_summary(page.totals(findings), findings, config.output)
