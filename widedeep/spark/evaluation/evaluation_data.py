"""The prepared data that all systems are evaluated on."""

from dataclasses import dataclass
from functools import cached_property

from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.errors import InputError
from widedeep.evaluation.ranking_metrics import ItemFacts, Lists, item_facts
from widedeep.schema.manifest import Manifest
from widedeep.spark.filesystem import Files
from widedeep.spark.prepared_data import PreparedData


@dataclass(frozen=True)
class EvaluationData:
    """A prepared directory, as frames."""

    spark: SparkSession
    files: Files
    directory: str
    manifest: Manifest
    test: DataFrame  # user, item, rating
    seen: DataFrame  # user, item, split: the ratings of the other splits
    users: DataFrame  # user, user_id, train_ratings
    items: DataFrame  # item, item_id, train_ratings, genres (empty lists where the data has no genres)

    @property
    def relevant(self) -> DataFrame:
        """User and item of the test ratings that make an item relevant."""
        return self.test.where(F.col("rating") >= self.manifest.ratings.scale.liked).select("user", "item")

    @cached_property
    def item_facts(self) -> Broadcast[ItemFacts]:
        """What ranking metrics need to know about the items; sent to the executors on first use."""
        train_users = self.users.where("train_ratings > 0").count()
        genres = len(self.manifest.items.vocabularies.get("genres", ()))
        table = self.items.orderBy("item").select("train_ratings", "genres").toArrow().combine_chunks()
        lists = Lists.from_arrow(table["genres"].combine_chunks())
        facts = item_facts(table["train_ratings"].to_numpy(), train_users, lists, genres)
        return self.spark.sparkContext.broadcast(facts)

    def read_lists(self, path: str) -> DataFrame:
        """user_id, rank and item_id of the lists that a system wrote; InputError if a column is missing."""
        name = self.manifest.dataset.ids.item
        return self.read(path, "recommendations", ("user_id", "rank", name)).withColumnRenamed(name, "item_id")

    def read(self, path: str, kind: str, columns: tuple[str, ...]) -> DataFrame:
        """The columns of the Parquet files that a system wrote; InputError if one is missing."""
        frame = self.spark.read.parquet(path)
        missing = [name for name in columns if name not in frame.columns]
        if missing:
            raise InputError(f"{path} has no column {', '.join(missing)}: {kind} must have {list(columns)}")
        return frame.select(*columns)


def read_evaluation_data(spark: SparkSession, directory: str) -> EvaluationData:
    """Read a prepared directory; InputError if there is none, or if it has no test ratings."""
    data = PreparedData(spark, directory)
    manifest, items = data.manifest, data.items
    if not manifest.ratings.rows("test"):
        raise InputError(f"{directory} has no test ratings to evaluate on: prepare with split.test above 0")
    genres = F.col("genres") if "genres" in items.columns else F.array().cast("array<int>").alias("genres")
    return EvaluationData(
        spark=spark,
        files=data.files,
        directory=directory,
        manifest=manifest,
        test=data.ratings(["test"]).select("user", "item", "rating"),
        seen=data.ratings(["train", "valid"]).select("user", "item", "split"),
        users=data.users.select("user", "user_id", "train_ratings"),
        items=items.select("item", "item_id", "train_ratings", genres),
    )
