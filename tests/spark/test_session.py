"""Sessions: what Python workers of Spark get from them."""

import os

from widedeep.common.launch import TUNING


def test_workers_keep_the_memory_of_large_tensors(spark):
    found = spark.sparkContext.range(1).map(lambda _: os.environ.get("GLIBC_TUNABLES")).collect()
    assert found == [os.environ.get("GLIBC_TUNABLES", TUNING["GLIBC_TUNABLES"])]
