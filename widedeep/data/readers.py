"""The ways to read shards: all yield the same rows in the same order."""

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
        """Read Parquet files of one row group each, one after the other.

        Args:
            files: at least one.
            columns: names of columns of numbers without nulls.
            seed: draws the order of the files; None: as listed.

        Yields:
            the columns of a file, each [rows of the file], in the type they are stored in.

        Raises:
            DamagedFileError: a file cannot be read, or a page of it does not match its checksum.

        """
        ...


def reader_named(name: ReaderName) -> ReadShards:
    """The reader of that name; its library is imported only now, so that the other one works without it.

    Raises:
        InputError: the library is missing or of a release that does not work.

    """
    try:
        return importlib.import_module(f"widedeep.data.{name}_reader").read_shards
    except ImportError as error:
        raise InputError(
            f"loader.reader: {name} cannot be imported ({error}): install this package's dependencies again"
            + (", or read without it: --loader.reader pyarrow" if name == "petastorm" else "")
        ) from error
