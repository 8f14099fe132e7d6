"""A raw dump -> one HTML page of what is in it.

spark-submit jobs/explore.py --input data/raw --prepared data/prepared --output explore.html
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.command import load_config
from widedeep.common.console import log, print_table, stdout
from widedeep.common.errors import InputError
from widedeep.config.explore import ExploreConfig
from widedeep.reporting.findings import Agreement, Findings, Prepared
from widedeep.spark.exploration import aggregates
from widedeep.spark.filesystem import Files, read_prepared
from widedeep.spark.preparation import ingest
from widedeep.spark.preparation.mal_fields import EntityFile, anime_file, users_file
from widedeep.spark.preparation.quarantine import (
    CheckedFile,
    CheckedRatings,
    Keep,
    check_file,
    check_ratings,
    require_good_rows,
)
from widedeep.spark.rating_sums import rating_totals
from widedeep.spark.session import build_session, run_concurrently

# The columns explored besides the key.
ANIME_COLUMNS = ("Name", "Type", "Genres", "Studios", "Premiered", "Aired", "Score")
USERS_COLUMNS = ("Username", "Gender", "Mean Score")
# All shuffles are small except for the pairs of ratings, which ask for the partitions that they need.
SMALL_SHUFFLES = {"spark.sql.shuffle.partitions": "16"}


class CheckedDump(NamedTuple):
    """The three files of the dump, and the share of the rows without a value of each of their columns."""

    anime: CheckedFile
    users: CheckedFile
    ratings: CheckedRatings
    parsed_anime: DataFrame  # from `aggregates.parse_anime`
    missing: dict[str, dict[str, float]]  # file -> column -> share


def explore(spark: SparkSession, config: ExploreConfig) -> Findings:
    """Read a dump as prepare does, and aggregate it."""
    files = Files(spark)
    prepared = read_preparation(spark, files, config.prepared) if config.prepared else None
    with kept_frames() as keep:
        dump = check_dump(spark, files, config, keep)
        return aggregate(dump, config, prepared, keep)


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


def check_dump(spark: SparkSession, files: Files, config: ExploreConfig, keep: Keep) -> CheckedDump:
    """Read, type and count the dump's files; InputError if there is no good rating."""
    log.info("reading the anime and the users of %s", config.input)
    anime_path, users_path, ratings_path = (
        f"{config.input}/{name}" for name in (config.anime_file, config.users_file, config.ratings_file)
    )

    def check_entities(path: str, file: EntityFile, columns: Sequence[str]) -> tuple[CheckedFile, dict[str, float]]:
        raw = ingest.read_csv(spark, files, path, [file.key, *columns], file.multi_line)
        checked = check_file(path, keep(path, lambda: ingest.entity_rows(raw, file.key, columns)))
        return checked, missing_shares(raw)

    (anime, anime_missing), (users, users_missing) = run_concurrently(
        lambda: check_entities(anime_path, anime_file(), ANIME_COLUMNS),
        lambda: check_entities(users_path, users_file(), USERS_COLUMNS),
    )
    parsed_anime = keep("anime", lambda: aggregates.parse_anime(anime.good))
    log.info("reading the ratings")
    raw = ingest.read_csv(spark, files, ratings_path, ingest.RATING_COLUMNS)
    known = parsed_anime.select("anime_id", F.lit(0).alias("item"))
    # The text of the bad rows is kept, too: it needs all columns, and if Spark reads only some of them, it takes rows
    # with missing or extra columns for whole.
    typed = keep("ratings", lambda: ingest.typed_ratings(raw, known, config.ratings).drop("item"))
    ratings = check_ratings(ratings_path, typed, keep)
    require_good_rows(ratings)
    missing = {"ratings": missing_shares(raw), "users": users_missing, "anime": anime_missing}
    return CheckedDump(anime, users, ratings, parsed_anime, missing)


def missing_shares(raw: DataFrame) -> dict[str, float]:
    """Column -> share of the rows without a value, of the rows that could be split."""
    counts = raw.agg(*aggregates.missing_counts(ingest.dump_columns(raw))).collect()[0].asDict()
    rows = max(counts.pop("rows"), 1)
    return {name: n / rows for name, n in counts.items()}


def aggregate(dump: CheckedDump, config: ExploreConfig, prepared: Prepared | None, keep: Keep) -> Findings:
    """Aggregate the good rows of a dump by Spark and collect the small results."""
    ratings, scale = dump.ratings.unique.select("user_id", "anime_id", "rating"), config.ratings.scale
    log.info("aggregating %s ratings", f"{dump.ratings.good_count:,}")
    levels = keep("levels", lambda: aggregates.rating_levels(ratings))
    users = keep("users", lambda: aggregates.all_users(dump.users.good, rating_totals(ratings, "user_id", scale)))
    _, user_count = run_concurrently(levels.count, users.count)  # kept before many ask for them at once
    rated = keep("rated", lambda: aggregates.with_totals(dump.parsed_anime, aggregates.anime_totals(levels, scale)))
    studios = keep("studios", lambda: aggregates.by_category(rated, "studios"))
    log.info("counting by genre, type, studio, year, gender and activity")
    frames = small_frames(dump.parsed_anime, levels, rated, users)
    frames["studios"] = studios.limit(config.studios + 1)
    tables = run_concurrently(*(frame.toPandas for frame in frames.values()))
    collected: dict[str, Any] = dict(zip(frames, tables, strict=True))
    # The null studio is for the anime without one, if there are any.
    shown = collected["studios"]
    collected["studios"] = shown.head(config.studios + int(shown["value"].isna().any()))
    files = {"ratings": dump.ratings, "users": dump.users, "anime": dump.anime}
    return Findings(
        source=config.input,
        scale=scale,
        **collected,
        studio_count=studios.where("value IS NOT NULL").count(),
        users=user_count,
        anime=dump.parsed_anime.count(),
        rows={name: file.read for name, file in files.items()},
        refused={name: file.bad for name, file in files.items()},
        missing=dump.missing,
        agreements=(
            compare_means("Score", "anime", rated, "score"),
            compare_means("Mean Score", "users", users, "stated"),
        ),
        prepared=prepared,
    )


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
        column: of the dump.
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
        from widedeep.reporting import page
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
    stdout.print(f"the page is {output}", highlight=False)


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
        files.write_text(config.output, page.render(findings))
    finally:
        spark.stop()
    show_summary(page.totals(findings), findings, config.output)
