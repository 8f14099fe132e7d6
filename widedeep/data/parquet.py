"""Reading of Parquet files with verified page checksums, so that a flipped bit is an error and never a wrong value."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from widedeep.common.errors import DamagedFileError

# For `pyarrow.dataset`, which opens files itself.
CHECKED_FORMAT = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)


@contextmanager
def open_parquet(file: str | Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; a context manager.

    Raises:
        DamagedFileError: the file is missing or not a Parquet file, or data read in the block fails its checksum.

    """
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            yield opened
    except (PermissionError, MemoryError):  # the file may be intact
        raise
    except (OSError, pa.ArrowException) as error:
        raise DamagedFileError(
            f"{file} cannot be read: {error}; copy its directory again, or write it again with the command that made it"
        ) from error


def read_parquet(file: str | Path, columns: Sequence[str]) -> pa.Table:
    """Read columns of a Parquet file, from all row groups; raises what `open_parquet` raises."""
    with open_parquet(file) as opened:
        return opened.read(columns=list(columns))
