"""Damage to files, as disks, networks and people do it."""

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


DAMAGES = ("truncated", "empty", "flipped", "zeroed", "missing")


def spoil(file: Path, damage: str, at: float = 0.5) -> None:
    """Damage a file in one of the ways of `DAMAGES`; `at` is where, as a share of its bytes."""
    if damage == "missing":
        file.unlink()
        return
    content = bytearray(file.read_bytes())
    place = min(int(at * len(content)), len(content) - 1)
    if damage == "truncated":
        del content[max(1, place) :]
    elif damage == "empty":
        content.clear()
    elif damage == "flipped":
        content[place] ^= 1
    else:
        end = min(place + 4096, len(content))
        assert any(content[place:end]), "there is nothing to zero"
        content[place:end] = bytes(end - place)
    file.write_bytes(content)
