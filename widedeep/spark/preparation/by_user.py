"""The training ratings once more, in files of whole users: what a model of histories is trained on."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from widedeep.common.console import log
from widedeep.common.errors import DamagedFileError
from widedeep.schema.manifest import DataFile
from widedeep.spark import shards
from widedeep.spark.partitioning import Salt, bucket_counts, shuffled_index
from widedeep.spark.preparation.workspace import Workspace

DIRECTORY = "by_user"


def write_by_user(
    workspace: Workspace, train: DataFrame, train_shards: Sequence[DataFile], seed: int
) -> tuple[DataFile, ...]:
    """Write the training ratings to as many files as there are shards; each user's ratings are in one file.

    The order of users is that of a hash, so a file is a random sample of users. Files differ by the ratings of a user;
    there are fewer where the users are few. A user's ratings are sorted by item.

    Args:
        workspace: of the run.
        train: user, item, rating; read from the shards.
        train_shards: the files of `train`.
        seed: determines the order of users.

    Raises:
        DamagedFileError: the files have not the ratings of the shards.

    """
    log.info("writing %s", DIRECTORY)
    # Unique for each user, so that a single long sorts by user and item: twice as fast as several columns.
    key = F.shiftleft(shuffled_index(F.col("user"), seed, Salt.USER_ORDER), 32)
    keyed = train.select("*", key.alias("_key"), F.lit("train").alias("_all"))
    plan = {"train": len(train_shards)}
    placed = shards.with_shard(keyed, "_all", "_key", bucket_counts(keyed, "_all", "_key"), plan, "shard")
    placed = placed.select(*train.columns, "shard", F.col("_key").bitwiseOR(F.col("item")).alias("_place"))
    placed = placed.repartitionById(plan["train"], F.col("shard")).sortWithinPartitions("_place")
    path = f"{workspace.staging}/{DIRECTORY}"
    shards.write_parquet(workspace.files, placed.select(*train.columns), path)
    written = shards.describe_files(workspace.spark, workspace.staging, DIRECTORY, one_group=True)
    if _content(written) != _content(train_shards):
        raise DamagedFileError(f"{path} has not the same ratings as the training shards: prepare again")
    return written


def _content(files: Sequence[DataFile]) -> tuple[int, int]:
    """Number of rows, and the digest of the rows in all files: that of a file is the XOR of its rows' hashes."""
    digest = 0
    for file in files:
        digest ^= int(file.content, 16)
    return sum(file.rows for file in files), digest
