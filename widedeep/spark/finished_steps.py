"""What a long job has done already: a killed one goes on after the last step that was written to its end."""

import hashlib

from widedeep.common.console import log
from widedeep.spark.filesystem import Files
from widedeep.spark.session import package_digest

STAMP = "stamp"
FINISHED = "_finished"  # the mark of a step


def resume_or_reset(files: Files, directory: str, *identity: object) -> None:
    """Keep the steps of an earlier run of the same job by the same code; delete those of another.

    Args:
        files: the file system.
        directory: of the steps.
        identity: all that the steps depend on.

    """
    said = " ".join(map(str, (package_digest(), *identity)))
    stamp, file = hashlib.sha256(said.encode()).hexdigest(), f"{directory}/{STAMP}"
    if files.exists(file) and files.read_text(file) == stamp:
        log.info("resuming an interrupted run in %s", directory)
        return
    files.delete(directory)
    files.make_directory(directory)
    files.write_text(file, stamp)


def is_finished(files: Files, step: str) -> bool:
    """Whether a directory was written to its end."""
    return files.exists(f"{step}/{FINISHED}")


def finish_step(files: Files, step: str) -> None:
    """Let a step count as finished once it is on the disk. Spark's own mark, _SUCCESS, does not wait for that."""
    files.sync(step)
    files.write_text(f"{step}/{FINISHED}", "")


def begin_again(files: Files, step: str) -> None:
    """Let a step that was finished count as unfinished."""
    files.delete(f"{step}/{FINISHED}")
    files.sync_name(f"{step}/{FINISHED}")
