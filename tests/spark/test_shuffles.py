"""How shuffles are set for the size of an input."""

from pyspark import SparkConf

from widedeep.spark.session import SHUFFLE_BYTES, SMALL_BYTES, shuffles_for

NAMES = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.enabled")


def settings(spark) -> list[str]:
    return [spark.conf.get(name) for name in NAMES]


def test_a_small_input_has_few_partitions_and_is_planned_once(spark, monkeypatch):
    monkeypatch.setattr(type(spark.sparkContext), "getConf", lambda _: SparkConf(loadDefaults=False))
    before, cores = settings(spark), spark.sparkContext.defaultParallelism
    with shuffles_for(spark, 1):
        assert settings(spark) == [str(cores), "false"]
    with shuffles_for(spark, SHUFFLE_BYTES + 1):
        assert settings(spark) == [str(max(2, cores)), "false"]
    with shuffles_for(spark, SMALL_BYTES):
        assert settings(spark) == before
    assert settings(spark) == before


def test_what_spark_was_told_wins(spark):
    """The session of the tests was told a number of partitions."""
    told = spark.sparkContext.getConf().get(NAMES[0])
    with shuffles_for(spark, 1):
        assert settings(spark) == [told, "false"]
