"""Vocabularies of categories and multi-valued columns, fitted on the users or items of the training split."""

from collections.abc import Mapping, Sequence
from functools import partial

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from widedeep.schema.manifest import RESERVED_VALUES
from widedeep.spark.preparation.text_parsers import literal_map


def fit_vocabularies(
    table: DataFrame,
    categories: Sequence[str],
    multi_hot: Sequence[str],
    limits: Mapping[str, int],
    min_count: int,
) -> dict[str, tuple[str, ...]]:
    """The values of each column among the trained users or items, most frequent first; one pass for all columns.

    Args:
        table: rows with `train_ratings`; categories are strings, multi-valued columns arrays of strings.
        categories: their vocabularies begin with unknown and other.
        multi_hot: multi-valued columns; their vocabularies have neither.
        limits: column -> how many values at most.
        min_count: a value of a multi-valued column of fewer users or items is left out.

    """
    columns = [F.array(_field_value(name, F.col(name))) for name in categories]
    columns += [F.transform(name, partial(_field_value, name)) for name in multi_hot]
    if not columns:
        return {}
    pairs = table.where("train_ratings > 0").select(F.explode(F.concat(*columns)).alias("pair")).select("pair.*")
    counts = pairs.where("value IS NOT NULL").groupBy("field", "value").count()
    # Only the most frequent values come to the driver: texts that users write themselves can be millions.
    place = F.row_number().over(Window.partitionBy("field").orderBy(F.desc("count"), "value"))
    limit = F.coalesce(literal_map(limits)[F.col("field")], F.lit(2**31 - 1))
    kept = counts.where((F.col("count") >= min_count) | F.col("field").isin(*categories))
    rows = kept.withColumn("place", place).where(F.col("place") <= limit).collect()
    rows.sort(key=lambda row: row["place"])
    values = {name: tuple(row["value"] for row in rows if row["field"] == name) for name in (*categories, *multi_hot)}
    return {name: RESERVED_VALUES + values[name] if name in categories else values[name] for name in values}


def _field_value(name: str, value: Column) -> Column:
    return F.struct(F.lit(name).alias("field"), value.alias("value"))


def category_ids(name: str, vocabulary: Sequence[str]) -> Column:
    """A category as its int32 category id: 0 if it is missing, 1 if the vocabulary lacks it."""
    known = {value: number for number, value in enumerate(vocabulary) if number >= 2}
    known_id = F.coalesce(literal_map(known)[F.col(name)], F.lit(1))
    return F.when(F.col(name).isNull(), 0).otherwise(known_id).cast("int").alias(name)


def category_id_list(name: str, vocabulary: Sequence[str]) -> Column:
    """A multi-valued column as the sorted category ids of its known values: a list of int32."""
    table = literal_map({value: number for number, value in enumerate(vocabulary)})
    ids = F.transform(F.col(name), lambda value: table[value])
    return F.array_sort(F.filter(ids, lambda known_id: known_id.isNotNull())).cast("array<int>").alias(name)
