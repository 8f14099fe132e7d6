"""Parquet files made for their readers: exact sizes, one row group each, plain names, digests."""

import hashlib
from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.errors import InputError
from widedeep.schema.manifest import DataFile
from widedeep.spark.filesystem import Files

# petastorm holds three row groups at a time: of this size they are 20 MB, at any number of ratings.
TARGET_ROWS = 1 << 19
DEFAULT_SHARDS = 8  # deals equally to 1, 2, 4 and 8 ranks
ROW_GROUP_BYTES = 1 << 27  # above any shard of TARGET_ROWS, so that each is one row group
TABLE_FILE_ROWS = 1 << 20


def plan_shards(rows: Mapping[str, int], ranks: int, shards: int | None) -> dict[str, int]:
    """Split -> number of files, each a multiple of the ranks and none of them without rows.

    Raises:
        InputError: a split has fewer rows than ranks (or than the shards asked for).

    """
    base = ranks if ranks > 1 else DEFAULT_SHARDS
    plan = {}
    for split, count in rows.items():
        wanted = shards if shards and split == "train" else base * -(-count // (base * TARGET_ROWS))
        if count < wanted and not (shards and split == "train"):
            wanted = max(count // ranks, 1) * ranks
        if 0 < count < wanted:
            raise InputError(f"split {split} has {count} ratings, too few for {wanted} shards: lower shards or ranks")
        plan[split] = wanted if count else 0
    return plan


def write_exactly(frame: DataFrame, path: str, shard: str, count: int, order: list[str]) -> None:
    """Write rows to `count` Parquet files by their `shard` column, each sorted by `order`, of one row group.

    Args:
        frame: the rows; `shard` itself and columns that begin with `_` are not written.
        path: directory to write; the order of its files is that of the shards.
        shard: int column, 0 … count - 1, each with a row at least.
        count: number of files.
        order: columns the rows of a file are sorted by; a single long is fastest.

    """
    placed = frame.repartitionById(count, F.col(shard)).sortWithinPartitions(*order)
    columns = [c for c in frame.columns if c != shard and not c.startswith("_")]
    writer = placed.select(*columns).write.mode("overwrite").option("parquet.block.size", ROW_GROUP_BYTES)
    writer.option("compression", "zstd").option("maxRecordsPerFile", 0).parquet(path)


def name_plainly(files: Files, directory: str) -> list[str]:
    """Rename Spark's files to part-00000.parquet, … in order; return their names."""
    names = [name for name, _, _ in files.entries(directory) if name.endswith(".parquet")]
    plain = [f"part-{number:05d}.parquet" for number in range(len(names))]
    for old, new in zip(names, plain, strict=True):
        if old != new:
            files.rename(f"{directory}/{old}", f"{directory}/{new}")
    return plain


def describe(spark: SparkSession, root: str, directory: str, one_group: bool = True) -> tuple[DataFile, ...]:
    """Rows, bytes and digests of the Parquet files of `root/directory`; the executors read them.

    Args:
        spark: the session.
        root: what the files' paths are relative to.
        directory: below it; empty for `root` itself.
        one_group: whether each file must be a single row group.
    """
    path = f"{root}/{directory}" if directory else root
    binary = spark.read.format("binaryFile").option("pathGlobFilter", "*.parquet").load(path)
    digests = {r["path"]: r for r in binary.select("path", "length", F.sha2("content", 256).alias("sha256")).collect()}
    frame = spark.read.parquet(path)
    row_hash = F.xxhash64(*(F.col(f"`{name}`") for name in frame.columns))
    by_file = frame.groupBy(F.col("_metadata.file_name").alias("name"))
    contents = by_file.agg(F.bit_xor(row_hash).alias("hash"), F.count("*").alias("rows")).collect()
    content = {r["name"]: (r["rows"], f"{r['hash'] & (1 << 64) - 1:016x}") for r in contents}
    files, found = Files(spark), []
    for location, row in sorted(digests.items()):
        name = location.rsplit("/", 1)[1]
        groups, rows = files.parquet_footer(location)
        assert groups == 1 or not one_group, f"{directory}/{name} has {groups} row groups, not one"
        counted, digest = content.get(name, (0, "0" * 16))
        assert counted == rows, f"{directory}/{name}: {counted} rows were read, its footer says {rows}"
        place = f"{directory}/{name}" if directory else name
        found.append(DataFile(path=place, rows=rows, bytes=row["length"], sha256=row["sha256"], content=digest))
    return tuple(found)


def digest_of(*groups: tuple[DataFile, ...]) -> str:
    """One digest that stands for the content of all files."""
    lines = sorted(f"{file.content} {file.rows} {file.path}" for group in groups for file in group)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_table(frame: DataFrame, path: str, key: str, rows: int) -> None:
    """Write a feature table sorted by its position column `key`, in files of equal position ranges."""
    count = max(1, -(-rows // TABLE_FILE_ROWS))
    write_exactly(frame.withColumn("_shard", F.expr(f"int({key} div {TABLE_FILE_ROWS})")), path, "_shard", count, [key])
