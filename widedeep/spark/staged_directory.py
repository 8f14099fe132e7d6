"""The commit of a directory on Spark's file system: readers of its manifest find it whole, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager

from widedeep.common.errors import InputError
from widedeep.schema.manifest import MANIFEST
from widedeep.spark.filesystem import Files


def check_replaceable(files: Files, target: str, manifest_name: str = MANIFEST, flag: str = "output") -> None:
    """Refuse to write over a directory that no command of ours has written.

    First undoes what a crash within a commit has left half done.

    Args:
        files: the file system.
        target: the directory.
        manifest_name: name of the manifest that a directory of ours has.
        flag: the flag that names the directory, for the message.

    Raises:
        InputError: `target` has content but no manifest.

    """
    _undo_half_commit(files, target, manifest_name)
    if files.exists(target) and files.entries(target) and not files.exists(f"{target}/{manifest_name}"):
        raise InputError(
            f"{flag} {target} holds files but no {manifest_name}, so no command of ours has written it: "
            f"choose another --{flag} or empty it"
        )


class StagedDirectory:
    """A directory that is written at `path` and takes the place of `target` when it is committed."""

    def __init__(self, files: Files, target: str, manifest_name: str = MANIFEST):
        self.files, self.target, self.manifest_name = files, target.rstrip("/"), manifest_name
        self.path = _sibling(target, "staging")

    def commit(self, manifest: str) -> None:
        """Put the directory in the place of its target; the manifest gets its name last."""
        files, target, former = self.files, self.target, _sibling(self.target, "former")
        draft = _draft(self.manifest_name)
        files.write_text(f"{self.path}/{draft}", manifest)
        files.delete(former)
        if files.exists(target):
            files.rename(target, former)
        elif "/" in target:
            files.make_directory(target.rpartition("/")[0] or "/")
        files.rename(self.path, target)
        files.rename(f"{target}/{draft}", f"{target}/{self.manifest_name}")  # the commit
        files.delete(former)


@contextmanager
def staged_directory(files: Files, target: str, manifest_name: str = MANIFEST) -> Iterator[StagedDirectory]:
    """Give a directory to write to; `commit` at the end of the block puts it in the place of `target`.

    A block that ends otherwise leaves `target` as it was.

    Raises:
        InputError: `target` has content but no manifest (see `check_replaceable`).

    """
    check_replaceable(files, target, manifest_name)
    staged = StagedDirectory(files, target, manifest_name)
    files.delete(staged.path)
    try:
        yield staged
    finally:
        files.delete(staged.path)
        _undo_half_commit(files, target, manifest_name)


def _undo_half_commit(files: Files, target: str, manifest_name: str) -> None:
    """Put back the former directory, or remove a new one, where the manifest has not got its name yet."""
    if files.exists(f"{target}/{manifest_name}"):
        return
    former = _sibling(target, "former")
    if files.exists(former):
        files.delete(target)
        files.rename(former, target)
    elif files.exists(f"{target}/{_draft(manifest_name)}"):
        files.delete(target)


def _sibling(directory: str, suffix: str) -> str:
    """A name beside a directory, on the same file system, so that a rename is enough.

    It begins with no dot or underscore: Spark would not read it.
    """
    return f"{directory.rstrip('/')}.{suffix}"


def _draft(manifest_name: str) -> str:
    """The name of a manifest whose directory is not in its place yet."""
    return f"{manifest_name}.draft"
