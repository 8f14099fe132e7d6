from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.builders import read_split, write_prepared
from widedeep.schema.manifest import Manifest


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
