"""Use once what the jobs use of Spark, for setup.sh to let Java archive the classes that this loads."""

import tempfile

from pyspark.sql import Window
from pyspark.sql import functions as F

from widedeep.spark.session import build_session


def main() -> None:
    """Read and write, join, group, sort and number a few rows."""
    spark = build_session("classes")
    with tempfile.TemporaryDirectory() as folder:
        numbers = spark.range(100).select("id", F.col("id").cast("string").alias("text"))
        numbers.write.option("header", True).csv(f"{folder}/csv")
        read = spark.read.option("header", True).schema("id string, text string").csv(f"{folder}/csv")
        parsed = read.select(F.when(F.col("text").rlike(r"^\d+$"), F.col("text").cast("bigint")).alias("id"), "text")
        counted = parsed.groupBy("id").agg(F.count("*").alias("n"), F.collect_list("text").alias("texts"))
        joined = counted.join(F.broadcast(numbers), on="id").join(
            parsed.hint("merge").drop("text"), on="id", how="left"
        )
        placed = joined.withColumn("place", F.row_number().over(Window.partitionBy("n").orderBy("id")))
        placed.repartition(2, "id").sortWithinPartitions("id").write.parquet(f"{folder}/parquet")
        spark.read.parquet(f"{folder}/parquet").mapInArrow(lambda batches: batches, placed.schema).toArrow()
    spark.stop()


if __name__ == "__main__":
    main()
