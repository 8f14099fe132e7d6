"""CSV dump -> validated, encoded, equally sized Parquet shards and feature tables.

spark-submit jobs/prepare.py --input data/raw --output data/prepared
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.table import Table as View

from widedeep.common.command import load_config
from widedeep.common.console import log, stdout
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.config.prepare import PrepareConfig
from widedeep.schema.manifest import LEAKS, MIN_RATING, SPLITS, UNSCORED, Audit, DataFile, Manifest, Ratings, Table
from widedeep.spark import shards
from widedeep.spark.filesystem import Files, StagedDirectory, staged_directory
from widedeep.spark.partitioning import Salt, bucket_counts, hash_key, with_position
from widedeep.spark.preparation import features, ingest
from widedeep.spark.preparation.encode import Encoded, Fields, encode_items, encode_users
from widedeep.spark.preparation.feature_leakage import Subject, audit_table, telling
from widedeep.spark.preparation.splits import ROW_WISE, assign_split
from widedeep.spark.session import build_session, together

# Pairs that a task counts in memory when it looks for duplicates.
PAIRS_PER_TASK = 1 << 20


class Prepare:
    """One run: its settings, its session and the directory it builds up before committing it."""

    def __init__(self, spark: SparkSession, config: PrepareConfig):
        self.spark, self.config = spark, config
        self.files = Files(spark)

    def run(self) -> Manifest:
        """Do all steps and commit."""
        with staged_directory(self.files, self.config.output) as staged:
            return self._run(staged)

    def _run(self, staged: StagedDirectory) -> Manifest:
        self.staging = staged.path
        self.work = f"{self.staging}.work"  # kept after a crash: finished steps are taken up again
        inputs = self._inputs()
        self._take_up(inputs)
        (anime_raw, bad_anime), (users_raw, bad_users) = together(
            lambda: self._entity("anime", "anime_id", "Name", features.anime_fields()),
            lambda: self._entity("users", "Mal ID", "Username", features.user_fields()),
        )
        items = with_position(anime_raw.select(F.col("id").alias("anime_id")), "anime_id", "item").cache()
        self._parse_ratings(items)
        read, bad_ratings = self._check_ratings()
        users = self._user_index(users_raw)
        ratings = self._split_ratings(anime_raw, users_raw)
        buckets = bucket_counts(ratings.where("split IS NOT NULL"), "split", "key")
        described = self._write_shards(ratings, users, buckets)
        train = self.spark.read.parquet(f"{self.staging}/ratings/split=train")
        mean = train.agg(F.avg("rating")).collect()[0][0]
        options = self.config.features

        def write_items() -> tuple[Encoded, Table, dict[str, float]]:
            encoded, regression = encode_items(anime_raw, items, train, mean, options)
            return encoded, self._write_table("items", "item", encoded), regression

        def write_users() -> tuple[Encoded, Table]:
            encoded = encode_users(users_raw, users, train, mean, options)
            return encoded, self._write_table("users", "user", encoded)

        (of_items, items_table, regression), (of_users, users_table) = together(write_items, write_users)
        subjects = (Subject("items", "item", of_items, items_table.rows),)
        subjects += (Subject("users", "user", of_users, users_table.rows),)
        _, audit = together(self._write_quarantine, lambda: self._audit(subjects, described))
        manifest = Manifest(
            config=self.config.model_dump(mode="json", exclude={"input", "output"}),
            inputs=inputs,
            ratings=Ratings(
                read=read,
                quarantined=bad_ratings,
                not_sampled=read
                - sum(bad_ratings.values())
                - sum(f.rows for files in described.values() for f in files),
                train_mean=mean,
                shards=described,
                lowest=UNSCORED[0] if self.config.ratings.unscored == "zero" else MIN_RATING,
            ),
            users=users_table,
            items=items_table,
            rank_regression=regression,
            quarantined={"anime": bad_anime, "users": bad_users},
            leaks={
                column: {
                    "file": file,
                    "why": "the site computes it from all ratings, those of the test split included",
                    "used": column in self.config.features.leaky_columns,
                }
                for file, columns in LEAKS.items()
                for column in columns
            },
            audit=audit,
            digest=shards.digest_of(*described.values(), items_table.files, users_table.files),
        )
        staged.commit(manifest.model_dump_json(indent=1))
        self.files.delete(self.work)
        return manifest

    # --- steps, each written below the work directory and taken up from there after a crash ---

    def _inputs(self) -> dict[str, dict[str, object]]:
        """Names and sizes of the input files; InputError if one is missing."""
        found = {}
        for kind in ("ratings", "users", "anime"):
            name = getattr(self.config, f"{kind}_file")
            path = f"{self.config.input}/{name}"
            if not self.files.exists(path):
                raise InputError(
                    f"input file {path} does not exist: give the dump's directory to --input, "
                    "or make a dump: spark-submit jobs/synthesize.py"
                )
            entries = [entry for entry in self.files.entries(path) if not entry[0].startswith(("_", "."))]
            found[kind] = {"name": name, "bytes": sum(size for _, size, _ in entries)}
            self._stamps = [*getattr(self, "_stamps", []), entries]
        return found

    def _take_up(self, inputs: dict[str, dict[str, object]]) -> None:
        """Keep the steps of an interrupted run of the same input and settings; begin afresh otherwise."""
        settings = self.config.model_dump_json(exclude={"output"})
        stamp = hashlib.sha256(f"{settings} {inputs} {self._stamps}".encode()).hexdigest()
        note = f"{self.work}/stamp"
        if self.files.exists(note) and self.files.read_text(note) == stamp:
            log.info("taking up an interrupted run in %s", self.work)
            return
        self.files.delete(self.work)
        self.files.make_directory(self.work)
        self.files.write_text(note, stamp)

    def _step(self, name: str, make: Callable[[], DataFrame]) -> DataFrame:
        """The result of a step: written once, then read."""
        path = f"{self.work}/{name}"
        if not self.files.exists(f"{path}/_SUCCESS"):
            log.info("%s …", name)
            make().write.mode("overwrite").parquet(path)
        return self.spark.read.parquet(path)

    def _entity(self, kind: str, key: str, name: str, fields: Fields) -> tuple[DataFrame, dict[str, int]]:
        """Good rows of the anime or the users, raw columns with their `id`; counts of the bad ones by reason."""
        path = f"{self.config.input}/{getattr(self.config, f'{kind}_file')}"
        needed = list(dict.fromkeys([key, name, *(field.source for group in fields.values() for field in group)]))

        def rows() -> DataFrame:
            raw = ingest.read_csv(self.spark, self.files, path, needed, multi_line=kind == "anime")
            kept = [F.col(f"`{column}`").alias(column) for column in needed if column != key]
            return ingest.keyed_rows(raw, key).select("id", *kept, "reason", "row", "file")

        frame = self._step(kind, rows)
        total, bad = _count_reasons(frame)
        self._refuse_if_bad(path, total, bad, frame)
        return frame.where("reason IS NULL"), bad

    def _parse_ratings(self, items: DataFrame) -> None:
        path = f"{self.config.input}/{self.config.ratings_file}"

        def rows() -> DataFrame:
            raw = ingest.read_csv(self.spark, self.files, path, ingest.RATING_COLUMNS)
            return ingest.typed_ratings(raw, items, self.config.ratings.unscored == "zero")

        self.parsed = self._step("ratings", rows)

    def _check_ratings(self) -> tuple[int, dict[str, int]]:
        """Number of ratings read, and of the bad ones by reason, duplicates among them."""
        total, bad = _count_reasons(self.parsed)
        good = self.parsed.where("reason IS NULL")
        tasks = -(-total // PAIRS_PER_TASK)
        self.repeated = self._step("repeated", lambda: ingest.repeated_pairs(good, max(tasks, 1)))
        self.copies = None
        if not self.repeated.isEmpty():
            self.copies = self._step("copies", lambda: ingest.copies(good, self.repeated))
        if self.copies and (extra := self.copies.where("copy > 1").count()):
            bad["duplicate_pair"] = extra
        self._refuse_if_bad(f"{self.config.input}/{self.config.ratings_file}", total, bad, self.parsed)
        return total, bad

    def _refuse_if_bad(self, path: str, total: int, bad: dict[str, int], frame: DataFrame) -> None:
        count = sum(bad.values())
        if not total or count == total:
            example = frame.where("reason IS NOT NULL").first()
            shown = f"; for example {example['reason']}: {example['row']}" if example else ""
            raise InputError(f"input file {path} has no good row ({total} read){shown}")
        unscored = bad.get(ingest.UNSCORED_REASON, 0)
        count -= unscored  # an entry without a score is not damaged, however many there are
        if count > self.config.max_bad_share * (total - unscored):
            damaged = frame.where(F.col("reason") != ingest.UNSCORED_REASON)
            rows = damaged.select("reason", "row").limit(3).collect()
            shown = "".join(f"\n  {row['reason']}: {row['row']}" for row in rows)
            raise InputError(
                f"input file {path}: {count} of {total - unscored} rows are bad ({count / (total - unscored):.2%}; "
                f"max_bad_share allows {self.config.max_bad_share:.2%}): {bad}; mend them or raise max_bad_share{shown}"
            )

    def _user_index(self, users_raw: DataFrame) -> DataFrame:
        """user_id -> user, over everybody who is in either file."""

        def index() -> DataFrame:
            ids = users_raw.select(F.col("id").alias("user_id"))
            raters = self.parsed.where("reason IS NULL").select("user_id")
            return with_position(ids.union(raters).distinct(), "user_id", "user")

        return self._step("user_index", index)

    def _split_ratings(self, anime_raw: DataFrame, users_raw: DataFrame) -> DataFrame:
        """user_id, item, rating, split (null: not sampled) and the key that orders the shards."""
        rule = self.config.split

        def split() -> DataFrame:
            columns = ["user_id", "anime_id", "item", "rating"]
            good = self.parsed.where("reason IS NULL").select(*columns)
            if self.copies:
                first = self.copies.where("copy = 1").select(*columns)
                good = ingest.without_pairs(good, self.repeated).unionByName(first)
            if rule.kind == "stratified":
                good = _with_strata(good, rule.strata, anime_raw, users_raw)
            key = hash_key(F.col("user_id"), F.col("anime_id"), self.config.seed, Salt.ROW_ORDER)
            assigned = assign_split(good, rule, self.config.seed)
            return assigned.select("user_id", "item", "rating", "split", key.alias("key"))

        return split() if rule.kind in ROW_WISE else self._step("split", split)

    def _write_shards(self, ratings: DataFrame, users: DataFrame, buckets: dict[str, dict[int, int]]) -> dict:
        """Deal the ratings to the shards of their splits; split -> files.

        Raises:
            InputError: no rating is left to train on.

        """
        rows = {split: sum(buckets.get(split, {}).values()) for split in SPLITS}
        if not rows["train"]:
            raise InputError(f"no rating is left to train on: {rows}; see split.train and split.sample")
        plan = shards.plan_shards(rows, self.config.ranks, self.config.shards)
        log.info("writing shards %s", plan)
        used = {split: n for split, n in plan.items() if n}
        placed = shards.with_shard(ratings, "split", "key", buckets, used, "shard").join(
            users, on="user_id", how="inner"
        )
        placed = placed.select("user", "item", "rating", F.col("key").alias("_key"), "shard")
        # Two pairs can share a key: user and item then decide.
        shards.write_split_shards(self.files, placed, self.staging, used, ["_key", "user", "item"])
        found: dict[str, tuple[DataFile, ...]] = {split: () for split in SPLITS}
        for split in used:
            found[split] = shards.describe_files(self.spark, self.staging, f"ratings/split={split}", one_group=True)
            if sum(file.rows for file in found[split]) != rows[split]:
                raise DamagedFileError(f"{self.staging}: split {split} has not the {rows[split]} rows it was to have")
        return found

    def _write_table(self, name: str, key: str, encoded: Encoded) -> Table:
        """Write a feature table in files of consecutive positions."""
        log.info("writing %s", name)
        rows = encoded.frame.count()
        shards.write_table(self.files, encoded.frame, f"{self.staging}/{name}", key, rows)
        return Table(
            files=shards.describe_files(self.spark, self.staging, name, one_group=True),
            rows=rows,
            columns=encoded.columns,
            numeric=encoded.numeric,
            vocabularies=encoded.vocabularies,
        )

    def _audit(self, subjects: Sequence[Subject], described: dict[str, tuple[DataFile, ...]]) -> Audit | None:
        """Measure each feature alone on valid, or on the test split where there is no valid one."""
        held: Literal["test", "valid"] | None = "valid" if described["valid"] else "test" if described["test"] else None
        if not self.config.audit or held is None:
            return None
        log.info("auditing features …")
        train, others = (self.spark.read.parquet(f"{self.staging}/ratings/split={split}") for split in ("train", held))
        found = together(*(partial(audit_table, subject, train, others) for subject in subjects))
        return Audit(held=held, **{s.name: tuple(f) for s, f in zip(subjects, found, strict=True)})

    def _write_quarantine(self) -> None:
        """Bad rows of all files, with their reason and content."""
        parts = [
            self.spark.read.parquet(f"{self.work}/{kind}").where("reason IS NOT NULL").select("file", "reason", "row")
            for kind in ("anime", "users", "ratings")
        ]
        frame = parts[0].unionByName(parts[1]).unionByName(parts[2])
        if self.copies:
            again = self.copies.where("copy > 1").select(
                "file",
                F.lit("duplicate_pair").alias("reason"),
                F.to_csv(F.struct("user_id", "anime_id", "rating")).alias("row"),
            )
            frame = frame.unionByName(again)
        shards.write_parquet(self.files, frame.coalesce(1), f"{self.staging}/quarantine")


def _count_reasons(frame: DataFrame) -> tuple[int, dict[str, int]]:
    """Number of all rows, and of the bad ones by their reason."""
    reasons = {row["reason"]: row["count"] for row in frame.groupBy("reason").count().collect()}
    return sum(reasons.values()), {reason: n for reason, n in sorted(reasons.items(), key=str) if reason is not None}


def _with_strata(ratings: DataFrame, strata: Sequence[str], anime_raw: DataFrame, users_raw: DataFrame) -> DataFrame:
    """Add the category columns that name a rating's stratum.

    Raises:
        InputError: a stratum is no category of the anime or the users.

    """
    for raw, fields, key in (
        (anime_raw, features.anime_fields(), "anime_id"),
        (users_raw, features.user_fields(), "user_id"),
    ):
        columns = [field.parse.alias(field.name) for field in fields["category"] if field.name in strata]
        if columns:
            ratings = ratings.join(raw.select(F.col("id").alias(key), *columns), on=key, how="left")
    missing = [name for name in strata if name not in ratings.columns]
    if missing:
        names = [f.name for fields in (features.anime_fields(), features.user_fields()) for f in fields["category"]]
        raise InputError(f"split.strata: {missing} unknown; the categories are {names}")
    return ratings


def show_summary(manifest: Manifest, output: str) -> None:
    """Print what was read, refused and written."""
    view = View(title=f"prepared {output}", title_justify="left")
    view.add_column("what")
    view.add_column("count", justify="right")
    ratings = manifest.ratings
    view.add_row("ratings read", f"{ratings.read:,}")
    for split in SPLITS:
        view.add_row(f"  {split} ({len(ratings.shards[split])} shards)", f"{ratings.rows(split):,}")
    if ratings.not_sampled:
        view.add_row("  not sampled", f"{ratings.not_sampled:,}")
    for file, reasons in {"ratings": ratings.quarantined, **manifest.quarantined}.items():
        for reason, count in reasons.items():
            view.add_row(f"  quarantined, {file}: {reason}", f"{count:,}")
    view.add_row("users", f"{manifest.users.rows:,}")
    view.add_row("anime", f"{manifest.items.rows:,}")
    stdout.print(view)
    if ratings.lowest < MIN_RATING:
        stdout.print(
            f"WARNING: entries without a score count as ratings of {ratings.lowest}: errors say who scores, too"
        )
    used = [name for name, leak in manifest.leaks.items() if leak["used"]]
    left_out = [name for name in manifest.leaks if name not in used]
    stdout.print(f"left out because they contain test ratings: {', '.join(left_out) or 'none'}")
    if used:
        stdout.print(f"WARNING: used although they contain test ratings: {', '.join(used)}")
    if manifest.audit:
        show_audit(manifest.audit)


def show_audit(audit: Audit) -> None:
    """Print what the most telling features alone say of held-out ratings."""
    view = View(title=f"one feature alone, fitted on train, measured on {audit.held}", title_justify="left")
    for name in ("feature", "ratings in it", "R2 train", f"R2 {audit.held}", "slope", "sign of a leak"):
        view.add_column(name, justify="right" if name.startswith(("R2", "slope")) else "left")
    for feature in telling({"items": audit.items, "users": audit.users}):
        name = f"{feature.table}: {feature.source if feature.ratings_in_it == 'all' else feature.name}"
        slope = "" if feature.slope is None else f"{feature.slope:.2f} ± {feature.slope_error:.2f}"
        scores = ("" if r2 is None else f"{r2:.3f}" for r2 in (feature.train_r2, feature.held_r2))
        left_out = "" if feature.used else " (left out)"
        view.add_row(name + left_out, feature.ratings_in_it, *scores, slope, "yes" if feature.sign_of_leak else "")
    stdout.print(view)
    stdout.print("slope: at most 1 for a feature without held-out ratings; manifest.json has all of them under audit")


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(PrepareConfig, argv, "prepare")
    spark = build_session("widedeep prepare")
    try:
        manifest = Prepare(spark, config).run()
    finally:
        spark.stop()
    show_summary(manifest, config.output)
