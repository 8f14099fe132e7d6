"""The feature tables of items and users, written to the directory that is being prepared."""

from typing import Literal, NamedTuple

from pyspark.sql import DataFrame

from widedeep.common.console import log
from widedeep.config.prepare import PrepareConfig
from widedeep.schema.manifest import Table
from widedeep.spark import shards
from widedeep.spark.preparation.encode import EncodedTable, encode_items, encode_users
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


class Entities(NamedTuple):
    """The users or the items: the good rows of their file as text, and the index of each identifier."""

    raw: DataFrame  # id and the text columns
    index: DataFrame  # anime_id, item; or user_id, user


def write_feature_tables(
    workspace: Workspace, items: Entities, users: Entities, train: DataFrame, mean: float, config: PrepareConfig
) -> FeatureTables:
    """Encode both tables and write them.

    Args:
        workspace: of the run.
        items: the anime.
        users: the users.
        train: user, item, rating of the training split.
        mean: its mean rating.
        config: how to impute, scale and encode, and the scale of the ratings.

    """
    options, scale = config.features, config.ratings.scale

    def write_items() -> tuple[FeatureTable, dict[str, float]]:
        encoded, regression = encode_items(items.raw, items.index, train, mean, options, scale)
        return _write(workspace, "items", "item", encoded), regression

    def write_users() -> FeatureTable:
        return _write(workspace, "users", "user", encode_users(users.raw, users.index, train, mean, options, scale))

    (items_table, regression), users_table = run_concurrently(write_items, write_users)
    return FeatureTables(items_table, users_table, regression)


def _write(workspace: Workspace, name: Literal["items", "users"], key: str, encoded: EncodedTable) -> FeatureTable:
    """Write a table in files of consecutive indices."""
    log.info("writing %s", name)
    rows = encoded.frame.count()
    shards.write_table(workspace.files, encoded.frame, f"{workspace.staging}/{name}", key, rows)
    written = Table(
        files=shards.describe_files(workspace.spark, workspace.staging, name, one_group=True),
        rows=rows,
        columns=encoded.columns,
        numeric=encoded.numeric,
        vocabularies=encoded.vocabularies,
    )
    return FeatureTable(name, key, encoded, written)
