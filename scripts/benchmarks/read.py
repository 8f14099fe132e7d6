"""Shards through petastorm into tensors, beside a plain pyarrow scan of them into tensors."""

from typing import Any
from warnings import catch_warnings, simplefilter

import pyarrow.parquet as pq
import torch

from benchmarks.measure import alternately
from benchmarks.workspace import Workspace
from widedeep.reader import Batch, read_row_groups
from widedeep.schema import read_manifest


def bench(space: Workspace, repeats: int) -> dict[str, Any]:
    """Read the training split once in each way, in turn."""
    data = space.prepared
    shards = read_manifest(data).ratings.shards["train"]
    rows = sum(shard.rows for shard in shards)

    def ours() -> None:
        assert sum(len(group) for group in read_row_groups(data, shards, seed=0)) == rows

    def theirs() -> None:
        read = 0
        for shard in shards:
            table = pq.ParquetFile(data / shard.path).read(columns=list(Batch._fields))
            columns = [
                torch.from_numpy(table[name].combine_chunks().to_numpy(zero_copy_only=False)) for name in Batch._fields
            ]
            read += len(columns[0])
        assert read == rows

    with catch_warnings():
        simplefilter("ignore", UserWarning)  # of arrays that must not be written to: nobody does, and a copy costs
        our_seconds, their_seconds = alternately(repeats, ours, theirs)
    return {
        "vs_pyarrow": their_seconds / our_seconds,
        "rows_per_second": rows / our_seconds,
        "pyarrow_rows_per_second": rows / their_seconds,
    }
