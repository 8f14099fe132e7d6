"""CSV dump -> validated, encoded, equally sized Parquet shards and feature tables.

spark-submit jobs/prepare.py --input data/raw --output data/prepared
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.command import load_config
from widedeep.config.prepare import PrepareConfig
<<<<<<< HEAD
from widedeep.schema.manifest import LEAKS, MIN_RATING, UNSCORED, Audit, Manifest, Ratings
from widedeep.spark import shards
from widedeep.spark.filesystem import Files, staged_directory
from widedeep.spark.partitioning import with_dense_index
from widedeep.spark.preparation import ingest
from widedeep.spark.preparation.checks import (
    CheckedFile,
    CheckedRatings,
    check_file,
    check_ratings,
    quarantine_rows,
    require_few_bad_rows,
)
from widedeep.spark.preparation.feature_leakage import audit_features
from widedeep.spark.preparation.feature_tables import Entities, FeatureTables, write_feature_tables
from widedeep.spark.preparation.mal_fields import EntityFile, anime_file, users_file
from widedeep.spark.preparation.rating_shards import RatingShards, index_users, split_ratings, write_rating_shards
from widedeep.spark.preparation.summary import show_summary
from widedeep.spark.preparation.workspace import InputFile, Workspace, find_inputs
from widedeep.spark.session import build_session, run_concurrently
=======
from widedeep.schema.manifest import LEAKS, SPLITS, Audit, DataFile, Manifest, Ratings, Table
from widedeep.spark import shards
from widedeep.spark.filesystem import Files, StagedDirectory, staged_directory
from widedeep.spark.partitioning import Salt, bucket_counts, hash_key, with_position
from widedeep.spark.preparation import features, ingest
from widedeep.spark.preparation.encode import Encoded, Fields, encode_items, encode_users
from widedeep.spark.preparation.feature_leakage import Subject, audit_table, telling
from widedeep.spark.preparation.splits import ROW_WISE, assign_split
from widedeep.spark.rating_sums import rating_sum
from widedeep.spark.session import build_session, together

# Pairs that a task counts in memory when it looks for duplicates.
PAIRS_PER_TASK = 1 << 20
>>>>>>> d98c39f (Make the rating scale data: lowest, highest, step and what is liked stand in the manifest)


class CheckedDump(NamedTuple):
    """The three files of the dump, and the index of the anime."""

    anime: CheckedFile
    users: CheckedFile
    ratings: CheckedRatings
    items: DataFrame  # anime_id, item


<<<<<<< HEAD
def prepare(spark: SparkSession, config: PrepareConfig) -> Manifest:
    """Prepare a dump and commit the result; a run that was interrupted resumes after its last finished step."""
    files = Files(spark)
    with staged_directory(files, config.output) as staged:
        workspace = Workspace(spark, files, staged.path, steps=f"{staged.path}.work")
        inputs = find_inputs(files, config)
        workspace.resume_or_reset(config, inputs)
        dump = check_dump(workspace, inputs, config)
        ratings, tables = write_data(workspace, dump, config)
        _, audit = run_concurrently(
            lambda: write_quarantine(workspace, dump), lambda: audit_tables(workspace, ratings, tables, config)
=======
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
        scale = self.config.ratings.scale
        mean = train.agg(rating_sum(F.col("rating"), scale) / F.count("rating")).collect()[0][0]
        options = self.config.features

        def write_items() -> tuple[Encoded, Table, dict[str, float]]:
            encoded, regression = encode_items(anime_raw, items, train, mean, options, scale)
            return encoded, self._write_table("items", "item", encoded), regression

        def write_users() -> tuple[Encoded, Table]:
            encoded = encode_users(users_raw, users, train, mean, options, scale)
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
                scale=self.config.ratings.scale,
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
>>>>>>> d98c39f (Make the rating scale data: lowest, highest, step and what is liked stand in the manifest)
        )
        manifest = describe(config, inputs, dump, ratings, tables, audit)
        staged.commit(manifest.model_dump_json(indent=1))
    files.delete(workspace.steps)
    return manifest


<<<<<<< HEAD
def check_dump(workspace: Workspace, inputs: dict[str, InputFile], config: PrepareConfig) -> CheckedDump:
    """Read and type the dump's files; InputError if one has too many bad rows."""
    anime, users = run_concurrently(
        *(
            partial(_check_entities, workspace, inputs[file.kind].path, file, config.max_bad_share)
            for file in (anime_file(), users_file())
=======
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
            return ingest.typed_ratings(raw, items, self.config.ratings)

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
>>>>>>> d98c39f (Make the rating scale data: lowest, highest, step and what is liked stand in the manifest)
        )
    )
    items = with_dense_index(anime.good.select(F.col("id").alias("anime_id")), "anime_id", "item").cache()
    path = inputs["ratings"].path

    def typed() -> DataFrame:
        raw = ingest.read_csv(workspace.spark, workspace.files, path, ingest.RATING_COLUMNS)
        return ingest.typed_ratings(raw, items, config.ratings.unscored == "zero")

<<<<<<< HEAD
    ratings = check_ratings(path, workspace.keep("ratings", typed), workspace.keep)
    require_few_bad_rows(ratings, config.max_bad_share)
    return CheckedDump(anime, users, ratings, items)
=======
    def _audit(self, subjects: Sequence[Subject], described: dict[str, tuple[DataFile, ...]]) -> Audit | None:
        """Measure each feature alone on valid, or on the test split where there is no valid one."""
        held: Literal["test", "valid"] | None = "valid" if described["valid"] else "test" if described["test"] else None
        if not self.config.audit or held is None:
            return None
        log.info("auditing features …")
        train, others = (self.spark.read.parquet(f"{self.staging}/ratings/split={split}") for split in ("train", held))
        found = together(
            *(partial(audit_table, subject, train, others, self.config.ratings.scale) for subject in subjects)
        )
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
>>>>>>> d98c39f (Make the rating scale data: lowest, highest, step and what is liked stand in the manifest)


def _check_entities(workspace: Workspace, path: str, file: EntityFile, max_bad_share: float) -> CheckedFile:
    """Read the anime or the users; InputError if the file has too many bad rows."""
    columns = file.columns()

    def rows() -> DataFrame:
        raw = ingest.read_csv(workspace.spark, workspace.files, path, columns, multi_line=file.multi_line)
        return ingest.entity_rows(raw, file.key, columns[1:])

    checked = check_file(path, workspace.keep(file.kind, rows))
    require_few_bad_rows(checked, max_bad_share)
    return checked


def write_data(workspace: Workspace, dump: CheckedDump, config: PrepareConfig) -> tuple[RatingShards, FeatureTables]:
    """Split the ratings, write their shards, and write the feature tables fitted on the training split."""
    user_index = index_users(workspace, dump.users, dump.ratings)
    split = split_ratings(workspace, dump.anime, dump.users, dump.ratings, config)
    ratings = write_rating_shards(workspace, split, user_index, config)
    items, users = Entities(dump.anime.good, dump.items), Entities(dump.users.good, user_index)
    return ratings, write_feature_tables(workspace, items, users, ratings.train, ratings.train_mean, config.features)


def write_quarantine(workspace: Workspace, dump: CheckedDump) -> None:
    """Write the bad rows of all files, with their reason and content."""
    rows = quarantine_rows(dump.anime, dump.users, dump.ratings)
    shards.write_parquet(workspace.files, rows.coalesce(1), f"{workspace.staging}/quarantine")


def audit_tables(
    workspace: Workspace, ratings: RatingShards, tables: FeatureTables, config: PrepareConfig
) -> Audit | None:
    """Measure each feature alone on the valid split, or on the test split if there is no valid one.

    Returns:
        None if no audit is wanted, or no rating is held out.

    """
    split: Literal["test", "valid"] = "valid" if ratings.files["valid"] else "test"
    if not config.audit or not ratings.files[split]:
        return None
    held_out = workspace.spark.read.parquet(f"{workspace.staging}/ratings/split={split}")
    return audit_features(tables.items, tables.users, ratings.train, held_out, split)


<<<<<<< HEAD
def describe(
    config: PrepareConfig,
    inputs: dict[str, InputFile],
    dump: CheckedDump,
    ratings: RatingShards,
    tables: FeatureTables,
    audit: Audit | None,
) -> Manifest:
    """The manifest of what was read, refused, fitted and written."""
    items, users = tables.items.written, tables.users.written
    return Manifest(
        config=config.model_dump(mode="json", exclude={"input", "output"}),
        inputs={kind: file.facts for kind, file in inputs.items()},
        ratings=Ratings(
            read=dump.ratings.read,
            quarantined=dump.ratings.bad,
            not_sampled=dump.ratings.read - sum(dump.ratings.bad.values()) - ratings.rows(),
            train_mean=ratings.train_mean,
            shards=ratings.files,
            lowest=UNSCORED[0] if config.ratings.unscored == "zero" else MIN_RATING,
        ),
        users=users,
        items=items,
        rank_regression=tables.rank_regression,
        quarantined={"anime": dump.anime.bad, "users": dump.users.bad},
        leaks=_leaks(config.features.leaky_columns),
        audit=audit,
        digest=shards.digest_of(*ratings.files.values(), items.files, users.files),
    )
=======
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
    if manifest.config["ratings"]["unscored"] == "zero":
        stdout.print(
            f"WARNING: entries without a score count as ratings of {ratings.scale.lowest:g}: errors say who scores, too"
        )
    used = [name for name, leak in manifest.leaks.items() if leak["used"]]
    left_out = [name for name in manifest.leaks if name not in used]
    stdout.print(f"left out because they contain test ratings: {', '.join(left_out) or 'none'}")
    if used:
        stdout.print(f"WARNING: used although they contain test ratings: {', '.join(used)}")
    if manifest.audit:
        show_audit(manifest.audit)
>>>>>>> d98c39f (Make the rating scale data: lowest, highest, step and what is liked stand in the manifest)


def _leaks(used: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The dump's columns that are computed from test ratings too: why they leak and whether they are used."""
    why = "the site computes it from all ratings, those of the test split included"
    return {
        column: {"file": file, "why": why, "used": column in used}
        for file, columns in LEAKS.items()
        for column in columns
    }


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(PrepareConfig, argv, "prepare")
    spark = build_session("widedeep prepare")
    try:
        manifest = prepare(spark, config)
    finally:
        spark.stop()
    show_summary(manifest, config.output)
