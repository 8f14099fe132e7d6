"""Both shard readers: the same rows in the same order, and damage reported by name."""

import hashlib
import importlib
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.builders import damage_shard, read_split
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.data.batches import Batch
from widedeep.data.petastorm_compat import PETASTORM
from widedeep.data.readers import reader_named
from widedeep.data.shards import read_row_groups

READERS = ("petastorm", "pyarrow")


def read_raw(data, reader: str, seed: int | None) -> list[list[np.ndarray]]:
    path, manifest = data
    files = [path / shard.path for shard in manifest.ratings.shards["train"]]
    return list(reader_named(reader)(files, Batch._fields, seed))


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_keeps_the_order_of_files_without_a_seed(data, reader):
    groups = [np.stack(columns, axis=1) for columns in read_raw(data, reader, None)]
    assert np.array_equal(np.concatenate(groups), read_split(*data, "train"))


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_yields_a_shard_at_a_time_in_the_types_stored(data, reader):
    groups = read_raw(data, reader, 3)
    assert sorted(len(group[0]) for group in groups) == sorted(s.rows for s in data[1].ratings.shards["train"])
    assert {tuple(column.dtype.name for column in group) for group in groups} == {("int32", "int32", "float32")}


def test_both_readers_give_the_same_rows_in_the_same_order_for_a_seed(data):
    def digest(reader: str, seed: int) -> str:
        content = b"".join(column.tobytes() for group in read_raw(data, reader, seed) for column in group)
        return hashlib.sha256(content).hexdigest()

    digests = {seed: {digest(reader, seed) for reader in READERS} for seed in range(5)}
    assert all(len(found) == 1 for found in digests.values())
    assert len(set.union(*digests.values())) == len(digests)


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_left_early_ends_its_threads(data, reader):
    groups = reader_named(reader)([data[0] / s.path for s in data[1].ratings.shards["train"]], Batch._fields, 0)
    next(groups)
    groups.close()
    assert [thread.name for thread in threading.enumerate() if "petastorm" in repr(thread)] == []


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "flipped"])
def test_a_reader_refuses_a_damaged_shard_by_itself_and_names_it(copied, reader, how):
    name = damage_shard(*copied, "train", how)
    with pytest.raises(DamagedFileError) as caught:
        read_raw(copied, reader, 2)
    assert name in str(caught.value)
    assert how != "flipped" or "CRC checksum verification failed" in str(caught.value)


class Bomb:
    """Creates a file when a pickle of it is loaded, by what petastorm's unpickler allows: all of builtins."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return eval, (f"open({str(self.trace)!r}, 'w').close()",)


@pytest.mark.parametrize("reader", READERS)
def test_a_directory_in_the_place_of_a_shard_is_refused_and_runs_no_code(copied, reader, tmp_path):
    path, manifest = copied
    shards, trace = manifest.ratings.shards["train"], tmp_path / "trace"
    place = path / shards[0].path
    content, bomb = place.read_bytes(), pickle.dumps(Bomb(trace))
    place.unlink()
    place.mkdir()
    (place / "part-00000.parquet").write_bytes(content)
    schema = pq.read_schema(place / "part-00000.parquet")
    pq.write_metadata(schema.with_metadata({b"dataset-toolkit.unischema.v1": bomb}), place / "_common_metadata")
    with pytest.raises(DamagedFileError, match=f"shard {place} is missing"):
        list(read_row_groups(reader_named(reader), path, shards, None))
    assert not trace.exists()
    importlib.import_module("petastorm.etl.legacy").depickle_legacy_package_name_compatible(bomb)
    assert trace.exists()  # the bomb works


def test_a_release_of_petastorm_that_does_not_fit_is_refused_with_the_other_reader_named(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.13.1")
    for module in ("petastorm_reader", "petastorm_compat"):
        monkeypatch.delitem(sys.modules, f"widedeep.data.{module}")
    with pytest.raises(InputError, match=rf"petastorm 0\.13\.1 is installed.*{PETASTORM}.*--loader\.reader pyarrow"):
        reader_named("petastorm")


def test_without_petastorm_the_other_reader_is_named(monkeypatch):
    for module in ("widedeep.data.petastorm_reader", "widedeep.data.petastorm_compat"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "petastorm", None)
    with pytest.raises(InputError, match=r"petastorm cannot be imported.*--loader\.reader pyarrow"):
        reader_named("petastorm")
    reader_named("pyarrow")
