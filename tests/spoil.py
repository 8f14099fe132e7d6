"""Damage to Parquet files that only shows where it is read."""

from pathlib import Path

import pyarrow.parquet as pq


def spoil_other_groups(file: Path, user: int) -> int:
    """Overwrite all row groups that hold no rows of a user, by the statistics of the first column; return how many."""
    metadata, content, spoilt = pq.ParquetFile(file).metadata, bytearray(file.read_bytes()), 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        bounds = group.column(0).statistics
        if bounds.min <= user <= bounds.max:
            continue
        for column in map(group.column, range(group.num_columns)):
            low = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
            content[low : low + column.total_compressed_size] = bytes(column.total_compressed_size)
        spoilt += 1
    file.write_bytes(content)
    return spoilt
