"""A raw dump -> one HTML page of what is in it.

spark-submit jobs/explore.py --input data/raw --prepared data/prepared --output explore.html
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.table import Table as View

from widedeep.common.command import load_config
from widedeep.common.console import log, stdout
from widedeep.common.errors import InputError
from widedeep.config.explore import ExploreConfig
from widedeep.reporting.findings import Agreement, Findings, Prepared
from widedeep.spark.exploration import aggregates as sums
from widedeep.spark.filesystem import Files, read_prepared
from widedeep.spark.preparation import ingest
from widedeep.spark.session import build_session, together

# Pairs that a task counts in memory when it looks for duplicates.
PAIRS_PER_TASK = 1 << 20
ANIME_NEEDED = ("anime_id", "Name", "Type", "Genres", "Studios", "Premiered", "Aired", "Score")
USERS_NEEDED = ("Mal ID", "Username", "Gender", "Mean Score")
# What is shuffled is small, but for the pairs of ratings, which say themselves how many parts they need.
SMALL_SHUFFLES = {"spark.sql.shuffle.partitions": "16"}


class Checked(NamedTuple):
    """A file of the dump: its rows with the reason each must be refused, and what of it was counted."""

    frame: DataFrame  # kept on disk while the job lasts
    rows: int
    refused: dict[str, int]  # reason -> rows
    missing: dict[str, float]  # column -> share of the rows without a value


class Explore:
    """One run: its settings, its session and the frames it keeps."""

    def __init__(self, spark: SparkSession, config: ExploreConfig):
        self.spark, self.config = spark, config
        self.files = Files(spark)
        self.kept: list[DataFrame] = []

    def run(self) -> Findings:
        """Read the dump and add it up."""
        prepared = self._prepared()
        paths = {
            kind: f"{self.config.input}/{getattr(self.config, f'{kind}_file')}"
            for kind in ("ratings", "users", "anime")
        }
        log.info("reading the anime and the users of %s", self.config.input)
        anime, users = together(
            lambda: self._entity(paths["anime"], ANIME_NEEDED, True),
            lambda: self._entity(paths["users"], USERS_NEEDED, False),
        )
        catalogue = self._keep(sums.catalogue(anime.frame))
        log.info("reading the ratings")
        ratings, good = self._ratings(paths["ratings"], catalogue)
        if not ratings.rows or sum(ratings.refused.values()) == ratings.rows:
            raise InputError(f"input file {paths['ratings']} has no good row ({ratings.rows} read): {ratings.refused}")
        log.info("adding up %s ratings", f"{ratings.rows - sum(ratings.refused.values()):,}")
        levels = self._keep(sums.rating_levels(good))
        people = self._keep(sums.people(users.frame, sums.user_totals(good)))
        files = {"ratings": ratings, "users": users, "anime": anime}
        found = self._add_up(catalogue, levels, people, files, prepared)
        for frame in self.kept:
            frame.unpersist()
        return found

    def _keep(self, frame: DataFrame) -> DataFrame:
        """Hold a frame that is asked several times, on disk: it may be larger than memory."""
        self.kept.append(frame.persist(StorageLevel.DISK_ONLY))
        return frame

    def _read(self, path: str, needed: Sequence[str], multi_line: bool) -> tuple[DataFrame, DataFrame]:
        """The rows as text; and, in one row, how many there are and how many values each column lacks."""
        raw = ingest.read_csv(self.spark, self.files, path, needed, multi_line)
        names = [name for name in raw.columns if name not in (ingest.CORRUPT, "file", "block", "line")]
        return raw, raw.agg(*sums.missing_counts(names))

    def _entity(self, path: str, needed: Sequence[str], multi_line: bool) -> Checked:
        raw, lacking = self._read(path, needed, multi_line)
        keyed = ingest.keyed_rows(raw, needed[0])
        frame = self._keep(keyed.select("id", *(f"`{name}`" for name in needed[1:]), "reason", "row"))
        return _checked(frame, lacking)

    def _ratings(self, path: str, catalogue: DataFrame) -> tuple[Checked, DataFrame]:
        """The ratings as prepare would refuse and keep them: of a pair rated twice, the first."""
        raw, lacking = self._read(path, ingest.RATING_COLUMNS, False)
        known = catalogue.select("anime_id", F.lit(0).alias("item"))
        typed = ingest.typed_ratings(raw, known)
        # The text of the bad rows is kept: it needs all columns, and Spark takes a row of which it needs only some
        # for whole although others are missing or too many.
        checked = _checked(self._keep(typed.drop("item")), lacking)
        good = checked.frame.where("reason IS NULL")
        repeated = self._keep(ingest.repeated_pairs(good, max(-(-checked.rows // PAIRS_PER_TASK), 1)))
        if not repeated.isEmpty():
            copies = self._keep(ingest.copies(good, repeated))
            again = copies.where("copy > 1").count()
            if again:
                checked.refused["duplicate_pair"] = again
            first = copies.where("copy = 1").drop("copy")
            good = ingest.without_pairs(good, repeated).unionByName(first)
        return checked, good.select("user_id", "anime_id", "rating")

    def _add_up(
        self,
        catalogue: DataFrame,
        levels: DataFrame,
        people: DataFrame,
        files: dict[str, Checked],
        prepared: Prepared | None,
    ) -> Findings:
        # Filled before many ask for them at once.
        _, users = together(levels.count, people.count)
        rated = self._keep(sums.with_totals(catalogue, sums.anime_totals(levels)))
        studios = self._keep(sums.of_anime(rated, "studios"))
        frames = {
            "histogram": sums.histogram(levels),
            "type_levels": sums.type_levels(levels, catalogue),
            "score_quantiles": sums.score_quantiles(catalogue),
            "genres": sums.of_anime(rated, "genres"),
            "types": sums.of_anime(rated, "type"),
            "studios": studios.limit(self.config.studios + 1),
            "premieres": sums.premieres(rated),
            "years": sums.by_year(rated),
            "genders": sums.genders(people),
            "user_tail": sums.long_tail(people),
            "anime_tail": sums.long_tail(rated),
        }
        log.info("counting by genre, type, studio, year, gender and activity")
        tables = together(*(frame.toPandas for frame in frames.values()))
        collected: dict[str, Any] = dict(zip(frames, tables, strict=True))
        # The null one is for the anime without a studio, if there are any.
        shown = collected["studios"]
        collected["studios"] = shown.head(self.config.studios + int(shown["value"].isna().any()))
        return Findings(
            source=self.config.input,
            **collected,
            studio_count=studios.where("value IS NOT NULL").count(),
            users=users,
            anime=catalogue.count(),
            rows={file: checked.rows for file, checked in files.items()},
            refused={file: checked.refused for file, checked in files.items()},
            missing={file: checked.missing for file, checked in files.items()},
            agreements=(
                agreement("Score", "anime", rated, "score"),
                agreement("Mean Score", "users", people, "stated"),
            ),
            prepared=prepared,
        )

    def _prepared(self) -> Prepared | None:
        """What the prepared directory says; InputError if it was never committed."""
        directory = self.config.prepared
        if directory is None:
            return None
        manifest = read_prepared(self.files, directory)
        quarantine = self.spark.read.parquet(f"{directory}/quarantine")
        return Prepared(
            directory=directory,
            read=manifest.ratings.read,
            quarantined={"ratings": manifest.ratings.quarantined, **manifest.quarantined},
            examples=sums.quarantine_examples(quarantine).toPandas(),
            leaks=manifest.leaks,
            audit=manifest.audit.model_dump(mode="json") if manifest.audit else None,
        )


def _checked(frame: DataFrame, lacking: DataFrame) -> Checked:
    """Count good and bad rows (which fills the kept frame) and missing values."""
    found = {row["reason"]: row["rows"] for row in sums.reasons(frame).collect()}
    counts = lacking.collect()[0].asDict()
    whole = max(counts.pop("rows"), 1)
    refused = {reason: n for reason, n in sorted(found.items(), key=str) if reason is not None}
    return Checked(frame, sum(found.values()), refused, {name: n / whole for name, n in counts.items()})


def agreement(column: str, of: str, entities: DataFrame, stated: str) -> Agreement:
    """How near a mean that the dump states comes to that of its ratings.

    Args:
        column: of the dump.
        of: anime or users.
        entities: with n, total and `stated`.
        stated: the name of the stated mean in them.

    """
    row = sums.agreement(entities, stated).collect()[0]
    bins = sums.agreement_bins(entities, stated).toPandas()
    return Agreement(column, of, row["entities"], row["correlation"], row["difference"], bins)


def import_page() -> Any:
    """The module that draws; InputError if the packages it needs are not installed."""
    try:
        from widedeep.reporting import page
    except ImportError as error:
        raise InputError(f"the page needs plotly and jinja2: pip install -e '.[explore]' ({error})") from None
    return page


def check_page(files: Files, output: str, mark: str) -> None:
    """Refuse to write over what is no page of ours; InputError names it."""
    if not files.exists(output):
        return
    local = files.local(output)
    if files.is_directory(output):
        raise InputError(f"output {output} is a directory: give --output the name of a file in it")
    first = local.open(encoding="utf-8", errors="replace").readline() if local else files.first_line(output)
    if first.strip() != mark:
        raise InputError(f"output {output} is there and no page of this job: choose another --output or remove it")


def show_summary(totals: Sequence[tuple[str, str]], found: Findings, output: str) -> None:
    """Print what was found and where the page is."""
    view = View(title=f"explored {found.source}", title_justify="left", show_header=False)
    view.add_column("what")
    view.add_column("value", justify="right")
    for name, value in totals:
        view.add_row(name, value)
    for file, reasons in found.refused.items():
        for reason, rows in reasons.items():
            view.add_row(f"refused, {file}: {reason}", f"{rows:,}")
    stdout.print(view)
    stdout.print(f"the page is {output}", highlight=False)


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(ExploreConfig, argv, "explore")
    page = import_page()
    spark = build_session("widedeep explore", SMALL_SHUFFLES)
    try:
        files = Files(spark)
        check_page(files, config.output, page.MARK)
        found = Explore(spark, config).run()
        log.info("writing %s", config.output)
        files.write_text(config.output, page.render(found))
    finally:
        spark.stop()
    show_summary(page.totals(found), found, config.output)
