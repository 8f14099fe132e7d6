"""The choice of a shard reader. All readers yield the same rows in the same order."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from widedeep.common.errors import InputError
from widedeep.config.fields import ReaderName


class ReadShards(Protocol):
    """A function that reads shards."""

    def __call__(self, files: Sequence[Path], columns: Sequence[str], seed: int | None) -> Iterator[list[np.ndarray]]:
        """Read Parquet files of one row group each, one at a time.

        Args:
            files: at least one.
            columns: names of numeric columns without nulls.
            seed: determines the order of the files; None keeps the order of `files`.

        Yields:
            the columns of a file, each [rows of the file], in their stored types.

        Raises:
            DamagedFileError: a file cannot be read, or one of its pages fails its checksum.

        """
        ...


def reader_named(name: ReaderName) -> ReadShards:
    """Return a reader by name. Its library is imported only here, so the other reader works without it.

    Raises:
        InputError: the library is missing, or its release is not supported.

    """
    try:
        return importlib.import_module(f"widedeep.data.{name}_reader").read_shards
    except ImportError as error:
        raise InputError(
            f"loader.reader: {name} cannot be imported ({error}): install this package's dependencies again"
            + (", or read without it: --loader.reader pyarrow" if name == "petastorm" else "")
        ) from error
