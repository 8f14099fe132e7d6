"""Reading of shards with pyarrow alone, in the same order as with petastorm."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from widedeep.data.parquet import read_parquet


def read_shards(files: Sequence[Path], columns: Sequence[str], seed: int | None) -> Iterator[list[np.ndarray]]:
    """Read Parquet files of one row group each, one at a time; see `widedeep.data.readers.ReadShards`."""
    order = np.arange(len(files))
    if seed is not None:
        np.random.RandomState(seed).shuffle(order)  # the legacy generator that petastorm uses
    for number in order.tolist():
        table = read_parquet(files[number], columns)
        yield [table[name].combine_chunks().to_numpy() for name in columns]
