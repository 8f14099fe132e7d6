"""Fixtures of the tests that run Spark: a session, a small generated dump, and the same prepared."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def spark():
    from jobs.session import build_session

    defaults = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "8",
    }
    session = build_session("tests", defaults)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def dump(spark, tmp_path_factory) -> Path:
    """A generated dump of 40,000 good ratings and some bad ones."""
    from jobs.synthesize import synthesize
    from widedeep.config import SynthesizeConfig

    path = tmp_path_factory.mktemp("dump") / "raw"
    synthesize(spark, SynthesizeConfig(output=str(path), ratings=40_000, seed=5, bad_rows=0.005))
    return path


@pytest.fixture(scope="session")
def prepared(spark, dump, tmp_path_factory) -> Path:
    """`dump`, prepared with the defaults."""
    from jobs.prepare import Prepare
    from widedeep.config import PrepareConfig

    path = tmp_path_factory.mktemp("prepared") / "prepared"
    Prepare(spark, PrepareConfig(input=str(dump), output=str(path))).run()
    return path
