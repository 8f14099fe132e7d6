"""The rules for lists, from tables that only Spark may be able to read."""

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from widedeep.config.score import ScoreConfig
from widedeep.data.feature_tables import FeatureTable
from widedeep.schema.manifest import Manifest
from widedeep.scoring.list_rules import ListRules, make_rules, sample_step


class SparkItems(FeatureTable):
    """The items of a prepared directory, read by Spark from wherever it is."""

    def __init__(self, spark: SparkSession, data: str, manifest: Manifest):
        super().__init__(data, "items", manifest.items)
        self._frame = spark.read.parquet(f"{data}/items")

    def read(self, name: str) -> pa.ChunkedArray:
        """Return a column in the order of the item indexes."""
        return self._frame.select("item", name).orderBy("item").toArrow()[name]


def read_rules(spark: SparkSession, config: ScoreConfig, prepared: Manifest) -> ListRules | None:
    """Return the rules that the settings ask for; None if they ask for none."""

    def sample() -> tuple[np.ndarray, np.ndarray]:
        ratings = spark.read.parquet(f"{config.data}/ratings").where("split = 'train'")
        rows = ratings.where(F.col("user") % sample_step(prepared.users.rows) == 0).select("user", "item").toArrow()
        return rows["user"].to_numpy(), rows["item"].to_numpy()

    return make_rules(config.rerank, SparkItems(spark, config.data, prepared), sample)
