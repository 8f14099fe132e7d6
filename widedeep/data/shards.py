"""Shards of ratings: checked against the manifest, and read one row group at a time.

Legend: n rows of a row group.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from widedeep.common.errors import DamagedFileError
from widedeep.common.files import sha256_of
from widedeep.data.batches import Batch
from widedeep.data.readers import ReadShards
from widedeep.schema.manifest import DataFile


def check_files(data: Path, files: Iterable[DataFile], verify: bool, what: str = "shard") -> None:
    """Compare the sizes of files with the manifest, and their digests too if `verify` is set.

    Readers always verify the checksums of pages; a digest also covers the bytes between the pages, and tells another
    intact file from the one that belongs here.

    Args:
        data: the prepared directory.
        files: to check.
        verify: whether to read them for their digests, at about a second per GB.
        what: they are called in errors.

    Raises:
        DamagedFileError: a file differs; the message names it, the expected and the actual value.

    """
    remedy = "copy the prepared directory again, or run jobs/prepare.py again"
    for expected in files:
        file = data / expected.path
        if not file.is_file():
            raise DamagedFileError(f"{what} {file} is missing: {remedy}")
        size = file.stat().st_size
        if size != expected.bytes:
            raise DamagedFileError(f"{what} {file} has {size} bytes, the manifest says {expected.bytes}: {remedy}")
        if verify and (digest := sha256_of(file)) != expected.sha256:
            raise DamagedFileError(f"{what} {file} has sha256 {digest}, the manifest says {expected.sha256}: {remedy}")


def read_row_groups(
    read_shards: ReadShards, data: Path, shards: Sequence[DataFile], seed: int | None
) -> Iterator[np.ndarray]:
    """Read all rows of the shards, one row group (that is, one shard) at a time.

    Args:
        read_shards: the function that reads files, from `reader_named`.
        data: the prepared directory.
        shards: the files to read; each has one row group.
        seed: determines the order of the row groups; None keeps the order of `shards`.

    Yields:
        packed ratings, [n, 3] int32, as `pack_columns` gives them.

    Raises:
        DamagedFileError: a shard cannot be read, or the number of rows differs from the manifest's.

    """
    if not shards:
        return
    # Given a directory, petastorm would unpickle what it finds in there.
    check_files(data, shards, verify=False)
    expected, actual = sum(shard.rows for shard in shards), 0
    for columns in read_shards([data / shard.path for shard in shards], Batch._fields, seed):
        actual += len(columns[0])
        if actual > expected:
            break
        yield pack_columns(columns)
    if actual != expected:
        raise DamagedFileError(
            f"{actual} rows arrived from {len(shards)} shards of {data}, the manifest says {expected}"
        )


def read_packed(read_shards: ReadShards, data: Path, shards: Sequence[DataFile]) -> np.ndarray:
    """Read all rows of the shards in their order, as packed ratings, [N, 3] int32; raises as `read_row_groups`."""
    packed = np.empty((sum(shard.rows for shard in shards), len(Batch._fields)), np.int32)
    low = 0
    for group in read_row_groups(read_shards, data, shards, seed=None):
        packed[low : low + len(group)] = group
        low += len(group)
    return packed


def pack_columns(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Pack 32-bit columns side by side, so that fetching a row is one memory access: [n] each -> [n, columns] int32."""
    packed = np.empty((len(columns[0]), len(columns)), np.int32)
    for index, column in enumerate(columns):
        packed[:, index] = column.view(np.int32)
    return packed
