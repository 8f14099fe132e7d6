"""A prepared directory as Spark jobs read it: what its manifest lists, and nothing that differs from it."""

import shutil

import pytest

from tests.builders import read_split, write_prepared
from tests.spoil import DAMAGES, spoil
from widedeep.common.errors import DamagedFileError
from widedeep.schema.manifest import SPLITS
from widedeep.spark.prepared_data import PreparedData


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("listed") / "prepared"
    return path, write_prepared(path)


def read(data: PreparedData, table: str):
    return data.ratings([table]) if table in SPLITS else getattr(data, table)


@pytest.fixture
def copied(prepared, tmp_path):
    return shutil.copytree(prepared[0], tmp_path / "a copy"), prepared[1]  # with a space, as paths have them


def test_the_frames_hold_what_was_written(spark, prepared):
    path, manifest = prepared
    data = PreparedData(spark, f"{path}/")
    for name in SPLITS:
        rows = data.ratings([name]).toPandas()
        assert set(rows["split"]) == {name}
        expected = read_split(path, manifest, name)
        assert sorted(map(tuple, rows[["user", "item", "rating"]].to_numpy())) == sorted(map(tuple, expected))
    assert data.ratings().count() == sum(manifest.ratings.rows(name) for name in SPLITS)
    assert (data.users.count(), data.items.count()) == (manifest.users.rows, manifest.items.rows)
    assert data.ratings([]).count() == 0


def test_a_file_that_is_not_listed_is_not_read(spark, copied):
    """As a conflicting copy of a synchronised directory: read, it would double ratings and lists."""
    path, manifest = copied
    for file in (manifest.users.files[0], manifest.ratings.shards["train"][0]):
        shutil.copyfile(path / file.path, (path / file.path).with_name("part-00000 (copy).parquet"))
    data = PreparedData(spark, str(path))
    assert data.ratings(["train"]).count() == manifest.ratings.rows("train")
    assert data.users.count() == manifest.users.rows


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("table", ["users", "items", "test"])
def test_a_damaged_file_is_refused_by_name(spark, copied, table, how):
    path, manifest = copied
    files = manifest.ratings.shards[table] if table in SPLITS else getattr(manifest, table).files
    file = path / files[-1].path
    spoil(file, how)
    with pytest.raises(DamagedFileError, match=rf"file .*{files[-1].path} .*jobs/prepare\.py"):
        read(PreparedData(spark, str(path)), table)
    if how == "flipped":
        read(PreparedData(spark, str(path), verify=False), table)  # sizes alone do not tell
