"""petastorm 0.12.1 on current pyarrow. Only this module imports petastorm.

The last usable release of petastorm was written for pyarrow 13 and older. It imports two modules that pyarrow has
removed since, and opens files with a `ParquetDataset` that pyarrow has rewritten. This module provides small
replacements. It works with that one release, which never changes, and refuses any other.

It supports only `make_batch_reader` on a list of local files with columns of numbers: no text columns (petastorm reads
them with names that NumPy 2 has removed), no directories, no partitions, no process pool.
"""

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from widedeep.common.errors import InputError
from widedeep.data.parquet import open_parquet

PETASTORM = "0.12.1"
# Names that petastorm imports but does not use for local files.
REMOVED = {"pyarrow.filesystem": "LocalFileSystem", "pyarrow.hdfs": "HadoopFileSystem"}


def _check_version() -> None:
    """Check that the release of petastorm is the supported one.

    Raises:
        InputError: another release is installed.

    """
    installed = version("petastorm")
    if installed != PETASTORM:
        raise InputError(
            f"petastorm {installed} is installed, this reader works with {PETASTORM} alone: "
            f"pip install petastorm=={PETASTORM}, or read without it: --loader.reader pyarrow"
        )


@contextmanager
def _removed_modules() -> Iterator[None]:
    """Provide the modules that pyarrow has removed, while petastorm is imported."""
    for module, name in REMOVED.items():
        sys.modules[module] = ModuleType(module)
        setattr(sys.modules[module], name, type(name, (), {}))
    try:
        yield
    finally:
        for module in REMOVED:
            del sys.modules[module]


class LocalFiles:
    """The file system for petastorm, which passes percent-encoded paths of URLs."""

    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading."""
        return pa.OSFile(unquote(path))


class ParquetDatasetPiece:
    """pyarrow's former class for a row group, or for a file if `row_group` is None; methods raise DamagedFileError."""

    def __init__(self, path: str, open_file_func: Any = None, row_group: int | None = None, partition_keys: Any = None):
        self.path, self.row_group, self.partition_keys = path, row_group, partition_keys
        self._file = unquote(path)

    def get_metadata(self) -> pq.FileMetaData:
        """Read the footer of the file."""
        with open_parquet(self._file) as opened:
            return opened.metadata

    def read(self, columns: Collection[str], partitions: None = None) -> pa.Table:
        """Read columns of the row group."""
        with open_parquet(self._file) as opened:
            return opened.read_row_group(self.row_group, columns=sorted(columns))


class ParquetDataset:
    """pyarrow's former dataset: files in the given order, without partitions or common metadata."""

    metadata = common_metadata = partitions = None

    def __init__(self, path_or_paths: Sequence[str], filesystem: LocalFiles, **_: Any):
        self.paths, self.fs = path_or_paths, filesystem
        self.pieces = [ParquetDatasetPiece(path) for path in path_or_paths]


import setuptools  # noqa: E402, F401  # provides distutils, which petastorm imports, on Python 3.12 and later

_check_version()
with _removed_modules():
    from petastorm import arrow_reader_worker, make_batch_reader, reader
    from petastorm.etl import dataset_metadata

for _module in (arrow_reader_worker, dataset_metadata, reader):
    vars(_module)["pq"] = SimpleNamespace(ParquetDataset=ParquetDataset, ParquetDatasetPiece=ParquetDatasetPiece)

__all__ = ["LocalFiles", "make_batch_reader"]
