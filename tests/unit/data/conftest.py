"""A prepared directory of many small shards, and a copy to damage."""

import shutil

import pytest

from tests.builders import write_prepared

SHARDS = {"train": 12, "valid": 2, "test": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("reader") / "a path, with spaces"
    return path, write_prepared(path, shards=SHARDS)


@pytest.fixture
def copied(data, tmp_path):
    """A copy to damage."""
    shutil.copytree(data[0], tmp_path / "copy")
    return tmp_path / "copy", data[1]
