"""Local files and directories that are replaced as a whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(file: Path) -> Iterator[BinaryIO]:
    """Open a file to write bytes to; at the end of the block it replaces the old file.

    If the block raises or the machine fails, the old file stays.
    """
    draft = file.with_name(f".{file.name}.draft")
    with draft.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, file)


def write_atomically(file: Path, content: bytes) -> None:
    """Replace a file's content as a whole."""
    with atomic_file(file) as stream:
        stream.write(content)


@contextmanager
def atomic_directory(directory: Path) -> Iterator[Path]:
    """Give an empty directory to write to; at the end of the block it replaces `directory`.

    If the block raises, the old directory stays. A directory cannot be replaced in one step: the old one is renamed,
    then the new one takes its name. If the machine fails in between, the next call puts the old one back first.
    """
    staging = directory.with_name(f".{directory.name}.staging")
    former = directory.with_name(f".{directory.name}.former")
    if former.exists() and not directory.exists():
        former.rename(directory)
    for path in (staging, former):
        shutil.rmtree(path, ignore_errors=True)
    staging.mkdir(parents=True)
    yield staging
    if directory.exists():
        directory.rename(former)
    staging.rename(directory)
    shutil.rmtree(former, ignore_errors=True)
