"""Files written whole or not at all."""

import os
from collections.abc import Iterable
from pathlib import Path


def write_atomically(file: Path, content: bytes) -> None:
    """Write a file so that, whenever the power fails, the old or the new content is there as a whole."""
    write_pieces_atomically(file, [content])


def write_pieces_atomically(file: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """The same for content that comes in pieces, and is never in memory as a whole."""
    draft = file.with_name(f".{file.name}.draft")
    with draft.open("wb") as stream:
        stream.writelines(pieces)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, file)
