"""Compare each reader of shards with a plain pyarrow scan of them, both into tensors."""

from functools import partial
from warnings import catch_warnings, simplefilter

import pyarrow.parquet as pq
import torch

from benchmarks.measure import Round, alternately
from benchmarks.workspace import Workspace
from widedeep.config.fields import ReaderName
from widedeep.data.batches import Batch
from widedeep.data.readers import reader_named
from widedeep.data.shards import read_row_groups
from widedeep.schema.manifest import read_manifest


def bench(workspace: Workspace, repeats: int) -> list[Round]:
    """Read the training split once in each way, in turn."""
    data = workspace.prepared
    shards = read_manifest(data).ratings.shards["train"]
    rows = sum(shard.rows for shard in shards)

    def check(read: int) -> None:
        if read != rows:
            raise RuntimeError(f"{read:,} of {rows:,} rows were read")

    def ours(reader: ReaderName) -> None:
        check(sum(len(group) for group in read_row_groups(reader_named(reader), data, shards, seed=0)))

    def theirs() -> None:
        read = 0  # does not verify page checksums; both readers do
        for shard in shards:
            table = pq.ParquetFile(data / shard.path).read(columns=list(Batch._fields))
            columns = [
                torch.from_numpy(table[name].combine_chunks().to_numpy(zero_copy_only=False)) for name in Batch._fields
            ]
            read += len(columns[0])
        check(read)

    with catch_warnings():
        simplefilter("ignore", UserWarning)  # about read-only arrays: nothing writes to them, and a copy costs time
        works = (partial(ours, "petastorm"), partial(ours, "pyarrow"), theirs)
        times = alternately(repeats, *works)
    return [
        {
            "vs_pyarrow": scan / petastorm,
            "pyarrow_reader_vs_pyarrow": scan / pyarrow,
            "rows_per_second": rows / petastorm,
            "pyarrow_reader_rows_per_second": rows / pyarrow,
            "pyarrow_rows_per_second": rows / scan,
        }
        for petastorm, pyarrow, scan in times
    ]
