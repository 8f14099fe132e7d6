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
from widedeep.schema.manifest import LEAKS, Audit, DataFile, Manifest, Ratings
from widedeep.spark import shards
from widedeep.spark.filesystem import Files
from widedeep.spark.partitioning import with_dense_index
from widedeep.spark.preparation import ingest
from widedeep.spark.preparation.by_user import write_by_user
from widedeep.spark.preparation.feature_tables import Entities, FeatureTables, write_feature_tables
from widedeep.spark.preparation.leak_audit import audit_features
from widedeep.spark.preparation.mal_fields import EntityFile, anime_file, users_file
from widedeep.spark.preparation.quarantine import (
    CheckedFile,
    CheckedRatings,
    check_file,
    check_ratings,
    require_few_bad_rows,
    write_quarantine,
)
from widedeep.spark.preparation.rating_shards import RatingShards, index_users, split_ratings, write_rating_shards
from widedeep.spark.preparation.summary import show_summary
from widedeep.spark.preparation.workspace import InputFile, Workspace, find_inputs
from widedeep.spark.session import build_session, run_concurrently
from widedeep.spark.staged_directory import staged_directory


class CheckedDump(NamedTuple):
    """The three files of the dump, and the index of the anime."""

    anime: CheckedFile
    users: CheckedFile
    ratings: CheckedRatings
    items: DataFrame  # anime_id, item


def prepare(spark: SparkSession, config: PrepareConfig) -> Manifest:
    """Prepare a dump and commit the result; a run that was interrupted resumes after its last finished step."""
    files = Files(spark)
    with staged_directory(files, config.output) as staged:
        workspace = Workspace(spark, files, staged.path, steps=f"{staged.path}.work")
        inputs = find_inputs(files, config)
        workspace.resume_or_reset(config, inputs)
        dump = check_dump(workspace, inputs, config)
        ratings, tables = write_data(workspace, dump, config)
        by_user, _, audit = run_concurrently(
            lambda: write_by_user(workspace, ratings.train, ratings.files["train"], config.seed),
            lambda: write_quarantine(workspace, dump.anime, dump.users, dump.ratings),
            lambda: audit_tables(workspace, ratings, tables, config),
        )
        manifest = describe(config, inputs, dump, ratings, by_user, tables, audit)
        staged.commit(manifest.model_dump_json(indent=1))
    files.delete(workspace.steps)
    return manifest


def check_dump(workspace: Workspace, inputs: dict[str, InputFile], config: PrepareConfig) -> CheckedDump:
    """Read and type the dump's files; InputError if one has too many bad rows."""
    anime, users = run_concurrently(
        *(
            partial(_check_entities, workspace, inputs[file.kind].path, file, config.max_bad_share)
            for file in (anime_file(), users_file())
        )
    )
    items = with_dense_index(anime.good.select(F.col("id").alias("anime_id")), "anime_id", "item").cache()
    path = inputs["ratings"].path

    def typed() -> DataFrame:
        raw = ingest.read_csv(workspace.spark, workspace.files, path, ingest.RATING_COLUMNS)
        return ingest.typed_ratings(raw, items, config.ratings)

    ratings = check_ratings(path, workspace.keep("ratings", typed), workspace.keep)
    require_few_bad_rows(ratings, config.max_bad_share)
    return CheckedDump(anime, users, ratings, items)


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
    return ratings, write_feature_tables(workspace, items, users, ratings.train, ratings.train_mean, config)


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
    return audit_features(tables.items, tables.users, ratings.train, held_out, split, config.ratings.scale)


def describe(
    config: PrepareConfig,
    inputs: dict[str, InputFile],
    dump: CheckedDump,
    ratings: RatingShards,
    by_user: tuple[DataFile, ...],
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
            not_sampled=dump.ratings.good_count - ratings.rows(),
            train_mean=ratings.train_mean,
            shards=ratings.files,
            by_user=by_user,
            scale=config.ratings.scale,
        ),
        users=users,
        items=items,
        rank_regression=tables.rank_regression,
        quarantined={"anime": dump.anime.bad, "users": dump.users.bad},
        leaks=_leaks(config.features.leaky_columns),
        audit=audit,
        digest=shards.digest_of(*ratings.files.values(), items.files, users.files),
    )


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
