"""The rules for lists, from tables that only Spark may be able to read."""

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from widedeep.config.score import ScoreConfig
from widedeep.data.feature_tables import FeatureTable
from widedeep.scoring.list_rules import ListRules, make_rules, sample_step
from widedeep.spark.prepared_data import PreparedData


class SparkItems(FeatureTable):
    """The items of a prepared directory, read by Spark from wherever it is."""

    def __init__(self, data: PreparedData):
        super().__init__(data.directory, "items", data.manifest.items)
        self._frame = data.items

    def read(self, name: str) -> pa.ChunkedArray:
        """Return a column in the order of the item indexes."""
        return self._frame.select("item", name).orderBy("item").toArrow()[name]


def read_rules(config: ScoreConfig, data: PreparedData) -> ListRules | None:
    """Return the rules that the settings ask for; None if they ask for none."""

    def sample() -> tuple[np.ndarray, np.ndarray]:
        step = sample_step(data.manifest.users.rows)
        rows = data.ratings(["train"]).where(F.col("user") % step == 0).select("user", "item").toArrow()
        return rows["user"].to_numpy(), rows["item"].to_numpy()

    return make_rules(config.rerank, SparkItems(data), sample)
