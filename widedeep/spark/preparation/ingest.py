"""The three CSV files -> typed rows, each with the reason to refuse it, or null.

Pure DataFrame -> DataFrame, except for `read_csv`. Nothing is dropped here: a bad row keeps its
content in `row` and its fault in `reason`, so that prepare can count it and quarantine it.
"""

import csv
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from widedeep.common.errors import InputError
from widedeep.config.prepare import RatingsConfig
from widedeep.schema.manifest import UNSCORED
from widedeep.spark.filesystem import Files
from widedeep.spark.preparation.text_parsers import identifier, number

CORRUPT = "_corrupt"

# The reason of a refused row that is not damaged: an anime in a user's list without a score.
UNSCORED_REASON = "unscored"

# Ratings nearer than this to a whole number of steps are on the scale, as 0.1 has no exact double.
STEP_TOLERANCE = 1e-6

RATING_COLUMNS = ("user_id", "anime_id", "rating")


def read_csv(
    spark: SparkSession, files: Files, path: str, required: Sequence[str], multi_line: bool = False
) -> DataFrame:
    """Read a CSV file, or a directory of parts with a header each, as strings.

    Returns:
        All columns of the header as strings; `_corrupt` holds the raw text of rows of wrong arity;
        `file`, `block` and `line` order the rows as the file does.

    Raises:
        InputError: the file or one of the required columns is missing.

    """
    if not files.exists(path):
        raise InputError(f"input file {path} does not exist: give the dump's directory to --input")
    parts = [name for name, size, _ in files.data_entries(path) if size]
    if not parts:
        raise InputError(f"input file {path} is empty: download or synthesize the dump again")
    first = path if path.rstrip("/").endswith(parts[0]) else f"{path}/{parts[0]}"
    header = next(csv.reader([files.first_line(first)]), [])
    missing = [name for name in required if name not in header]
    if missing:
        raise InputError(f"input file {path}: column(s) {missing} missing; its header has {header}")
    schema = ", ".join(f"`{name}` STRING" for name in [*header, CORRUPT])
    reader = spark.read.schema(schema).option("header", True).option("escape", '"').option("multiLine", multi_line)
    # A part with other columns than the first must fail, not be read by position.
    reader = reader.option("enforceSchema", False).option("columnNameOfCorruptRecord", CORRUPT)
    return reader.csv(path).select(
        "*",
        F.col("_metadata.file_name").alias("file"),
        F.col("_metadata.file_block_start").alias("block"),
        F.monotonically_increasing_id().alias("line"),
    )


def first_reason(faults: Mapping[str, Column]) -> Column:
    """The name of the first fault that is true of a row, or null."""
    return F.coalesce(*(F.when(fault, F.lit(name)) for name, fault in faults.items()))


def dump_columns(raw: DataFrame) -> list[str]:
    """The dump's own columns of a frame from `read_csv`."""
    return [name for name in raw.columns if name not in (CORRUPT, "file", "block", "line")]


def row_content(frame: DataFrame) -> Column:
    """The row as CSV text, for quarantine: the raw text if it could not be split, else its columns joined again."""
    return F.coalesce(F.col(CORRUPT), F.to_csv(F.struct(*(F.col(f"`{name}`") for name in dump_columns(frame)))))


def typed_ratings(raw: DataFrame, anime: DataFrame, config: RatingsConfig) -> DataFrame:
    """Type the ratings, look up their anime and find their faults.

    Args:
        raw: from `read_csv`.
        anime: anime_id and item of the known anime; broadcast to every task.
        config: the scale, and whether entries without a score are ratings of 0 or refused as `unscored`.

    Returns:
        user_id:bigint, anime_id:bigint, item:int, rating:float, reason, row (bad rows only), file, block, line.

    """
    known = anime.select(F.col("anime_id").alias("_known_id"), "item")
    typed = raw.withColumn("_user", identifier(F.col("user_id")))
    typed = typed.withColumn("_anime", identifier(F.col("anime_id"))).withColumn("_value", number(F.col("rating")))
    # The join comes first, so that Spark computes the reasons and the costly text of bad rows once, above it.
    frame = typed.join(F.broadcast(known), on=F.col("_anime") == F.col("_known_id"), how="left")
    value = F.col("_value")
    unscored = value.isin(*(float(mark) for mark in UNSCORED))
    if config.unscored == "zero":
        value, unscored = F.when(unscored, float(UNSCORED[0])).otherwise(value), F.lit(False)
    scale = config.scale
    steps = (value - scale.lowest) / scale.step
    reason = first_reason(
        {
            "wrong_arity": F.col(CORRUPT).isNotNull(),
            "user_id_not_a_number": F.col("_user").isNull(),
            "anime_id_not_a_number": F.col("_anime").isNull(),
            "rating_not_a_number": value.isNull(),
            UNSCORED_REASON: unscored,
            "rating_out_of_range": ~value.between(scale.lowest, scale.highest),
            "rating_between_steps": F.abs(steps - F.round(steps)) > STEP_TOLERANCE,
            "unknown_anime": F.col("item").isNull(),
        }
    )
    return frame.select(
        F.col("_user").alias("user_id"),
        F.col("_anime").alias("anime_id"),
        "item",
        value.cast("float").alias("rating"),
        reason.alias("reason"),
        F.when(reason.isNotNull(), row_content(raw)).alias("row"),
        "file",
        "block",
        "line",
    )


def repeated_pairs(good: DataFrame, partitions: int) -> DataFrame:
    """`pair`: the hashes of the (user, anime) pairs that occur more than once.

    Only a hash of each pair is shuffled. Different pairs may share a hash by chance: `copies` tells them apart.

    Args:
        good: user_id, anime_id.
        partitions: enough that the pairs of one can be counted in memory.

    """
    # Shuffled first: counting before the shuffle would merge next to nothing and fill the memory.
    shuffled = good.select(_pair().alias("pair")).repartition(partitions, "pair")
    return shuffled.groupBy("pair").agg(F.count("*").alias("n")).where("n > 1").select("pair")


def copies(good: DataFrame, repeated: DataFrame) -> DataFrame:
    """All rows of the `repeated_pairs`, with `copy`: 1 for the first of a pair in file order, 2 for the second."""
    order = Window.partitionBy("user_id", "anime_id").orderBy("file", "block", "line")
    rows = good.withColumn("pair", _pair()).join(repeated, on="pair", how="left_semi").drop("pair")
    return rows.withColumn("copy", F.row_number().over(order))


def without_pairs(good: DataFrame, repeated: DataFrame) -> DataFrame:
    """The rows of all pairs that are not in `repeated`."""
    return good.withColumn("pair", _pair()).join(repeated, on="pair", how="left_anti").drop("pair")


def _pair() -> Column:
    return F.xxhash64("user_id", "anime_id")


def entity_rows(raw: DataFrame, key: str, columns: Sequence[str]) -> DataFrame:
    """Check the rows of the users' or the anime's file.

    Args:
        raw: from `read_csv`.
        key: the column of identifiers.
        columns: further columns to keep, as text.

    Returns:
        id:bigint, the columns, reason, row (bad rows only), file.

    """
    frame = raw.withColumn("id", identifier(F.col(f"`{key}`")))
    order = Window.partitionBy("id").orderBy("file", "block", "line")
    reason = first_reason(
        {
            "wrong_arity": F.col(CORRUPT).isNotNull(),
            "id_not_a_number": F.col("id").isNull(),
            "duplicate_id": F.row_number().over(order) > 1,
        }
    )
    marked = frame.withColumn("reason", reason)
    marked = marked.withColumn("row", F.when(F.col("reason").isNotNull(), row_content(raw)))
    return marked.select("id", *(F.col(f"`{name}`").alias(name) for name in columns), "reason", "row", "file")
