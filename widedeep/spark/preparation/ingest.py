"""The files of a data set -> typed rows, each with the reason to refuse it, or null.

Pure DataFrame -> DataFrame, except for `read_rows`. Nothing is dropped here: a bad row keeps its
content in `_row` and its fault in `_reason`, so that prepare can count it and quarantine it.
"""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StructType

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.schema.dataset import Dataset, Duplicates, EntityFile, Identifiers, RowFile, split_typed_name
from widedeep.schema.rating_scale import RatingScale
from widedeep.spark.filesystem import Files
from widedeep.spark.preparation.fields import column_named
from widedeep.spark.preparation.text_parsers import identifier, number, text_identifier

# Columns beside those of the file: the text of a row that could not be split, where a row stands, why it is refused,
# its text if it is, and the identifier of a user or an item.
CORRUPT, FILE, BLOCK, LINE, REASON, ROW, ID = "_corrupt", "_file", "_block", "_line", "_reason", "_row", "_identifier"
PLACE = (FILE, BLOCK, LINE)
# Of a row of items or users: how many rows of the file it holds, itself included; whether bytes of it were of another
# encoding.
LINES, REPLACED = "_lines", "_replaced"

OURS = {CORRUPT, FILE, BLOCK, LINE, REASON, ROW, ID, LINES, REPLACED}

# The reason of a refused row that is not damaged: an item in a user's list without a score.
UNSCORED_REASON = "unscored"

# The reason of a row in whose text other rows stand, because a quote is missing.
UNCLOSED_QUOTE = "unclosed_quote"

# What stands for bytes that are no character of the encoding.
REPLACEMENT = "\ufffd"

# The fault of identifiers that are texts.
UNREADABLE = "missing_or_of_another_encoding"

# Ratings nearer than this to a whole number of steps are on the scale, as 0.1 has no exact double.
STEP_TOLERANCE = 1e-6

# Characters of a list of columns in a message.
LONGEST_LIST = 300

# From here on a time is one of milliseconds since 1970: as seconds, it would be in the year 5138.
MILLISECONDS = 1e11


def read_rows(spark: SparkSession, files: Files, path: str, described: RowFile, required: Sequence[str]) -> DataFrame:
    """Read a file, a directory of parts, or the files that a pattern matches, as strings.

    Args:
        spark: the session.
        files: the file system.
        path: where it is.
        described: how it is read.
        required: columns that it must have.

    Returns:
        CSV: all columns of the header; other formats: the required ones, lists and structures as JSON. `_corrupt` holds
        the raw text of rows that could not be split, of CSV those of wrong arity. `_file`, `_block` and `_line` order
        the rows as the file does.

    Raises:
        InputError: the file or one of the required columns is missing.

    """
    entries = files.data_entries(path)
    if not entries:
        raise InputError(
            f"input file {path} does not exist: give the directory of the data set to --input and its description to "
            "--dataset"
        )
    parts = [part for part, size, _ in entries if size]
    if not parts:
        raise InputError(f"input file {path} is empty: download it again, or make it again")
    for part in parts if described.format != "parquet" else ():
        if not files.ends_with_newline(part):
            log.warning("%s does not end with a newline: if its download was cut off, get it again", part)
    # Spark logs a stack trace for each pattern.
    paths = parts if set(path) & set("*?[{") else [path]
    if described.format == "csv":
        header = _header(files, parts, described)
        split_at = f"its header, split at {described.delimiter!r},"
        _require_columns(path, [split_typed_name(name)[0] for name in header], required, split_at)
        frame = _read_csv(spark, paths, described, header)
    elif described.format == "jsonl":
        _require_columns(path, _keys(files.head(parts[0], described.encoding), required), required)
        frame = _read_json(spark, paths, described, required)
    else:
        frame = _read_parquet(spark, paths, path, required)
    return frame.select(
        "*",
        F.col("_metadata.file_name").alias(FILE),
        F.col("_metadata.file_block_start").alias(BLOCK),
        F.monotonically_increasing_id().alias(LINE),
    ).drop("_metadata")


def _header(files: Files, parts: Sequence[str], described: RowFile) -> list[str]:
    """The names of the columns of CSV files; InputError if they are not the same in all of them."""
    if described.header:
        return list(described.header)
    try:
        first, *others = (_split(files.first_line(part, described.encoding), described.delimiter) for part in parts)
    except csv.Error as error:
        raise InputError(f"input file {parts[0]}: its first line is no header of CSV ({error})") from None
    for part, names in zip(parts[1:], others, strict=True):
        if names != first:
            raise InputError(
                f"input file {part}: its header has {_shown(names)} and that of {parts[0]} {_shown(first)}: give all "
                "parts the same columns in the same order"
            )
    return first


def _split(line: str, delimiter: str) -> list[str]:
    """The columns of a line of CSV."""
    return line.split(delimiter) if len(delimiter) > 1 else next(csv.reader([line], delimiter=delimiter), [])


def _shown(names: Sequence[str]) -> str:
    """Names of columns for a message, which is to stay short even if they are no names but binary data."""
    text = str(list(names))
    return text if len(text) <= LONGEST_LIST else f"{text[:LONGEST_LIST]}…"


def _read_csv(spark: SparkSession, paths: list[str], described: RowFile, header: Sequence[str]) -> DataFrame:
    schema = StructType()
    for name in [*header, CORRUPT]:
        schema = schema.add(name, "string")
    reader = spark.read.schema(schema).option("header", not described.header).option("escape", '"')
    reader = reader.option("sep", described.delimiter).option("quote", described.quote)
    reader = reader.option("encoding", described.encoding).option("multiLine", described.multi_line)
    # A part with other columns than the first must fail, not be read by position.
    reader = reader.option("enforceSchema", False).option("columnNameOfCorruptRecord", CORRUPT)
    columns = (column_named(name).alias(split_typed_name(name)[0]) for name in header)
    return reader.csv(paths).select(*columns, CORRUPT, "_metadata")


def _keys(head: str, otherwise: Sequence[str]) -> list[str]:
    """The keys of the first lines of a JSON file; if none of them is JSON, `otherwise`: each is a bad row then."""
    keys: dict[str, None] = {}
    for line in head.splitlines():
        with suppress(json.JSONDecodeError):  # bad rows are counted later; the last line may be cut off
            row = json.loads(line)
            keys |= dict.fromkeys(row) if isinstance(row, dict) else {}
    return list(keys) or list(otherwise)


def _read_json(spark: SparkSession, paths: list[str], described: RowFile, required: Sequence[str]) -> DataFrame:
    schema = StructType()
    for name in [*required, CORRUPT]:
        schema = schema.add(name, "string")
    reader = spark.read.schema(schema).option("encoding", described.encoding).option("lineSep", "\n")
    return reader.option("columnNameOfCorruptRecord", CORRUPT).json(paths).select("*", "_metadata")


def _read_parquet(spark: SparkSession, paths: list[str], path: str, required: Sequence[str]) -> DataFrame:
    try:
        frame = spark.read.parquet(*paths)
    except (PySparkException, Py4JJavaError) as error:
        raise InputError(
            f"input file {path} cannot be read as Parquet: write it again, or give its format in the description"
        ) from error
    _require_columns(path, frame.columns, required)
    types = {field.name: field.dataType for field in frame.schema.fields}
    columns = []
    for name in required:
        column, nested = column_named(name), isinstance(types[name], (ArrayType, MapType, StructType))
        columns.append((F.to_json(column) if nested else column.cast("string")).alias(name))
    return frame.select(*columns, F.lit(None).cast("string").alias(CORRUPT), "_metadata")


def _require_columns(path: str, names: Sequence[str], required: Sequence[str], where: str = "it") -> None:
    if len({name.lower() for name in names}) < len(names):  # to Spark, rating and Rating are one
        raise InputError(f"input file {path}: {where} has the same column twice: {_shown(names)}; rename one")
    if taken := sorted(OURS.intersection(map(str.lower, names))):
        raise InputError(f"input file {path}: {where} has {taken}, which are names of our own: rename them")
    missing = [name for name in required if name not in names]
    if missing:
        raise InputError(
            f"input file {path}: column(s) {missing} missing; {where} has {_shown(names)}: "
            "give the --dataset that describes this file, or mend its description"
        )


def first_reason(faults: Mapping[str, Column]) -> Column:
    """The name of the first fault that is true of a row, or null."""
    return F.coalesce(*(F.when(fault, F.lit(name)) for name, fault in faults.items()))


def file_columns(raw: DataFrame) -> list[str]:
    """The file's own columns of a frame from `read_rows`."""
    return [name for name in raw.columns if name not in (CORRUPT, *PLACE)]


def row_content(frame: DataFrame) -> Column:
    """The row as CSV text, for quarantine: the raw text if it could not be split, else its columns joined again."""
    return F.coalesce(F.col(CORRUPT), F.to_csv(F.struct(*map(column_named, file_columns(frame)))))


def typed_ratings(raw: DataFrame, items: DataFrame | None, dataset: Dataset, scale: RatingScale) -> DataFrame:
    """Type the ratings, look up their items and find their faults.

    Args:
        raw: from `read_rows`.
        items: item_id and item of the known items, broadcast to every task; None: all items are known, without `item`.
        dataset: says which column is what.
        scale: of the ratings. Marks of entries without a score are refused as `unscored`, if the scale is above them;
            else they are ratings of its lowest.

    Returns:
        user_id, item_id, item:int, rating:float, time:double (seconds since 1970, null without times), _reason, _row
        (bad rows only), _file, _block, _line.

    """
    described = dataset.ratings
    to_id, id_fault = (identifier, "not_a_number") if dataset.ids.type == "number" else (text_identifier, UNREADABLE)
    typed = raw.withColumn("_user", to_id(column_named(described.user)))
    typed = typed.withColumn("_item", to_id(column_named(described.item)))
    rating = F.lit(1.0) if described.rating is None else number(column_named(described.rating))
    typed = typed.withColumn("_value", rating)
    # The join comes first, so that Spark computes the reasons and the costly text of bad rows once, above it.
    if items is None:
        frame = typed.withColumn("_index", F.lit(None).cast("int"))
    else:
        known = items.select(F.col("item_id").alias("_known_id"), F.col("item").alias("_index"))
        frame = typed.join(F.broadcast(known), on=F.col("_item") == F.col("_known_id"), how="left")
    value, time = F.col("_value"), _seconds(described.time)
    unscored = value.isin(*described.unscored)
    if scale.lowest in described.unscored:
        value, unscored = F.when(unscored, scale.lowest).otherwise(value), F.lit(False)
    steps = (value - scale.lowest) / scale.step
    faults = {
        "wrong_arity": F.col(CORRUPT).isNotNull(),
        f"user_id_{id_fault}": F.col("_user").isNull(),
        f"item_id_{id_fault}": F.col("_item").isNull(),
        "rating_not_a_number": value.isNull(),
        UNSCORED_REASON: unscored,
        "rating_out_of_range": ~value.between(scale.lowest, scale.highest),
        "rating_between_steps": F.abs(steps - F.rint(steps)) > STEP_TOLERANCE,
        "time_not_understood": time.isNull() if described.time else F.lit(False),
        "unknown_item": F.lit(False) if items is None else F.col("_index").isNull(),
    }
    reason = first_reason(faults)
    return frame.select(
        F.col("_user").alias("user_id"),
        F.col("_item").alias("item_id"),
        F.col("_index").alias("item"),
        value.cast("float").alias("rating"),
        time.alias("time"),
        reason.alias(REASON),
        F.when(reason.isNotNull(), row_content(raw)).alias(ROW),
        *PLACE,
    )


def _seconds(name: str | None) -> Column:
    """Seconds since 1970 of a column of times, null where it is not understood."""
    if name is None:
        return F.lit(None).cast("double")
    text = column_named(name)
    given = number(text)
    seconds = F.when(F.abs(given) < MILLISECONDS, given).otherwise(given / 1000)
    return F.coalesce(seconds, text.try_cast("timestamp").cast("double"))


def repeated_pairs(good: DataFrame, partitions: int) -> DataFrame:
    """`pair`: the hashes of the (user, item) pairs that occur more than once.

    Only a hash of each pair is shuffled. Different pairs may share a hash by chance: `copies` tells them apart.

    Args:
        good: user_id, item_id.
        partitions: enough that the pairs of one can be counted in memory.

    """
    # Shuffled first: counting before the shuffle would merge next to nothing and fill the memory.
    shuffled = good.select(_pair().alias("pair")).repartition(partitions, "pair")
    return shuffled.groupBy("pair").agg(F.count("*").alias("n")).where("n > 1").select("pair")


def copies(good: DataFrame, repeated: DataFrame, kept: Duplicates, scale: RatingScale) -> DataFrame:
    """All rows of the `repeated_pairs`, with `copy`: 1 for the one that counts, 2 and more for the others.

    Args:
        good: user_id, item_id, rating, time and the place of each row.
        repeated: from `repeated_pairs`.
        kept: which one counts, `first` or `last` by time and then by place; `mean`: the first one, with the mean rating
            of the pair, rounded to the nearest step.
        scale: of the ratings.

    """
    places = [F.col(name) for name in ("time", *PLACE)]
    order = [place.desc() if kept == "last" else place.asc() for place in places]
    pair = Window.partitionBy("user_id", "item_id")
    rows = good.withColumn("pair", _pair()).join(repeated, on="pair", how="left_semi").drop("pair")
    rows = rows.withColumn("copy", F.row_number().over(pair.orderBy(*order)))
    if kept != "mean":
        return rows
    # Not `rint`: halves are rounded up.
    steps = F.round((F.avg("rating").over(pair) - scale.lowest) / scale.step)
    mean = (scale.lowest + steps * scale.step).cast("float")
    return rows.withColumn("rating", F.when(F.col("copy") == 1, mean).otherwise(F.col("rating")))


def without_pairs(good: DataFrame, repeated: DataFrame) -> DataFrame:
    """The rows of all pairs that are not in `repeated`."""
    return good.withColumn("pair", _pair()).join(repeated, on="pair", how="left_anti").drop("pair")


def _pair() -> Column:
    return F.xxhash64("user_id", "item_id")


def entity_rows(raw: DataFrame, file: EntityFile, columns: Sequence[str], ids: Identifiers) -> DataFrame:
    """Check the rows of the users' or the items' file.

    Args:
        raw: from `read_rows`.
        file: how it was read.
        columns: the columns to keep, as text.
        ids: what identifiers are.

    Returns:
        _identifier (bigint or string), the columns, _reason, _row (bad rows only), _file, _lines (int), _replaced
        (boolean).

    """
    to_id, fault = (identifier, "id_not_a_number") if ids.type == "number" else (text_identifier, f"id_{UNREADABLE}")
    frame = raw.withColumn(ID, to_id(column_named(file.id))).withColumn(LINES, 1 + _swallowed_rows(raw, file, ids))
    order = Window.partitionBy(ID).orderBy(*PLACE)
    reason = first_reason(
        {
            UNCLOSED_QUOTE: F.col(LINES) > 1,
            "wrong_arity": F.col(CORRUPT).isNotNull(),
            fault: F.col(ID).isNull(),
            "duplicate_id": F.row_number().over(order) > 1,
        }
    )
    marked = frame.withColumn(REASON, reason)
    marked = marked.withColumn(ROW, F.when(F.col(REASON).isNotNull(), row_content(raw)))
    replaced = F.contains(F.concat_ws("", *map(column_named, columns or file_columns(raw))), F.lit(REPLACEMENT))
    return marked.select(ID, *map(column_named, columns), REASON, ROW, FILE, LINES, replaced.alias(REPLACED))


def _swallowed_rows(raw: DataFrame, file: EntityFile, ids: Identifiers) -> Column:
    """How many lines inside the texts of a row look like rows: as many columns or more, an identifier where it belongs.

    A quote that is missing or too many lets a text go on to the next quote, thousands of rows later.
    """
    names = file_columns(raw)
    delimiters, before = len(names) - 1, names.index(file.id)
    # With texts as identifiers and few columns, a line of a synopsis looks like a row.
    if file.format != "csv" or not file.multi_line or (ids.type == "text" and delimiters < 4):
        return F.lit(0)
    comma = re.escape(file.delimiter)
    cell = f"(?:(?!{comma})[^\\n])*{comma}"
    id_cell = rf"\s*\d+(?:\.0)?{comma}" if ids.type == "number" and before < delimiters else cell
    row = rf"\n(?:{cell}){{{before}}}{id_cell}(?:{cell}){{{max(delimiters - before - 1, 0)}}}"
    text = F.coalesce(F.col(CORRUPT), F.concat_ws(" ", *map(column_named, names)))
    return F.regexp_count(text, F.lit(row))


def rows_of_ids(raw: DataFrame, dataset: Dataset, scale: RatingScale, column: str) -> DataFrame:
    """The rows of `entity_rows` where there is no file of users or items: those of the good ratings, each once.

    Args:
        raw: the ratings, from `read_rows`.
        dataset: says which column is what.
        scale: of the ratings.
        column: user_id or item_id.

    """
    nothing = F.lit(None).cast("string")
    good = typed_ratings(raw, None, dataset, scale).where(F.col(REASON).isNull())
    ids = good.select(F.col(column).alias(ID)).distinct()
    return ids.select(ID, *(nothing.alias(name) for name in (REASON, ROW, FILE)))
