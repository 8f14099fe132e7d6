"""The files of whole users: the training ratings once more, each user's in one file."""

import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.builders import read_ratings, read_split
from widedeep.common.errors import DamagedFileError
from widedeep.schema.manifest import DataFile, digest_of, read_manifest
from widedeep.spark.filesystem import Files
from widedeep.spark.preparation.by_user import write_by_user
from widedeep.spark.preparation.workspace import Workspace
from widedeep.spark.shards import describe_files


@pytest.fixture(scope="module")
def manifest(prepared):
    return read_manifest(prepared)


@pytest.fixture(scope="module")
def parts(prepared, manifest) -> list[np.ndarray]:
    """[n, 3] user, item, rating of each file."""
    return [read_ratings(prepared, [file]) for file in manifest.ratings.by_user]


def by_user(rows: np.ndarray) -> np.ndarray:
    """Rows sorted by user and item."""
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


def users_of(part: np.ndarray) -> list[int]:
    """The users of a file, in its order."""
    first = np.flatnonzero(np.diff(part[:, 0], prepend=-1))
    return part[first, 0].astype(int).tolist()


def test_they_hold_the_training_ratings_and_no_others(prepared, manifest, parts):
    assert np.array_equal(by_user(np.concatenate(parts)), by_user(read_split(prepared, manifest, "train")))


def test_each_user_is_in_one_file_once_and_sorted_by_item(parts):
    users = [user for part in parts for user in users_of(part)]
    assert len(users) == len(set(users)) > 400
    for part in parts:
        same_user = part[1:, 0] == part[:-1, 0]
        assert (np.diff(part[:, 1])[same_user] > 0).all()


def test_they_are_as_many_as_shards_and_differ_by_the_ratings_of_a_user(manifest, parts):
    assert len(parts) == len(manifest.ratings.shards["train"]) == 8
    rows = np.concatenate(parts)
    longest = np.bincount(rows[:, 0].astype(int)).max()
    assert max(abs(len(part) - len(rows) / 8) for part in parts) < longest < len(rows) / 8


def test_a_file_is_a_random_sample_of_users(parts):
    """The ranks of a file's users are uniform: their mean is within 4 standard errors of the middle."""
    order = [users_of(part) for part in parts]
    count = sum(map(len, order))
    rank = dict(zip(sorted(user for users in order for user in users), np.linspace(0, 1, count), strict=True))
    for users in order:
        ranks = np.array([rank[user] for user in users])
        assert abs(ranks.mean() - 0.5) < 4 / np.sqrt(12 * len(users))
        halves = ranks[: len(ranks) // 2].mean() - ranks[len(ranks) // 2 :].mean()
        assert abs(halves) < 4 / np.sqrt(3 * len(users))  # within a file, too


def test_the_manifest_describes_them(prepared, manifest):
    for file in manifest.ratings.by_user:
        stored = pq.ParquetFile(prepared / file.path, page_checksum_verification=True)
        assert (stored.metadata.num_row_groups, stored.metadata.num_rows) == (1, file.rows)
        assert [(field.name, str(field.type)) for field in stored.schema_arrow] == [
            ("user", "int32"),
            ("item", "int32"),
            ("rating", "float"),
        ]
        assert stored.metadata.row_group(0).column(0).compression == "ZSTD"
        content = (prepared / file.path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)


def test_the_digest_of_the_data_does_not_depend_on_them(manifest):
    files = *manifest.ratings.shards.values(), manifest.items.files, manifest.users.files
    assert manifest.digest == digest_of(*files)


class Written:
    """Ratings of some users, written as a training shard."""

    def __init__(self, spark, path, counts: list[int]):
        rows = [(user, item, 5.0) for user, count in enumerate(counts) for item in reversed(range(count))]
        frame = spark.createDataFrame(rows, "user int, item int, rating float")
        frame.coalesce(1).write.parquet(f"{path}/train")
        self.path, self.frame = path, spark.read.parquet(f"{path}/train")
        (self.file,) = describe_files(spark, f"{path}/train")
        self.workspace = Workspace(spark, Files(spark), str(path), f"{path}.work")

    def users(self, shards: int, seed: int = 0) -> list[list[int]]:
        """The users of each file."""
        split = [self.file, *[DataFile(path="none.parquet", rows=0, bytes=0, sha256="", content="0")] * (shards - 1)]
        files = write_by_user(self.workspace, self.frame, split, seed)
        return [users_of(read_ratings(self.path, [file])) for file in files]


@pytest.fixture(scope="module")
def few(spark, tmp_path_factory) -> Written:
    return Written(spark, tmp_path_factory.mktemp("few") / "prepared", [3, 3, 3])


def test_few_users_have_a_file_each(few):
    assert sorted(few.users(shards=8)) == [[0], [1], [2]]


def test_the_order_of_users_depends_on_the_seed(few):
    orders = [tuple(few.users(shards=1, seed=seed)[0]) for seed in (0, 0, *range(1, 8))]
    assert orders[0] == orders[1]
    assert len(set(orders)) > 1


def test_other_ratings_than_those_of_the_shards_are_refused(few):
    with pytest.raises(DamagedFileError, match="by_user has not the same ratings as the training shards"):
        write_by_user(few.workspace, few.frame.where("NOT (user = 1 AND item = 1)"), [few.file], 0)
    other = few.frame.selectExpr("user", "item", "IF(user = 1 AND item = 1, float(4), rating) AS rating")
    with pytest.raises(DamagedFileError, match="by_user has not the same ratings as the training shards"):
        write_by_user(few.workspace, other, [few.file], 0)
