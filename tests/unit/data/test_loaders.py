"""Both loaders against rows read by pyarrow alone. Ranks are simulated, because loaders use no collectives."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from tests.builders import damage_shard, read_split, save_manifest, write_prepared
from tests.unit.data.conftest import SHARDS
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.config.train import LoaderConfig
from widedeep.data.batches import Batch
from widedeep.data.loaders import make_loader
from widedeep.data.resident_loader import ResidentLoader
from widedeep.data.streaming_loader import StreamingLoader
from widedeep.parallel.world import World
from widedeep.schema.manifest import Manifest

BATCH = 96  # deals equally to 1, 2, 3 and 4 ranks
BUFFER = 700
READERS = ("petastorm", "pyarrow")


def loader(
    data, mode: str, rank: int = 0, size: int = 1, batch_size: int = BATCH, seed: int = 0, **settings
) -> ResidentLoader | StreamingLoader:
    """The loader of a simulated rank; `settings` are those of LoaderConfig."""
    path, manifest = data
    world = World(rank, size, torch.device("cpu"))
    config = LoaderConfig.model_validate({"mode": mode, "resident_limit": 10**9, "shuffle_buffer": BUFFER, **settings})
    return make_loader(path, manifest, world, config, batch_size, seed)


def ranks(data, mode: str, size: int, **settings) -> list:
    return [loader(data, mode, rank, size, **settings) for rank in range(size)]


def rows(batches: Iterable[Batch]) -> np.ndarray:
    """Stack batches to [n, 3], in order."""
    parts = [torch.stack([column.float() for column in batch], dim=1).numpy() for batch in batches]
    return np.concatenate(parts) if parts else np.empty((0, 3))


def as_set(table: np.ndarray) -> set[tuple]:
    found = {tuple(row) for row in table.tolist()}
    assert len(found) == len(table), "a row came more than once"
    return found


def train_rows(data) -> np.ndarray:
    return read_split(*data, "train")


@pytest.mark.parametrize("mode", ["resident", "stream"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_epoch_holds_each_rating_once_over_all_ranks(data, mode, size):
    loaders = ranks(data, mode, size)
    seen = as_set(np.concatenate([rows(one.epoch(0)) for one in loaders]))
    expected = as_set(train_rows(data))
    assert seen <= expected
    assert {one.dropped for one in loaders} == {len(expected) - len(seen)}
    assert loaders[0].dropped < size * len(SHARDS)


@pytest.mark.parametrize("mode", ["resident", "stream"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_all_ranks_have_the_same_number_of_steps_of_the_same_size(data, mode, size):
    loaders = ranks(data, mode, size)
    sizes = [[len(batch) for batch in one.epoch(0)] for one in loaders]
    assert all(other == sizes[0] for other in sizes)
    assert len(sizes[0]) == loaders[0].steps
    assert set(sizes[0][:-1]) == {loaders[0].local_batch_size} == {BATCH // size}
    assert 0 < sizes[0][-1] <= loaders[0].local_batch_size


@pytest.mark.parametrize("shares", [(1, 1, 1, 5), (5, 1, 1, 1)])
def test_ranks_with_unequal_shards_stop_together(tmp_path, shares):
    uneven = tmp_path, write_prepared(tmp_path, shards={**SHARDS, "train": shares})
    counts = [shard.rows for shard in uneven[1].ratings.shards["train"]]
    smaller = min(counts[0] + counts[2], counts[1] + counts[3])
    loaders = ranks(uneven, "stream", 2)
    seen = [rows(one.epoch(0)) for one in loaders]
    assert [len(part) for part in seen] == [smaller, smaller]
    assert loaders[0].dropped == sum(counts) - 2 * smaller > 0
    as_set(np.concatenate(seen))


@pytest.mark.parametrize("size", [2, 3])
def test_resident_global_batches_are_the_same_for_any_number_of_ranks(data, size):
    alone = list(loader(data, "resident").epoch(3))
    together = list(zip(*(one.epoch(3) for one in ranks(data, "resident", size)), strict=True))
    for batch, parts in zip(alone[:-1], together, strict=False):
        assert np.array_equal(rows([batch]), rows(parts))
    assert as_set(rows(together[-1])) <= as_set(rows(alone[-1:]))
    assert len(together) == len(alone)


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_the_order_depends_on_seed_and_epoch_alone(data, mode):
    once = rows(loader(data, mode).epoch(0))
    assert np.array_equal(once, rows(loader(data, mode).epoch(0)))
    for other in (loader(data, mode).epoch(1), loader(data, mode, seed=1).epoch(0)):
        table = rows(other)
        assert as_set(table) == as_set(once)
        assert (table == once).all(axis=1).mean() < 0.05


@pytest.mark.parametrize("mode", ["resident", "stream"])
@pytest.mark.parametrize("size", [1, 2])
def test_resuming_at_a_step_gives_the_exact_tail(data, mode, size):
    last = loader(data, mode, size - 1, size)
    whole = list(last.epoch(2))
    for first in (1, 7, 20, last.steps - 1, last.steps):
        tail = list(loader(data, mode, size - 1, size).epoch(2, first))
        assert len(tail) == last.steps - first
        assert np.array_equal(rows(tail), rows(whole[first:]))


def test_a_stream_fills_its_batches_where_a_shard_lacks_one_row_of_a_batch(data):
    for rows_of_shard in {shard.rows for shard in data[1].ratings.shards["train"]}:
        size = rows_of_shard + 1
        one = loader(data, "stream", batch_size=size, shuffle_buffer=1)
        sizes = [len(batch) for batch in one.epoch(0)]
        assert sizes[:-1] == [size] * (one.steps - 1)
        assert sum(sizes) == len(train_rows(data))


def shard_of(data) -> dict[tuple, int]:
    """Map each row to the number of its shard, read by pyarrow."""
    path, manifest = data
    found = {}
    for number, shard in enumerate(manifest.ratings.shards["train"]):
        ratings = manifest.ratings.model_copy(update={"shards": {"train": (shard,)}})
        one = manifest.model_copy(update={"ratings": ratings})
        found |= dict.fromkeys(as_set(read_split(path, one, "train")), number)
    return found


def test_a_stream_holds_no_more_than_its_buffer_and_a_shard(data):
    """The rows of the first steps come from no more shards than the buffer and these rows can fill."""
    home, shard_rows = shard_of(data), len(train_rows(data)) // SHARDS["train"]
    touched, out = set(), 0
    for batch in loader(data, "stream", shuffle_buffer=shard_rows).epoch(0):
        out += len(batch)
        touched |= {home[row] for row in as_set(rows([batch]))}
        assert len(touched) <= out / shard_rows + 3
    assert len(touched) == SHARDS["train"]


def test_a_stream_mixes_the_shards_that_its_buffer_holds(data):
    home = shard_of(data)
    batches = [{home[row] for row in as_set(rows([batch]))} for batch in loader(data, "stream").epoch(0)]
    assert all(len(shards) > 1 for shards in batches[:-3])


def test_a_stream_takes_the_shards_in_another_order_each_epoch(data):
    home, one = shard_of(data), loader(data, "stream", shuffle_buffer=1)
    orders = [list(dict.fromkeys(home[tuple(row)] for row in rows(one.epoch(e)).tolist())) for e in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(SHARDS["train"]))
    assert sorted(orders[0]) != orders[0] != orders[1]


@pytest.mark.parametrize("mode", ["resident", "stream"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_evaluation_sees_each_rating_once_also_with_more_ranks_than_shards(data, mode, size, split):
    seen = as_set(np.concatenate([rows(one.batches(split)) for one in ranks(data, mode, size)]))
    assert seen == as_set(read_split(*data, split))


@pytest.mark.parametrize("size", [1, 2])
def test_what_is_computed_of_resident_ratings_at_once_is_bounded(data, size, monkeypatch):
    monkeypatch.setattr("widedeep.data.rating_sources.RATINGS_AT_ONCE", 100)
    batches = [batch for one in ranks(data, "resident", size) for batch in one.batches("train")]
    assert max(map(len, batches)) == 100
    assert as_set(rows(batches)) == as_set(train_rows(data))


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_a_split_without_ratings_is_empty(tmp_path, mode):
    no_valid = tmp_path, write_prepared(tmp_path, ratings=500, shards={"train": 2, "test": 1})
    assert len(rows(loader(no_valid, mode).batches("valid"))) == 0


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_columns_have_the_agreed_types(data, mode):
    batch = next(iter(loader(data, mode).epoch(0)))
    assert [column.dtype for column in batch] == [torch.int32, torch.int32, torch.float32]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("folder", ["100%25", "ü & co", "a+b=c;d", "a#b", "a?b"])
def test_odd_names_of_directories_work(tmp_path, folder, reader):
    odd = tmp_path / folder, write_prepared(tmp_path / folder, ratings=500)
    assert as_set(rows(loader(odd, "resident", reader=reader).batches("test"))) == as_set(read_split(*odd, "test"))


@pytest.mark.parametrize("mode", ["resident", "stream"])
@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "flipped"])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_damaged_shard_of_any_split_is_named_before_the_first_step(copied, mode, how, split):
    name = damage_shard(*copied, split, how)
    with pytest.raises(DamagedFileError) as caught:
        loader(copied, mode)
    assert name in str(caught.value)
    assert ("missing" if how == "missing" else "the manifest says") in str(caught.value)


def test_sizes_are_compared_even_without_verification(copied):
    name = damage_shard(*copied, "train", "truncated")
    with pytest.raises(DamagedFileError, match="bytes, the manifest says") as caught:
        loader(copied, "stream", verify=False)
    assert name in str(caught.value)


@pytest.mark.parametrize("mode", ["resident", "stream"])
@pytest.mark.parametrize("difference", [-40, 40])
def test_a_manifest_that_lies_about_rows_is_found_out(copied, mode, difference):
    path, manifest = copied
    plain = manifest.model_dump()
    plain["ratings"]["shards"]["train"][3]["rows"] += difference
    lying = path, Manifest.model_validate(plain)
    save_manifest(*lying)
    told, true = lying[1].ratings.rows("train"), manifest.ratings.rows("train")
    with pytest.raises(DamagedFileError, match=f"{true} rows arrived.*the manifest says {told}"):
        list(loader(lying, mode).epoch(0))


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_a_loader_gives_the_same_epochs_with_either_reader(data, mode):
    epochs = [[rows(loader(data, mode, reader=reader).epoch(number)) for number in (0, 1)] for reader in READERS]
    assert np.array_equal(epochs[0], epochs[1])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_a_flipped_bit_is_refused_with_digests_switched_off(copied, reader, mode):
    name = damage_shard(*copied, "train", "flipped")
    with pytest.raises(DamagedFileError, match="CRC checksum verification failed") as caught:
        list(loader(copied, mode, reader=reader, verify=False).epoch(0))
    assert name in str(caught.value)


def test_what_cannot_be_dealt_equally_is_refused(data):
    with pytest.raises(InputError, match="batch_size 96 is not a multiple of the 5 ranks"):
        loader(data, "resident", 0, 5)
    with pytest.raises(InputError, match="12 training shards cannot be dealt equally to 5 ranks"):
        loader(data, "stream", 0, 5, batch_size=100)
    with pytest.raises(InputError, match="start fewer ranks"):
        loader(data, "resident", 0, 10_000, batch_size=10_000)


def test_auto_streams_what_is_above_the_limit(data):
    count = len(train_rows(data))
    assert isinstance(loader(data, "auto", resident_limit=count), ResidentLoader)
    assert isinstance(loader(data, "auto", resident_limit=count - 1), StreamingLoader)
