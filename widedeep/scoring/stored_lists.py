"""The lists that jobs/score_all.py wrote, looked up by user: only the row groups that may hold the user are read.

Legend: G row groups of all files.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from widedeep.common.errors import DamagedFileError, InputError
from widedeep.common.recently_used import RecentlyUsed
from widedeep.data.parquet import open_parquet
from widedeep.data.shards import check_files
from widedeep.schema.manifest import HIDDEN_MANIFEST
from widedeep.schema.recommendations import RecommendationManifest

CACHE_BYTES = 256 << 20  # of row groups that are kept in memory, as Arrow tables


class StoredLists:
    """A directory of recommendations. Its files stay open, so lists can be read while others take their place.

    All methods may be called from several threads.
    """

    def __init__(self, directory: Path, verify: bool = False, cache_bytes: int = CACHE_BYTES):
        """Open the files.

        Args:
            directory: written by jobs/score_all.py.
            verify: whether to compare sizes and digests of the files with the manifest; pages always have checksums.
            cache_bytes: of row groups that are kept in memory.

        Raises:
            InputError: the directory has no committed recommendations, or those of another release.
            DamagedFileError: it is damaged, or being replaced.

        """
        self.directory, self.manifest = directory, _read_manifest(directory)
        self._cache = RecentlyUsed[pa.Table](cache_bytes, lambda rows: rows.nbytes)  # by the number of a row group
        self._lock = threading.Lock()  # of the cache, and held for a moment only
        self._reading = threading.Lock()  # a file is not for several threads at a time
        with self._readable(), ExitStack() as opened:
            if verify:
                check_files(directory, self.manifest.files, verify, "file of lists")
            files = [opened.enter_context(open_parquet(directory / part.path)) for part in self.manifest.files]
            self._groups = [(file, number) for file in files for number in range(file.num_row_groups)]  # G
            self._lowest, self._highest = _user_ranges(self._groups)
            self._files = opened.pop_all()

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def rows_of(self, user_id: int | str) -> list[dict[str, Any]]:
        """Return a user's rows, best first; none if the user has no list.

        Raises:
            DamagedFileError: a file cannot be read.

        """
        with self._readable():
            return _rows_of([self._rows(number) for number in self._numbers(user_id)], user_id)

    def cached_rows_of(self, user_id: int | str) -> list[dict[str, Any]] | None:
        """Return what `rows_of` does, if it is in memory; None if it is not. This waits for no file."""
        with self._lock:
            cached = [self._cache.get(number) for number in self._numbers(user_id)]
        groups = [rows for rows in cached if rows is not None]
        return _rows_of(groups, user_id) if len(groups) == len(cached) else None

    def _numbers(self, user_id: int | str) -> list[int]:
        """Return the numbers, of G, of the row groups that may hold a user."""
        return np.flatnonzero((self._lowest <= user_id) & (user_id <= self._highest)).tolist()

    def _rows(self, number: int) -> pa.Table:
        """Return a row group, from the cache if it is there."""
        with self._reading:
            with self._lock:
                rows = self._cache.get(number)
            if rows is None:
                file, place = self._groups[number]
                rows = file.read_row_group(place)
                with self._lock:
                    self._cache.put(number, rows)
            return rows

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Raise DamagedFileError, which names the directory, where files cannot be read."""
        try:
            yield
        except (DamagedFileError, OSError, pa.ArrowInvalid) as error:
            raise DamagedFileError(
                f"{self.directory} is damaged, or is being replaced ({error}): try again, and else run "
                "jobs/score_all.py"
            ) from None


def _rows_of(groups: list[pa.Table], user_id: int | str) -> list[dict[str, Any]]:
    """Return a user's rows, best first, of row groups."""
    found = [rows.filter(pa.array(rows["user_id"].to_numpy() == user_id)) for rows in groups]
    return sorted((row for rows in found for row in rows.to_pylist()), key=lambda row: row["rank"])


def _read_manifest(directory: Path) -> RecommendationManifest:
    file = directory / HIDDEN_MANIFEST
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{directory} holds no recommendations ({error}); run jobs/score_all.py") from None
    return RecommendationManifest.unseal(text, str(file))


def _user_ranges(groups: list[tuple[pq.ParquetFile, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest user_id of row groups, [G] each.

    Raises:
        DamagedFileError: a file does not say.

    """
    ranges = []
    for file, number in groups:
        group = file.metadata.row_group(number)
        statistics = group.column(file.schema_arrow.get_field_index("user_id")).statistics
        if statistics is None or not statistics.has_min_max:
            raise DamagedFileError("a row group has no statistics of user_id")
        ranges.append((statistics.min, statistics.max))
    kind = object if ranges and isinstance(ranges[0][0], str) else np.int64
    lowest, highest = np.array(ranges, kind).reshape(-1, 2).T
    return lowest, highest
