"""Raw ratings -> validated, encoded, equally sized Parquet shards and feature tables.

spark-submit jobs/prepare.py --input data/raw --output data/prepared
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.command import load_config
from widedeep.common.console import log, log_counts, print_table
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.config.prepare import PrepareConfig
from widedeep.data.dataset_descriptions import read_dataset
from widedeep.reporting.data_card import data_card
from widedeep.schema.dataset import Dataset, EntityFile, Identifiers
from widedeep.schema.manifest import CARD_FILE, Audit, DataFile, Manifest, Ratings, digest_of
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.filesystem import Files
from widedeep.spark.partitioning import with_dense_index
from widedeep.spark.preparation import ingest
from widedeep.spark.preparation.by_user import write_by_user
from widedeep.spark.preparation.encode import RatedEntities
from widedeep.spark.preparation.feature_tables import FeatureTables, write_feature_tables
from widedeep.spark.preparation.leak_audit import audit_features
from widedeep.spark.preparation.quarantine import (
    CheckedFile,
    CheckedRatings,
    check_file,
    check_ratings,
    harmless_reasons,
    require_few_bad_rows,
    write_quarantine,
)
from widedeep.spark.preparation.rating_shards import RatingShards, index_users, split_ratings, write_rating_shards
from widedeep.spark.preparation.summary import counts_of, show_summary
from widedeep.spark.preparation.workspace import Inputs, Workspace, find_inputs
from widedeep.spark.session import build_session, run_concurrently, shuffles_for
from widedeep.spark.staged_directory import Output, check_output, staged_directory

# Bytes that a run takes while it works, with its output, for each byte of input; measured at 24.3 M ratings: 0.2.
SPACE_OF_INPUT = 0.5


class CheckedFiles(NamedTuple):
    """The rows of a data set, and the index of its items."""

    items: CheckedFile
    users: CheckedFile
    ratings: CheckedRatings
    item_index: DataFrame  # item_id, item


def prepare(spark: SparkSession, config: PrepareConfig) -> Manifest:
    """Prepare a data set and commit the result; a run that was interrupted resumes after its last finished step."""
    files = Files(spark)
    described = read_dataset(config.dataset)
    check_settings(config, described)
    inputs = find_inputs(files, config.input, described)
    with staged_directory(files, output_of(config)) as staged, shuffles_for(spark, inputs.size):
        workspace = Workspace(spark, files, staged.path, steps=f"{staged.path}.work")
        workspace.resume_or_reset(config, inputs)
        scale = inputs.dataset.scale(config.ratings.unscored)
        try:
            checked = check_files(workspace, inputs, scale, config.max_bad_share)
        except InputError:
            files.delete(workspace.steps)  # of no use: the input or the settings will be others
            raise
        ratings, tables = write_data(workspace, inputs.dataset, checked, scale, config)
        by_user, _, audit = run_concurrently(
            lambda: write_by_user(workspace, ratings.train, ratings.files["train"], config.seed),
            lambda: write_quarantine(workspace, (checked.items, checked.users), checked.ratings),
            lambda: audit_tables(workspace, ratings, tables, scale) if config.audit else None,
        )
        manifest = describe(config, inputs, checked, scale, ratings, by_user, tables, audit)
        files.write_text(f"{staged.path}/{CARD_FILE}", data_card(manifest))
        staged.commit(manifest.seal())
    files.delete(workspace.steps)
    return manifest


def plan(spark: SparkSession, config: PrepareConfig) -> None:
    """Check the settings, the headers of the files, the output and the free space, and print what would be done."""
    files = Files(spark)
    described = read_dataset(config.dataset)
    check_settings(config, described)
    check_output(files, output_of(config))
    inputs = find_inputs(files, config.input, described)
    rows = [("input", config.input)]
    for kind, file in inputs.files.items():
        ingest.read_rows(spark, files, file.path, described.files[kind], described.files[kind].columns)
        rows.append((f"{kind}: {file.facts['name']}", f"{file.size:,} bytes"))
    needed = int(SPACE_OF_INPUT * inputs.size)
    files.require_space(config.output, needed)
    split = config.split
    rows.append(("split", f"{split.kind}, seed {config.seed}"))
    rows += [("output", config.output), ("needed while it runs, about", f"{needed:,} bytes")]
    print_table("plan: all of this is there and fits together", ("what", ""), rows, text=("what", ""))


def output_of(config: PrepareConfig) -> Output:
    """Return the directory that the settings name."""
    return Output(config.output, Manifest.kind, config.overwrite, inputs=[config.input])


def check_settings(config: PrepareConfig, dataset: Dataset) -> None:
    """Raise InputError if settings ask for what the data set does not have."""
    unknown = sorted(set(config.features.leaky_columns) - set(dataset.leaks))
    if unknown:
        raise InputError(f"features.leaky_columns: {unknown} not among the leaks of {dataset.name}: {[*dataset.leaks]}")
    numbers = {name for file in (dataset.items, dataset.users) if file is not None for name in file.numeric}
    unknown = sorted(set(config.features.mean_columns) - numbers)
    if unknown:
        raise InputError(f"features.mean_columns: {unknown} not among the numbers of {dataset.name}: {sorted(numbers)}")
    if config.split.kind in ("time", "date") and dataset.ratings.time is None:
        raise InputError(
            f"split.kind: {config.split.kind} needs the time of each rating, which {dataset.name} does not name: "
            "name its column by ratings.time in the description, or choose another kind"
        )
    if config.ratings.unscored == "zero" and not dataset.ratings.unscored:
        raise InputError(f"ratings.unscored: zero, but {dataset.name} has no mark for entries without a score")


def check_files(workspace: Workspace, inputs: Inputs, scale: RatingScale, max_bad_share: float) -> CheckedFiles:
    """Read and type the files of a data set; InputError if one has too many bad rows."""
    dataset, path = inputs.dataset, inputs.files["ratings"].path
    raw = ingest.read_rows(workspace.spark, workspace.files, path, dataset.ratings, dataset.ratings.columns)

    def rows_of_ids(column: str) -> DataFrame:
        return ingest.rows_of_ids(raw, dataset, scale, column)

    def check_entities(kind: str, file: EntityFile | None, rows: Callable[[], DataFrame]) -> CheckedFile:
        if file is None:
            return CheckedFile(path, workspace.keep(kind, rows), 0, {}, 0)
        return _check_entities(workspace, inputs.files[kind].path, kind, file, dataset.ids, max_bad_share)

    items, users = run_concurrently(
        lambda: check_entities("items", dataset.items, lambda: rows_of_ids("item_id")),
        # None: `index_users` adds all raters.
        lambda: check_entities("users", dataset.users, lambda: rows_of_ids("user_id").limit(0)),
    )
    item_index = with_dense_index(items.good.select(F.col(ingest.ID).alias("item_id")), "item_id", "item").cache()

    def typed() -> DataFrame:
        return ingest.typed_ratings(raw, item_index, dataset, scale)

    ratings = check_ratings(path, workspace.keep("ratings", typed), dataset, scale, workspace.keep)
    require_few_bad_rows(ratings, max_bad_share, harmless_reasons(dataset))
    return CheckedFiles(items, users, ratings, item_index)


def _check_entities(
    workspace: Workspace, path: str, kind: str, file: EntityFile, ids: Identifiers, max_bad_share: float
) -> CheckedFile:
    """Read the items or the users; InputError if the file has too many bad rows."""

    def rows() -> DataFrame:
        raw = ingest.read_rows(workspace.spark, workspace.files, path, file, file.columns)
        return ingest.entity_rows(raw, file, file.columns, ids)

    checked = check_file(path, workspace.keep(kind, rows))
    require_few_bad_rows(checked, max_bad_share)
    if checked.replaced:
        log.warning(
            "%s: %d rows have bytes that are not %s, read as %s: give its encoding in the description",
            *(path, checked.replaced, file.encoding, ingest.REPLACEMENT),
        )
    return checked


def write_data(
    workspace: Workspace, dataset: Dataset, checked: CheckedFiles, scale: RatingScale, config: PrepareConfig
) -> tuple[RatingShards, FeatureTables]:
    """Split the ratings, write their shards, and write the feature tables fitted on the training split."""
    user_index, split = run_concurrently(
        lambda: index_users(workspace, checked.users, checked.ratings),
        lambda: split_ratings(workspace, dataset, checked.items, checked.users, checked.ratings, scale, config),
    )
    ratings = write_rating_shards(workspace, split, user_index, config)
    trained = ratings.train, ratings.totals["train"].mean(scale), scale
    items = RatedEntities(dataset.items, checked.items.good, checked.item_index, *trained)
    users = RatedEntities(dataset.users, checked.users.good, user_index, *trained)
    return ratings, write_feature_tables(workspace, items, users, config.features)


def audit_tables(
    workspace: Workspace, ratings: RatingShards, tables: FeatureTables, scale: RatingScale
) -> Audit | None:
    """Measure each feature alone on the valid split, or on the test split if there is no valid one.

    Returns:
        None if no rating is held out, or there are no ratings but ones.

    """
    split: Literal["test", "valid"] = "valid" if ratings.files["valid"] else "test"
    if scale.implicit or not ratings.files[split]:
        return None
    held_out = workspace.spark.read.parquet(f"{workspace.staging}/ratings/split={split}")
    return audit_features(tables, ratings, held_out, split, scale)


def describe(
    config: PrepareConfig,
    inputs: Inputs,
    checked: CheckedFiles,
    scale: RatingScale,
    ratings: RatingShards,
    by_user: tuple[DataFile, ...],
    tables: FeatureTables,
    audit: Audit | None,
) -> Manifest:
    """The manifest of what was read, refused, fitted and written."""
    items, users = tables.items.written, tables.users.written
    written = ratings.rows()
    if checked.ratings.good_count != written + ratings.not_sampled:
        raise DamagedFileError(
            f"{inputs.files['ratings'].path} has {checked.ratings.good_count} good ratings; {written} were written and "
            f"{ratings.not_sampled} not sampled: run prepare again, and report this if it repeats"
        )
    return Manifest(
        config=config.model_dump(mode="json", exclude={"input", "output", "overwrite"}),
        dataset=inputs.dataset,
        inputs={kind: file.facts for kind, file in inputs.files.items()},
        ratings=Ratings(
            read=checked.ratings.read,
            quarantined=checked.ratings.bad,
            not_sampled=ratings.not_sampled,
            train_mean=ratings.totals["train"].mean(scale),
            shards=ratings.files,
            by_user=by_user,
            scale=scale,
        ),
        users=users,
        items=items,
        rank_regression=tables.rank_regression,
        quarantined={"items": checked.items.bad, "users": checked.users.bad},
        replaced={"items": checked.items.replaced, "users": checked.users.replaced},
        leaks=_leaks(inputs.dataset, config.features.leaky_columns),
        audit=audit,
        digest=digest_of(*ratings.files.values(), items.files, users.files),
    )


def _leaks(dataset: Dataset, used: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The columns that are computed from test ratings too: why they leak and whether they are used."""
    why = "it is computed from all ratings, those of the test split included"
    return {column: {"file": file, "why": why, "used": column in used} for column, file in dataset.leaks.items()}


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(PrepareConfig, argv, "prepare")
    spark = build_session("widedeep prepare")
    try:
        if config.dry_run:
            plan(spark, config)
            return
        manifest = prepare(spark, config)
    finally:
        spark.stop()
    log_counts("prepared", counts_of(manifest))
    show_summary(manifest, config.output)
