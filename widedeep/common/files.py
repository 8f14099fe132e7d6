"""Local files and directories that are replaced as a whole or not at all, and the digests that tell damage."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from widedeep.common.errors import WriteError

GB = 1e9
# A disk that is full, a quota that is used up, a disk or a directory that may not be written to.
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class HashingStream:
    """A stream of bytes to write to, which counts and hashes what passes."""

    def __init__(self, stream: BinaryIO):
        self._stream, self._hash = stream, hashlib.sha256()
        self.bytes = 0

    def write(self, content: bytes | memoryview) -> int:
        """Write all of `content`."""
        self._hash.update(content)
        size = memoryview(content).nbytes
        self.bytes += size
        self._stream.write(content)
        return size

    def flush(self) -> None:
        """Pass on what is buffered."""
        self._stream.flush()

    @property
    def sha256(self) -> str:
        """The digest of what was written, in hex."""
        return self._hash.hexdigest()


def sha256_of(file: Path) -> str:
    """Return the digest of a file's bytes, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_file(file: Path) -> Iterator[BinaryIO]:
    """Open a file to write bytes to; at the end of the block it replaces the old file.

    If the block raises or the machine fails, the old file stays.
    """
    draft = file.with_name(f".{file.name}.draft")
    try:
        with draft.open("wb") as stream:
            yield stream
            sync(stream)
        os.replace(draft, file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(file.parent)


def write_atomically(file: Path, content: bytes) -> None:
    """Replace a file's content as a whole."""
    with atomic_file(file) as stream:
        stream.write(content)


def sync(stream: BinaryIO) -> None:
    """Wait until what was written to a file is on the disk."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_directory(directory: Path) -> None:
    """Wait until the names of a directory's files are on the disk: a file's own sync does not cover its name."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(directory: Path) -> None:
    """Wait until all files below a directory and all their names are on the disk, whichever process has written them.

    What another machine has written to a shared file system, it has to send there itself.
    """
    for folder, _, names in os.walk(directory):
        for name in names:
            with Path(folder, name).open("rb") as stream:
                os.fsync(stream.fileno())
        sync_directory(Path(folder))


def make_directory(directory: Path) -> None:
    """Create a directory and its parents where they are missing; wait until their names are on the disk."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    sync_directory(directory.parent)


@contextmanager
def refusals_named(what: str, otherwise: str) -> Iterator[None]:
    """Raise WriteError, which names what was written, where a disk does not take it.

    Args:
        what: is written in the block.
        otherwise: what to do instead of making room, such as "choose another --output".

    """
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise refusal(what, os.strerror(error.errno), otherwise) from error


def refusal(what: str, why: str, otherwise: str) -> WriteError:
    """Return the error of a disk that does not take what is written."""
    return WriteError(f"{what} could not be written ({why}): free space there, or make it writable, or {otherwise}")


def free_space(place: Path) -> int:
    """Return the free bytes of the file system that holds a path, which need not exist yet."""
    place = place.resolve()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


@contextmanager
def atomic_directory(directory: Path) -> Iterator[Path]:
    """Give an empty directory to write to; at the end of the block it is on the disk and replaces `directory`.

    If the block raises, the old directory stays. A directory cannot be replaced in one step: the old one is renamed,
    then the new one takes its name. After a crash in between, `undo_replacement` puts the old one back.
    """
    undo_replacement(directory)
    staging, former = _beside(directory)
    make_directory(staging)
    try:
        yield staging
        sync_tree(staging)
        if directory.exists():
            directory.rename(former)
        staging.rename(directory)
        sync_directory(directory.parent)
    finally:
        undo_replacement(directory)


def undo_replacement(directory: Path) -> None:
    """Give a directory its name back if its replacement was not finished, and delete what is left of replacements."""
    staging, former = _beside(directory)
    if former.exists() and not directory.exists():
        former.rename(directory)
    for path in (staging, former):
        shutil.rmtree(path, ignore_errors=True)


def _beside(directory: Path) -> tuple[Path, Path]:
    """Return where a directory's replacement is written, and where the directory is while they change places."""
    return directory.with_name(f".{directory.name}.staging"), directory.with_name(f".{directory.name}.former")
