"""A fixture for modules that run many small Spark jobs."""

import pytest

# Compiling code for a dozen rows and starting eight tasks for them takes longer than all the rest.
LIGHT = {"spark.sql.shuffle.partitions": "1", "spark.sql.codegen.wholeStage": "false"}


@pytest.fixture(scope="module", autouse=True)
def light_spark(spark):
    """Set Spark for few rows while the tests of a module run."""
    before = {name: spark.conf.get(name) for name in LIGHT}
    for name, value in LIGHT.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)
