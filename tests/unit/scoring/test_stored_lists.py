"""Lists that are looked up by user, and what is read and kept for it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import MAL, PLAYS, describe
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.schema.dataset import Identifiers
from widedeep.schema.recommendations import RecommendationManifest, list_schema
from widedeep.scoring.stored_lists import StoredLists

LENGTH = 3


def write(directory, users, ids: Identifiers = MAL.ids, users_per_group: int = 4):
    """Write the lists of users; the n-th item of user u is 10 * u + n, or those numbers as texts."""

    def name(number: int):
        return number if ids.type == "number" else f"{number:06d}"

    rows = [
        {"user_id": name(user), "rank": rank, ids.item: name(10 * user + rank), "title": "T", "affinity": -rank}
        for user in users
        for rank in range(1, LENGTH + 1)
    ]
    half = len(users) // 2 * LENGTH
    for number, part in enumerate((rows[:half], rows[half:])):
        table = pa.Table.from_pylist(part, list_schema(ids))
        pq.write_table(table, directory / f"part-{number}.parquet", row_group_size=users_per_group * LENGTH - 1)
    files = tuple(describe(directory, f"part-{number}.parquet") for number in range(2))
    counts = {"users": len(users), "rows": len(rows), "distinct_items": len(rows)}
    manifest = RecommendationManifest(config={}, data_digest="", model="", ids=ids, files=files, **counts)
    (directory / "_manifest.json").write_text(manifest.seal())
    return directory


def items(lists: StoredLists, user, key="anime_id"):
    return [row[key] for row in lists.rows_of(user)]


def test_each_user_has_their_list_whole_though_a_row_group_ends_within_it(tmp_path):
    users = [3, 5, 7, 8, 20, 21, 22, 40, 41, 90]
    lists = StoredLists(write(tmp_path, users), verify=True)
    for user in users:
        assert items(lists, user) == [10 * user + rank for rank in range(1, LENGTH + 1)]
    for nobody in (0, 4, 30, 91):
        assert lists.rows_of(nobody) == []


def test_identifiers_may_be_texts(tmp_path):
    lists = StoredLists(write(tmp_path, range(30), PLAYS.ids))
    assert items(lists, "000017", "item_id") == ["000171", "000172", "000173"]
    assert lists.rows_of("17") == []


def test_what_was_asked_for_last_is_kept(tmp_path):
    write(tmp_path, range(1, 41))
    one = pq.ParquetFile(tmp_path / "part-0.parquet").read_row_group(0).nbytes
    lists = StoredLists(tmp_path, cache_bytes=int(2.5 * one))
    for user in (1, 10, 1, 19):  # three row groups, of which two fit
        lists.rows_of(user)
    assert [lists.cached_rows_of(user) is not None for user in (1, 10, 19)] == [True, False, True]
    assert lists.cached_rows_of(19) == lists.rows_of(19)
    lists = StoredLists(tmp_path, cache_bytes=0)
    assert items(lists, 1) == items(lists, 1) == [11, 12, 13]
    assert lists.cached_rows_of(1) == lists.rows_of(1)  # the last one always is there
    lists.rows_of(19)
    assert lists.cached_rows_of(1) is None


def test_what_is_in_memory_waits_for_no_file(tmp_path):
    """A file that is slow to read holds up only those who need it."""
    lists = StoredLists(write(tmp_path, range(1, 41)))
    lists.rows_of(1)
    reads, go_on = threading.Event(), threading.Event()
    file, place = lists._groups[lists._numbers(19)[0]]

    class Slow:
        def read_row_group(self, number):
            reads.set()
            assert go_on.wait(30)
            return file.read_row_group(number)

    lists._groups[lists._numbers(19)[0]] = (Slow(), place)  # pyright: ignore[reportArgumentType]
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(lists.rows_of, 19)
        assert reads.wait(30)
        try:
            looked_up = pool.submit(lists.cached_rows_of, 1).result(10)
            missing = pool.submit(lists.cached_rows_of, 19).result(10)
        finally:
            go_on.set()
    assert looked_up is not None
    assert [row["anime_id"] for row in looked_up] == [11, 12, 13]
    assert missing is None
    assert [row["anime_id"] for row in reading.result()] == [191, 192, 193]


def test_files_that_were_replaced_are_read_to_the_end(tmp_path):
    lists = StoredLists(write(tmp_path, range(1, 41)))
    for number in range(2):
        (tmp_path / f"part-{number}.parquet").unlink()
    assert items(lists, 33) == [331, 332, 333]


def test_other_bytes_are_refused_where_digests_are_compared(tmp_path):
    file = write(tmp_path, range(1, 41)) / "part-1.parquet"
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"part-1.parquet has sha256 .*, or is being replaced|is damaged"):
        StoredLists(tmp_path, verify=True)
    with pytest.raises(InputError, match="holds no recommendations"):
        StoredLists(tmp_path / "none")
