"""Reading of shards with petastorm."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from widedeep.data.petastorm_compat import LocalFiles, make_batch_reader


def read_shards(files: Sequence[Path], columns: Sequence[str], seed: int | None) -> Iterator[list[np.ndarray]]:
    """Read Parquet files of one row group each, one at a time; see `widedeep.data.readers.ReadShards`."""
    # One worker thread: more are not faster, and make the order random.
    with make_batch_reader(
        [file.resolve().as_uri() for file in files],
        reader_pool_type="thread",
        workers_count=1,
        schema_fields=list(columns),
        shuffle_row_groups=seed is not None,
        seed=seed,
        num_epochs=1,
        filesystem=LocalFiles(),
    ) as reader:
        for group in reader:
            yield [getattr(group, name) for name in columns]
