"""The feature tables of items and users, written to the directory that is being prepared."""

from typing import Literal, NamedTuple

from widedeep.common.console import log
from widedeep.config.prepare import FeatureConfig
from widedeep.schema.manifest import Table
from widedeep.spark import shards
from widedeep.spark.preparation.encode import EncodedTable, RatedEntities, encode_items, encode_users
from widedeep.spark.preparation.workspace import Workspace
from widedeep.spark.session import run_concurrently


class FeatureTable(NamedTuple):
    """A feature table as it was encoded and as it was written."""

    name: Literal["items", "users"]
    key: str  # the index column: item or user
    encoded: EncodedTable
    written: Table


class FeatureTables(NamedTuple):
    """Both feature tables, and the regression that imputed missing ranks: rank = slope * popularity + intercept."""

    items: FeatureTable
    users: FeatureTable
    rank_regression: dict[str, float]


def write_feature_tables(
    workspace: Workspace, items: RatedEntities, users: RatedEntities, options: FeatureConfig
) -> FeatureTables:
    """Encode both tables and write them."""

    def write_items() -> tuple[FeatureTable, dict[str, float]]:
        encoded, regression = encode_items(items, options, workspace.keep)
        return _write(workspace, "items", "item", encoded), regression

    def write_users() -> FeatureTable:
        return _write(workspace, "users", "user", encode_users(users, options, workspace.keep))

    (items_table, regression), users_table = run_concurrently(write_items, write_users)
    return FeatureTables(items_table, users_table, regression)


def _write(workspace: Workspace, name: Literal["items", "users"], key: str, encoded: EncodedTable) -> FeatureTable:
    """Write a table in files of consecutive indices."""
    log.info("writing %s", name)
    shards.write_table(workspace.files, encoded.frame, f"{workspace.staging}/{name}", key, encoded.rows)
    written = Table(
        files=shards.describe_files(workspace.spark, workspace.staging, name, one_group=True),
        rows=encoded.rows,
        columns=encoded.columns,
        numeric=encoded.numeric,
        vocabularies=encoded.vocabularies,
    )
    return FeatureTable(name, key, encoded, written)
