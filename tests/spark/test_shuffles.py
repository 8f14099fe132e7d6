"""How many tasks work is cut into, how shuffles are set for the size of an input, and what runs beside something."""

from types import SimpleNamespace

import pytest
from pyspark import SparkConf

from widedeep.spark.partitioning import task_count
from widedeep.spark.session import SHUFFLE_BYTES, SMALL_BYTES, beside, shuffles_for

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


@pytest.mark.parametrize(
    ("cores", "rows", "tasks"),
    [
        (2, 0, 1),
        (2, 99, 1),  # less than two of the smallest
        (2, 350, 3),
        (2, 1000, 4),  # two for each core
        (16, 8800, 32),
        (16, 880, 8),  # a multiple of the cores would make them too small
        (2, 4500, 6),  # five of the largest, and one more: the last would else run alone
        (2, 6000, 6),
    ],
)
def test_tasks_are_neither_small_nor_large_and_keep_all_cores_busy(cores, rows, tasks):
    machine = SimpleNamespace(sparkContext=SimpleNamespace(defaultParallelism=cores))
    assert task_count(machine, rows, 100, 1000) == tasks


def test_what_runs_beside_a_block_has_ended_with_it_and_its_error_is_a_warning(caplog):
    done = []
    with beside(lambda: done.append("step")):
        done.append("block")
    assert sorted(done) == ["block", "step"]

    def fail() -> None:
        raise ValueError("no worker left")

    with beside(fail):
        pass
    assert "no worker left" in caplog.text
    with pytest.raises(KeyError), beside(fail):
        raise KeyError
