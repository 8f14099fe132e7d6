"""Parquet files made for their readers: exact sizes, one row group each, plain names, digests."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from itertools import accumulate

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.errors import DamagedFileError, InputError
from widedeep.schema.manifest import DataFile
from widedeep.spark.filesystem import Files
from widedeep.spark.partitioning import BUCKET_SHIFT, bucket_of, few_rows, order_statistics, partition_by_range

# petastorm holds three row groups at a time: of this size they are 20 MB, at any number of ratings.
TARGET_ROWS = 1 << 19
DEFAULT_SHARDS = 8  # deals equally to 1, 2, 4 and 8 ranks
ROW_GROUP_BYTES = 1 << 27  # above any shard of TARGET_ROWS, so that each is one row group
TABLE_FILE_ROWS = 1 << 20
MOST_SHARD_ROWS = ROW_GROUP_BYTES // 16  # of 12 bytes each


def plan_shards(rows: Mapping[str, int], ranks: int, shards: int | None) -> dict[str, int]:
    """Split -> number of files, each a multiple of the ranks and none of them without rows.

    Raises:
        InputError: a split has fewer rows than ranks (or than the shards asked for), or too many for them.

    """
    base = ranks if ranks > 1 else DEFAULT_SHARDS
    plan = {}
    for split, count in rows.items():
        wanted = shards if shards and split == "train" else base * -(-count // (base * TARGET_ROWS))
        if count < wanted and not (shards and split == "train"):
            wanted = max(count // ranks, 1) * ranks
        if 0 < count < wanted:
            raise InputError(f"split {split} has {count} ratings, too few for {wanted} shards: lower shards or ranks")
        if count > wanted * MOST_SHARD_ROWS:
            least = -(-count // (MOST_SHARD_ROWS * ranks)) * ranks
            raise InputError(f"split {split} has {count} ratings, too many for {wanted} shards: give at least {least}")
        plan[split] = wanted if count else 0
    return plan


def with_shard(
    frame: DataFrame,
    group: str,
    key: str,
    counts: Mapping[str, Mapping[int, int]],
    shards: Mapping[str, int],
    name: str,
) -> DataFrame:
    """Add `name`: int, the shard of each row. The shards of a group differ by one row at most if no key is repeated.

    A group's rows are cut, in the order of their keys, into its number of shards; shards are numbered
    through all groups, in the order of `shards`. Rows of one key stay together, so that shards may differ by the rows
    of a key, and any but the first of a group may be empty. Rows of other groups are left out.

    Args:
        frame: rows with a `group` column and a `key` column from `hash_key`.
        group: name of the group's column.
        key: name of the key's column.
        counts: from `bucket_counts` of the same frame.
        shards: group -> number of its shards.
        name: of the new column.

    """
    totals = {g: sum(counts[g].values()) for g in shards}
    ranks = {g: [f * totals[g] // n - 1 for f in range(1, n)] for g, n in shards.items()}  # of the last row of a shard
    bounds = order_statistics(frame, group, key, counts, ranks)
    first = dict(zip(shards, accumulate(shards.values(), initial=0), strict=False))
    # One small row for each bucket: how many bounds lie below it, and the few that lie in it.
    rows = []
    for g in shards:
        inside: dict[int, list[int]] = defaultdict(list)
        for bound in bounds[g]:
            inside[bound >> BUCKET_SHIFT].append(bound)
        for bucket in counts[g]:
            below = bisect_right(bounds[g], (bucket << BUCKET_SHIFT) - 1)
            rows.append((g, bucket, first[g] + below, inside.get(bucket, [])))
    columns = {group: pa.string(), "_bucket": pa.int32(), "_below": pa.int32(), "_bounds": pa.list_(pa.int64())}
    table = few_rows(frame.sparkSession, pa.schema(columns), rows)
    looked_up = frame.withColumn("_bucket", bucket_of(F.col(key))).join(
        F.broadcast(table), on=[group, "_bucket"], how="inner"
    )
    passed = F.size(F.filter("_bounds", lambda bound: bound < F.col(key)))
    return looked_up.withColumn(name, F.col("_below") + passed).drop("_bucket", "_below", "_bounds")


def write_parquet(files: Files, frame: DataFrame, path: str, row_group_bytes: int = ROW_GROUP_BYTES) -> None:
    """Write each partition of a frame to a Parquet file; the files are part-00000.parquet, … in their order.

    Args:
        files: the file system.
        frame: the rows; an empty partition gets no file.
        path: directory to write.
        row_group_bytes: size of a row group, before compression.

    """
    writer = frame.write.mode("overwrite").option("compression", "zstd").option("maxRecordsPerFile", 0)
    writer.option("parquet.block.size", row_group_bytes).parquet(path)
    names = [name for name, _, _ in files.entries(path) if name.endswith(".parquet")]
    for number, name in enumerate(names):
        files.rename(f"{path}/{name}", f"{path}/part-{number:05d}.parquet")


def write_split_shards(files: Files, frame: DataFrame, root: str, plan: Mapping[str, int], order: list[str]) -> None:
    """Write ratings to `root/ratings/split=…/part-00000.parquet` and so on.

    Args:
        files: the file system.
        frame: the ratings with a `shard` column from `with_shard` of the same `plan`; neither that column nor those
            that begin with `_` are written.
        root: directory that is being prepared.
        plan: split -> number of its shards.
        order: columns the rows of a file are sorted by; a single long is fastest.

    """
    mixed = f"{root}/shards"  # of all splits
    placed = frame.repartitionById(sum(plan.values()), F.col("shard")).sortWithinPartitions(*order)
    written = [name for name in frame.columns if name != "shard" and not name.startswith("_")]
    write_parquet(files, placed.select(*written), mixed)
    first = 0
    for split, count in plan.items():
        directory = f"{root}/ratings/split={split}"
        files.make_directory(directory)
        for number in range(count):
            files.rename(f"{mixed}/part-{first + number:05d}.parquet", f"{directory}/part-{number:05d}.parquet")
        first += count
    files.delete(mixed)


def write_table(files: Files, frame: DataFrame, path: str, key: str, rows: int) -> None:
    """Write a feature table sorted by its index column `key`, in files of equal ranges of the index."""
    count = max(1, -(-rows // TABLE_FILE_ROWS))
    write_parquet(files, partition_by_range(frame, key, count * TABLE_FILE_ROWS, count), path)


def describe_files(
    spark: SparkSession, root: str, directory: str = "", one_group: bool = False
) -> tuple[DataFile, ...]:
    """Rows, bytes and digests of the Parquet files of `root/directory` and below; the executors read them.

    Args:
        spark: the session.
        root: what the files' paths are relative to.
        directory: below it; empty for `root` itself, of which only the files in it are described.
        one_group: whether each file must be a single row group.

    Raises:
        DamagedFileError: a file has other row groups than it must, or other rows than its footer says.

    """

    def relative(location: str) -> str:
        return location[location.rindex(f"/{directory}/" if directory else "/") + 1 :]

    path = f"{root}/{directory}" if directory else root
    parquet = {"pathGlobFilter": "*.parquet", "recursiveFileLookup": bool(directory)}
    binary = spark.read.format("binaryFile").options(**parquet).load(path)
    digests = binary.select("path", "length", F.sha2("content", 256).alias("sha256")).collect()
    counted = _counts_and_contents(spark.read.options(**parquet).parquet(path))
    contents = {relative(location): content for location, content in counted.items()}
    files, described = Files(spark), []
    for row in sorted(digests, key=lambda row: row["path"]):
        name = relative(row["path"])
        groups, rows = files.parquet_footer(row["path"])
        if one_group and groups != 1:
            raise DamagedFileError(f"{root}/{name} has {groups} row groups, not one: prepare with more shards")
        count, content = contents.get(name, (0, "0" * 16))
        if count != rows:
            raise DamagedFileError(f"{root}/{name}: {count} rows were read, its footer says {rows}: write it again")
        described.append(DataFile(path=name, rows=rows, bytes=row["length"], sha256=row["sha256"], content=content))
    return tuple(described)


def _counts_and_contents(frame: DataFrame) -> dict[str, tuple[int, str]]:
    """Path of a file -> (rows, digest of the rows in hex, which does not depend on their order)."""
    row_hash = F.xxhash64(*(F.col(f"`{name}`") for name in frame.columns))
    by_file = frame.groupBy(F.col("_metadata.file_path").alias("path"))
    counted = by_file.agg(F.bit_xor(row_hash).alias("hash"), F.count("*").alias("rows")).collect()
    return {row["path"]: (row["rows"], f"{row['hash'] & (1 << 64) - 1:016x}") for row in counted}
