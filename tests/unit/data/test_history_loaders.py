"""Both loaders of histories against rows read by pyarrow alone. Ranks are simulated: loaders use no collectives."""

from collections.abc import Iterable
from itertools import chain

import numpy as np
import pytest
import torch

from tests.builders import read_ratings, read_split, write_by_user, write_prepared
from tests.spoil import spoil
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.config.train import LoaderConfig
from widedeep.data.batches import Batch
from widedeep.data.histories import HistoryLoader, UserHistories
from widedeep.data.history_loaders import ResidentHistoryLoader, StreamingHistoryLoader
from widedeep.data.loaders import make_history_loader
from widedeep.parallel.world import World

BATCH = 96  # deals equally to 1, 2, 3 and 4 ranks
READERS = ("petastorm", "pyarrow")
MODES = ("resident", "stream")


def loader(
    data, mode: str, rank: int = 0, size: int = 1, batch_size: int = BATCH, seed: int = 0, **settings
) -> ResidentHistoryLoader | StreamingHistoryLoader:
    """The loader of a simulated rank; `settings` are those of LoaderConfig."""
    path, manifest = data
    config = LoaderConfig.model_validate({"mode": mode, **settings})
    return make_history_loader(path, manifest, World(rank, size, torch.device("cpu")), config, batch_size, seed)


def ranks(data, mode: str, size: int, **settings) -> list[HistoryLoader]:
    return [loader(data, mode, rank, size, **settings) for rank in range(size)]


def rows(batches: Iterable[UserHistories]) -> np.ndarray:
    """Stack the ratings of batches to [n, 3] user, item, rating, in order."""
    parts = [np.empty((0, 3))]
    for batch in batches:
        user = np.repeat(batch.user.numpy(), batch.start.diff().numpy())
        parts.append(np.stack([user, batch.item.numpy(), batch.rating.numpy()], axis=1))
    return np.concatenate(parts)


def users_of(batches: Iterable[UserHistories]) -> list[list[int]]:
    return [batch.user.tolist() for batch in batches]


def by_user(table: np.ndarray) -> np.ndarray:
    """Rows sorted by user and item."""
    return table[np.lexsort((table[:, 1], table[:, 0]))]


def with_files(data, counts: list[dict[int, int]]):
    """The same directory with other files `by_user/`: user -> number of ratings, for each file."""
    path, manifest = data
    files = []
    for count in counts:
        part = np.empty(sum(count.values()), [("user", np.int32), ("item", np.int32), ("rating", np.float32)])
        part["user"] = np.repeat(list(count), list(count.values()))
        part["item"], part["rating"] = np.arange(len(part)), 5
        files.append(part)
    ratings = manifest.ratings.model_copy(update={"by_user": write_by_user(path, files)})
    return path, manifest.model_copy(update={"ratings": ratings})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_an_epoch_holds_each_history_once_and_whole_over_all_ranks(data, mode, size):
    loaders = ranks(data, mode, size)
    batches = list(chain.from_iterable(one.epoch(0) for one in loaders))
    seen = list(chain.from_iterable(users_of(batches)))
    assert len(seen) == len(set(seen))
    assert np.array_equal(by_user(rows(batches)), by_user(read_split(*data, "train")))
    assert {one.dropped for one in loaders} == {0}
    table = rows(batches)
    same_user = table[1:, 0] == table[:-1, 0]
    assert (np.diff(table[:, 1])[same_user] > 0).all()  # sorted by item


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_all_ranks_have_the_same_number_of_steps(data, mode, size):
    loaders = ranks(data, mode, size)
    steps = {len(list(one.epoch(0))) for one in loaders} | {one.steps for one in loaders}
    assert len(steps) == 1
    if mode == "resident":
        assert steps == {-(-len(read_split(*data, "train")) // BATCH)}


def test_resident_steps_differ_by_a_history(data):
    one, table = loader(data, "resident"), read_split(*data, "train")
    longest = np.bincount(table[:, 0].astype(int)).max()
    sizes = [len(batch.item) for batch in one.epoch(0)]
    assert max(abs(size - len(table) / one.steps) for size in sizes) < longest


def test_stream_steps_differ_by_a_history_within_a_file(data):
    path, manifest = data
    files = manifest.ratings.by_user
    home = {user: n for n, file in enumerate(files) for user in read_ratings(path, [file])[:, 0].astype(int).tolist()}
    longest = np.bincount(read_split(*data, "train")[:, 0].astype(int)).max()
    seen = []
    for batch in loader(data, "stream", batch_size=60).epoch(0):
        (number,) = {home[user] for user in batch.user.tolist()}
        seen.append(number)
        steps = -(-files[number].rows // 60)
        assert abs(len(batch.item) - files[number].rows / steps) < longest
    assert sorted(seen) == sorted(number for number, file in enumerate(files) for _ in range(-(-file.rows // 60)))
    assert len(list(dict.fromkeys(seen))) == len(files)
    assert seen != sorted(seen)  # files come in a random order


@pytest.mark.parametrize("size", [2, 3])
def test_resident_global_batches_are_the_same_for_any_number_of_ranks(data, size):
    alone = users_of(loader(data, "resident").epoch(3))
    together = zip(*(users_of(one.epoch(3)) for one in ranks(data, "resident", size)), strict=True)
    for users, parts in zip(alone, together, strict=True):
        assert [users[rank::size] for rank in range(size)] == list(parts)


@pytest.mark.parametrize("mode", MODES)
def test_the_order_depends_on_seed_and_epoch_alone(data, mode):
    once = list(chain.from_iterable(users_of(loader(data, mode).epoch(0))))
    assert once == list(chain.from_iterable(users_of(loader(data, mode).epoch(0))))
    for other in (loader(data, mode).epoch(1), loader(data, mode, seed=1).epoch(0)):
        users = list(chain.from_iterable(users_of(other)))
        assert sorted(users) == sorted(once)
        assert np.mean(np.array(users) == np.array(once)) < 0.1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1, 2])
def test_resuming_at_a_step_gives_the_exact_tail(data, mode, size):
    last = loader(data, mode, size - 1, size)
    whole = list(last.epoch(2))
    for first in (1, 7, last.steps - 1, last.steps):
        tail = list(loader(data, mode, size - 1, size).epoch(2, first))
        assert users_of(tail) == users_of(whole[first:])
        assert np.array_equal(rows(tail), rows(whole[first:]))


@pytest.mark.parametrize("mode", MODES)
def test_a_history_longer_than_a_step_leaves_steps_without_users(copied, mode):
    """20 and 4 ratings in 6 steps of 4: the long history begins in the first step and leaves the next 4 empty,
    or the short one fills the first step and the long one begins in the second."""
    batches = list(loader(with_files(copied, [{3: 20, 8: 4}]), mode, batch_size=4).epoch(0))
    assert users_of(batches) in ([[3], [], [], [], [], [8]], [[8], [3], [], [], [], []])
    assert [len(batch.start) for batch in batches] == [len(batch.user) + 1 for batch in batches]
    assert [column.dtype for column in batches[2]] == [torch.int32, torch.int64, torch.int32, torch.float32]


@pytest.mark.parametrize("mode", MODES)
def test_steps_take_equal_numbers_of_ratings(copied, mode):
    """Ten users of one rating each in steps of at most 4: three steps, which begin at ratings 0, 4 and 7."""
    one = loader(with_files(copied, [dict.fromkeys(range(10), 1)]), mode, batch_size=4)
    assert [len(batch) for batch in one.epoch(0)] == [4, 3, 3]


def test_a_streaming_rank_with_fewer_ratings_ends_with_empty_batches(copied):
    uneven = with_files(copied, [{1: 2, 2: 2, 3: 2}, {4: 1}])
    first, second = ([len(batch) for batch in one.epoch(0)] for one in ranks(uneven, "stream", 2, batch_size=4))
    assert (first, second) == ([1, 1, 1], [1, 0, 0])
    assert [len(batch) for batch in loader(uneven, "stream", 1, 2, batch_size=4).epoch(0, 2)] == [0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_evaluation_sees_each_rating_once(data, mode, size, split):
    batches = chain.from_iterable(one.batches(split) for one in ranks(data, mode, size))
    parts = [np.stack([column.numpy() for column in batch], axis=1) for batch in batches]
    assert all(isinstance(batch, Batch) for batch in loader(data, mode).batches(split))
    assert np.array_equal(by_user(np.concatenate(parts)), by_user(read_split(*data, split)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_all_histories_are_the_parts_of_all_ranks(data, mode, size):
    path, manifest = data
    parts = [rows(one.histories()) for one in ranks(data, mode, size)]
    stored = read_ratings(path, manifest.ratings.by_user)
    if mode == "resident":
        assert np.array_equal(np.concatenate(parts), stored)
    for rank, part in enumerate(parts):
        assert len(part) > len(stored) / size - 100
        if mode == "stream":
            assert np.array_equal(part, read_ratings(path, manifest.ratings.by_user[rank::size]))
    assert len({user for part in parts for user in set(part[:, 0])}) == sum(len(set(part[:, 0])) for part in parts)


@pytest.mark.parametrize("mode", MODES)
def test_a_loader_gives_the_same_epochs_with_either_reader(data, mode):
    epochs = [[rows(loader(data, mode, reader=reader).epoch(number)) for number in (0, 1)] for reader in READERS]
    assert np.array_equal(epochs[0], epochs[1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "flipped"])
def test_a_damaged_file_is_named_before_the_first_step(copied, mode, how):
    path, manifest = copied
    file = path / manifest.ratings.by_user[2].path
    spoil(file, how)
    with pytest.raises(DamagedFileError) as caught:
        loader(copied, mode)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("difference", [-10, 10])
def test_a_manifest_that_lies_about_rows_is_found_out(copied, mode, difference):
    path, manifest = copied
    plain = manifest.model_dump()
    plain["ratings"]["by_user"][3]["rows"] += difference
    true = manifest.ratings.rows("train")
    with pytest.raises(DamagedFileError, match=f"{true} rows arrived.*the manifest says {true + difference}"):
        list(loader((path, type(manifest).model_validate(plain)), mode).epoch(0))


def test_what_cannot_be_dealt_equally_is_refused(data):
    with pytest.raises(InputError, match="batch_size 96 is not a multiple of the 5 ranks"):
        loader(data, "resident", 0, 5)
    with pytest.raises(InputError, match="12 training shards cannot be dealt equally to 5 ranks"):
        loader(data, "stream", 0, 5, batch_size=100)


def test_auto_streams_what_is_above_the_limit(data):
    count = data[1].ratings.rows("train")
    assert isinstance(loader(data, "auto", resident_limit=count), ResidentHistoryLoader)
    assert isinstance(loader(data, "auto", resident_limit=count - 1), StreamingHistoryLoader)


def test_an_empty_split_is_empty(tmp_path):
    no_valid = tmp_path, write_prepared(tmp_path, ratings=500, shards={"train": 2, "test": 1})
    for mode in MODES:
        assert sum(len(batch) for batch in loader(no_valid, mode).batches("valid")) == 0
