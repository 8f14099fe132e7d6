"""The commit of a directory on Spark's file system: readers of its manifest find it whole, or not at all.

TARGET.staging       is written. When it is whole it has its manifest, under the name of a draft
TARGET.former        is what the target was, for the moment of the exchange
TARGET/MANIFEST      the manifest gets its name last: that is the commit

A crash before the draft leaves the target as it was. After a crash behind it, the next command that looks at the target
finishes the exchange: nothing that was written to its end is lost. On this machine's disks that holds for a power cut,
too: all files are on the disk before the draft is, and each step of the exchange before the next.

Object stores cannot rename a directory: they copy and delete its files one by one. There the target itself is written,
with a mark that it is not whole, and gets its manifest last. An older output is deleted first, its manifest before all
else, so readers find the old one, none, or the new one.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.common.files import refusal, refusals_named
from widedeep.schema.manifest import MANIFEST
from widedeep.schema.records import kind_of
from widedeep.spark.filesystem import Files
from widedeep.spark.output_lock import output_lock

OBJECT_STORES = ("s3a", "s3", "gs", "oss", "cosn", "obs", "swift", "wasb", "wasbs")  # schemes
UNFINISHED = "_unfinished"  # the mark
# How Hadoop says that this machine's disk did not take what was to be written. Spark's own files it does not write.
REFUSED = re.compile(
    r"FSError: java\.io\.IOException: (No space left on device|Disk quota exceeded|Read-only file system)"
    r"|(Mkdirs failed to create \S+)"
)
PATTERN_CHARACTERS = set("*?[]{}\\")


class Output(NamedTuple):
    """A directory that a command wants to write."""

    target: str
    kind: str  # what it will hold, as its manifest says
    overwrite: bool = False  # whether it may replace an older one of the same kind
    inputs: Sequence[str] = ()  # directories that are read, and must not be replaced
    flag: str = "output"  # that names the directory, for messages
    manifest_name: str = MANIFEST


def check_output(files: Files, output: Output) -> None:
    """Refuse what `staged_directory` would refuse, before hours of work. First finishes what a crash has left behind.

    Raises:
        InputError: the target is an input or above one, has content that no command of ours has written, holds
            something of another kind, or something of the same kind that may not be replaced; or another command is
            writing to it.
        WriteError: nothing can be written there.

    """
    with _locked(files, output):
        pass


@contextmanager
def _locked(files: Files, output: Output) -> Iterator[None]:
    """Hold the lock of a directory that may be written; only under it a commit may be finished."""
    target, flag = output.target.rstrip("/"), output.flag
    if target.rpartition("/")[2] in ("", ".", ".."):
        raise InputError(f"{flag} {output.target!r} names no directory: choose another --{flag}")
    if odd := PATTERN_CHARACTERS & set(target):
        raise InputError(f"{flag} {target}: Spark takes {' '.join(sorted(odd))} for a pattern: choose another --{flag}")
    where = files.absolute(target)
    for read in output.inputs:
        if f"{files.absolute(read).rstrip('/')}/".startswith(f"{where}/"):
            raise InputError(f"{flag} {target} would replace what is read from {read}: choose another --{flag}")
    with _refusals_named(output), output_lock(files, target, flag):
        finish_commit(files, output)
        if files.exists(target) and (not files.is_directory(target) or files.entries(target)):
            _check_content(files, output)
        yield


@contextmanager
def _refusals_named(output: Output) -> Iterator[None]:
    """Raise WriteError, which names the directory, where a disk does not take what is written to it."""
    what, otherwise = f"{output.flag} {output.target}", f"choose another --{output.flag}"
    with refusals_named(what, otherwise):
        try:
            yield
        except (Py4JJavaError, PySparkException) as error:
            found = REFUSED.search(str(error))
            if found is None:
                raise
            raise refusal(what, found[1] or found[2], otherwise) from error


def _check_content(files: Files, output: Output) -> None:
    target, flag = output.target.rstrip("/"), output.flag
    file = f"{target}/{output.manifest_name}"
    if not files.exists(file):
        if files.exists(f"{target}/{UNFINISHED}"):
            return
        raise InputError(
            f"{flag} {target} holds files but no {output.manifest_name}, so no command of ours has written it: "
            f"choose another --{flag} or empty it"
        )
    kind = kind_of(files.read_text(file))
    if kind != output.kind:
        raise InputError(
            f"{flag} {target} holds {kind or 'something else'}, not {output.kind}: choose another --{flag}"
        )
    if not output.overwrite:
        raise InputError(
            f"{flag} {target} holds {kind} already: give --overwrite to replace them, or choose another --{flag}"
        )


class StagedDirectory:
    """A directory that is written at `path` and takes the place of its target when it is committed."""

    def __init__(self, files: Files, output: Output):
        self.files, self._output = files, output
        self._in_place = files.scheme(output.target) in OBJECT_STORES
        self.path = output.target.rstrip("/") if self._in_place else _sibling(output.target, "staging")

    def begin(self) -> None:
        """Empty the directory."""
        if self._in_place:
            self.files.delete(f"{self.path}/{self._output.manifest_name}")
        self.files.delete(self.path)
        if self._in_place:
            self.files.write_new_text(f"{self.path}/{UNFINISHED}", self._output.kind)

    def commit(self, manifest: str) -> None:
        """Put the directory in the place of its target. From here on a crash loses nothing."""
        self.files.sync(self.path)
        if self._in_place:
            self.files.write_new_text(f"{self.path}/{self._output.manifest_name}", manifest)
            self.files.delete(f"{self.path}/{UNFINISHED}")
            return
        self.files.write_text(f"{self.path}/{_draft(self._output.manifest_name)}", manifest)
        finish_commit(self.files, self._output)

    def clean_up(self) -> None:
        """Delete what was begun and not committed; what is whole but could not be put in its place stays."""
        unfinished = UNFINISHED if self._in_place else _draft(self._output.manifest_name)
        if self.files.exists(f"{self.path}/{unfinished}") == self._in_place:
            self.files.delete(self.path)


@contextmanager
def staged_directory(files: Files, output: Output) -> Iterator[StagedDirectory]:
    """Give a directory to write to; `commit` at the end of the block puts it in the place of the target.

    A block that ends otherwise leaves the target as it was (in an object store: without the old output). Until then no
    other command can write to it.

    Raises:
        InputError: the target must not be written (see `check_output`), or another command is writing to it.
        WriteError: the disk does not take what is written in the block.

    """
    with _locked(files, output):
        staged = StagedDirectory(files, output)
        staged.begin()
        try:
            yield staged
        finally:
            staged.clean_up()


def finish_commit(files: Files, output: Output) -> None:
    """Do what is left of a commit, or undo what a crash has begun before one. Without either it does nothing."""
    target, name = output.target.rstrip("/"), output.manifest_name
    staging, former, draft = _sibling(target, "staging"), _sibling(target, "former"), _draft(name)
    if files.exists(f"{staging}/{draft}"):
        if files.exists(target):
            files.delete(former)
            files.rename(target, former)
        elif "/" in target:
            files.make_directory(target.rpartition("/")[0] or "/")
        files.rename(staging, target)
        files.sync_name(target)
    if files.exists(f"{target}/{draft}"):
        files.rename(f"{target}/{draft}", f"{target}/{name}")  # the commit
        files.sync_name(f"{target}/{name}")
    if files.exists(former):
        if files.exists(f"{target}/{name}"):
            files.delete(former)
        else:
            log.warning("%s was put back: its replacement was not finished", target)
            files.delete(target)
            files.rename(former, target)


def _sibling(directory: str, suffix: str) -> str:
    """A name beside a directory, on the same file system, so that a rename is enough.

    It begins with no dot or underscore: Spark would not read it.
    """
    return f"{directory.rstrip('/')}.{suffix}"


def _draft(manifest_name: str) -> str:
    """The name of a manifest whose directory is not in its place yet."""
    return f"{manifest_name}.draft"
