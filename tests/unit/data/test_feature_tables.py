import numpy as np
import pytest
import torch

from tests.builders import read_split, write_parquet, write_prepared
from tests.spoil import DAMAGES, spoil
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.schema.manifest import Column, Numeric, Table


def test_histories_are_the_training_ratings_of_each_user(tmp_path):
    manifest = write_prepared(tmp_path)
    rows = read_split(tmp_path, manifest, "train")
    tables = Tables(tmp_path, manifest)
    for longest in (3, 100):
        items, ratings = tables.histories(longest)
        assert items.shape == ratings.shape == (tables.users.rows, longest)
        assert (items.dtype, ratings.dtype) == (torch.int32, torch.float32)
        for user in range(tables.users.rows):
            expected = rows[rows[:, 0] == user, 1:][:longest]
            known = items[user] >= 0
            assert known.tolist() == [place < len(expected) for place in range(longest)]
            assert items[user][known].tolist() == expected[:, 0].tolist()
            assert ratings[user][known].tolist() == expected[:, 1].tolist()


def test_columns_as_they_were_before_encoding(tmp_path):
    columns = {
        "year": np.array([0.0, 0.5, 0.25], np.float32),
        "year_missing": np.array([0.0, 0.0, 1.0], np.float32),
        "plain": np.array([3.0, 1.0, 2.0], np.float32),
        "kind": np.array([1, 0, 1], np.int32),
    }
    file = write_parquet(tmp_path, "items/part-00000.parquet", columns)
    fitted = Numeric(impute="mean", fill=1980.0, scaler="minmax", center=1960.0, scale=60.0, missing=1, unparsed=0)
    table = Table(
        files=(file,),
        rows=3,
        columns=tuple(Column(name=name, kind="numeric") for name in columns),
        numeric={"year": fitted},
        vocabularies={"kind": ("", "TV")},
    )
    items = FeatureTable(tmp_path, "items", table)
    assert items.unscaled("year") == pytest.approx([1960.0, 1990.0, np.nan], nan_ok=True)
    assert items.unscaled("plain").tolist() == [3.0, 1.0, 2.0]
    assert items.category_names("kind") == ["TV", "", "TV"]
    assert items.multi_hot("kind").tolist() == [[0, 1], [1, 0], [0, 1]]
    assert (items.has("kind"), items.has("kinds")) == (True, False)
    with pytest.raises(InputError, match=r"items has no column kinds: it has \['year', "):
        items.values("kinds")
    with pytest.raises(InputError, match=r"items has no categories year: it has \['kind'\]"):
        items.category_names("year")


@pytest.mark.parametrize("ids", [np.array([7, 12, 9]), np.array(["7", "12", "9"])], ids=["numbers", "texts"])
def test_titles_that_prepare_has_made_are_none(tmp_path, ids):
    columns = {"item_id": ids, "title": np.array(["item 7", "item 9", "Show"])}
    file = write_parquet(tmp_path, "items/part-00000.parquet", columns)
    keys = tuple(Column(name=name, kind="key") for name in columns)
    table = Table(files=(file,), rows=3, columns=keys, numeric={}, vocabularies={})
    assert FeatureTable(tmp_path, "items", table).own_titles() == ["", "item 9", "Show"]


def test_all_training_ratings(tmp_path):
    manifest = write_prepared(tmp_path)
    assert np.array_equal(
        np.stack(Tables(tmp_path, manifest).train_ratings(), 1), read_split(tmp_path, manifest, "train")
    )


def test_rated_items_are_indexes_in_ascending_order_also_of_a_user_without_ratings(tmp_path):
    manifest = write_prepared(tmp_path)
    tables, shards = Tables(tmp_path, manifest), manifest.ratings.shards["train"]
    rows = read_split(tmp_path, manifest, "train")
    for user in (0, 1, tables.users.rows - 1):  # the last one has test ratings alone
        found = tables.rated_items(user, shards)
        assert found.tolist() == sorted(rows[rows[:, 0] == user, 1])
        assert found.dtype == np.int32
    assert not len(found)


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_training_ratings_are_refused(tmp_path, how):
    manifest = write_prepared(tmp_path)
    spoil(tmp_path / manifest.ratings.shards["train"][1].path, how)
    with pytest.raises(DamagedFileError, match=r"shard .*split=train/part-00001\.parquet"):
        Tables(tmp_path, manifest).train_ratings()


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["users", "items"])
def test_a_damaged_table_is_refused_by_name_before_a_column_is_read(tmp_path, name, how):
    manifest = write_prepared(tmp_path)
    file = tmp_path / getattr(manifest, name).files[0].path
    spoil(file, how)
    table = getattr(Tables(tmp_path, manifest), name)
    with pytest.raises(DamagedFileError, match=rf"feature table .*{name}/part-00000\.parquet"):
        table.values("train_ratings")


def test_an_intact_table_that_is_another_one_is_refused(tmp_path):
    """Every checksum in the file is right, and so is its size: only its digest tells that it does not belong here."""
    manifest = write_prepared(tmp_path)
    values, described = np.full(manifest.items.rows, 99, np.int32), manifest.items.files[0]
    columns = {"item": np.arange(len(values), dtype=np.int32), "train_ratings": values}
    same_size = described.model_copy(update={"bytes": write_parquet(tmp_path, described.path, columns).bytes})
    items = manifest.items.model_copy(update={"files": (same_size,)})
    manifest = manifest.model_copy(update={"items": items})
    assert Tables(tmp_path, manifest, verify=False).items.values("train_ratings").tolist() == values.tolist()
    with pytest.raises(DamagedFileError, match=r"feature table .*items/part-00000\.parquet has sha256"):
        Tables(tmp_path, manifest).items.values("train_ratings")
