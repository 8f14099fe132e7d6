"""Fixtures that many tests share: a Spark session, the real sample, a small prepared dump."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.builders import read_split, write_prepared
from tests.draws import SEED
from widedeep.schema.manifest import Manifest

ROOT = Path(__file__).resolve().parent.parent
# Threads of torch that wait for each other spin; on a busy machine a step then takes 40 times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_report_header() -> str:
    return f"faults are drawn with WIDEDEEP_FAULT_SEED={SEED}"


@pytest.fixture(scope="session")
def spark():
    from widedeep.spark.session import build_session

    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--master local[2] pyspark-shell")
    defaults = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "8",
    }
    session = build_session("tests", defaults)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def real_dump() -> Path:
    """Directory of the real sample; tests that need it are skipped where it is not."""
    path = Path(os.environ.get("WIDEDEEP_REAL_DUMP", ROOT.parent / "shared" / "data" / "mal-real"))
    if not (path / "users-score-2023.csv").exists():
        pytest.skip(f"no real dump in {path}; name its directory in WIDEDEEP_REAL_DUMP")
    return path


@pytest.fixture(scope="session")
def dump(spark, tmp_path_factory) -> Path:
    """A generated dump of 40,000 good ratings and some bad ones."""
    from widedeep.config.synthesize import SynthesizeConfig
    from widedeep.spark.synthesis.synthesize import synthesize

    path = tmp_path_factory.mktemp("dump") / "raw"
    synthesize(spark, SynthesizeConfig(output=str(path), ratings=40_000, seed=5, bad_rows=0.005))
    return path


@pytest.fixture(scope="session")
def prepared(spark, dump, tmp_path_factory) -> Path:
    """`dump`, prepared with the defaults."""
    from widedeep.config.prepare import PrepareConfig
    from widedeep.spark.preparation.prepare import prepare

    path = tmp_path_factory.mktemp("prepared") / "prepared"
    prepare(spark, PrepareConfig(input=str(dump), output=str(path)))
    return path


class Small(NamedTuple):
    """A small prepared directory that tests only read."""

    path: Path
    manifest: Manifest

    def ratings(self, split: str) -> np.ndarray:
        """[n, 3] user, item, rating."""
        return read_split(self.path, self.manifest, split)


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Small:
    path = tmp_path_factory.mktemp("small") / "prepared"
    return Small(path, write_prepared(path))
