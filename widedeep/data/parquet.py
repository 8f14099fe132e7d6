"""Parquet files of ours, read with their page checksums verified: a flipped bit is an error, never a value."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from widedeep.common.errors import DamagedFileError

# For `pyarrow.dataset`, which opens files on its own.
CHECKED_FORMAT = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)


@contextmanager
def open_parquet(file: str | Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for as long as the block lasts.

    Raises:
        DamagedFileError: the file is missing or no Parquet file, or what the block reads does not match its checksum.

    """
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            yield opened
    except (PermissionError, MemoryError):  # the file may be well
        raise
    except (OSError, pa.ArrowException) as error:
        raise DamagedFileError(
            f"{file} cannot be read: {error}; copy its directory again, or make it anew with the command that wrote it"
        ) from error


def read_parquet(file: str | Path, columns: Sequence[str]) -> pa.Table:
    """Read columns of a Parquet file, all of its row groups; raises as `open_parquet`."""
    with open_parquet(file) as opened:
        return opened.read(columns=list(columns))
