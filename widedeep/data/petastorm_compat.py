"""petastorm 0.12.1 on today's pyarrow. With petastorm_reader.py, the only importer of petastorm.

petastorm's last usable release was written for pyarrow 13 and older. It imports two modules that pyarrow has removed
since, and opens its files through a `ParquetDataset` that pyarrow has rewritten. This module gives it small stand-ins
for these names. It is tied to that one release, which never changes, and refuses any other.

Only the way from `make_batch_reader` over a list of local files to columns of numbers is covered: no text columns
(petastorm uses names that NumPy 2 has removed for them), no directories, no partitions, no process pool.
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
# Names that petastorm imports but, for local files, never uses.
REMOVED = {"pyarrow.filesystem": "LocalFileSystem", "pyarrow.hdfs": "HadoopFileSystem"}


def _check_version() -> None:
    """Refuse every release but the one that the stand-ins fit.

    Raises:
        InputError: another release is installed.

    """
    found = version("petastorm")
    if found != PETASTORM:
        raise InputError(
            f"petastorm {found} is installed, this reader works with {PETASTORM} alone: "
            f"pip install petastorm=={PETASTORM}, or read without it: --loader.reader pyarrow"
        )


@contextmanager
def _removed_modules() -> Iterator[None]:
    """Stand-ins for the modules that pyarrow has removed, for as long as petastorm is imported."""
    for module, name in REMOVED.items():
        sys.modules[module] = ModuleType(module)
        setattr(sys.modules[module], name, type(name, (), {}))
    try:
        yield
    finally:
        for module in REMOVED:
            del sys.modules[module]


class LocalFiles:
    """The file system that petastorm is given. It gets the paths of URLs, which are percent-encoded."""

    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading."""
        return pa.OSFile(unquote(path))


class ParquetDatasetPiece:
    """A row group of a file (or, without a number, the file), as pyarrow had it; its methods raise DamagedFileError."""

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
    """Files as pyarrow's removed dataset listed them: in the order given, without partitions or a common footer."""

    metadata = common_metadata = partitions = None

    def __init__(self, path_or_paths: Sequence[str], filesystem: LocalFiles, **_: Any):
        self.paths, self.fs = path_or_paths, filesystem
        self.pieces = [ParquetDatasetPiece(path) for path in path_or_paths]


import setuptools  # noqa: E402, F401  # brings distutils, which petastorm imports, to Python 3.12 and later

_check_version()
with _removed_modules():
    from petastorm import arrow_reader_worker, make_batch_reader, reader
    from petastorm.etl import dataset_metadata

for _module in (arrow_reader_worker, dataset_metadata, reader):
    vars(_module)["pq"] = SimpleNamespace(ParquetDataset=ParquetDataset, ParquetDatasetPiece=ParquetDatasetPiece)

__all__ = ["LocalFiles", "make_batch_reader"]
