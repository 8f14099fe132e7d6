"""Where a run of prepare works, and which of its steps an earlier run has finished."""

from collections.abc import Callable
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.prepare import PrepareConfig
from widedeep.schema.dataset import Dataset, EntityFile
from widedeep.spark.filesystem import Files
from widedeep.spark.finished_steps import finish_step, is_finished, resume_or_reset


class InputFile(NamedTuple):
    """A file of a data set, a directory of its parts, or the files that a pattern matches."""

    path: str
    facts: dict[str, object]  # name and bytes, as in the manifest
    parts: list[tuple[str, int, int]]  # path, bytes and modification time in ms

    @property
    def size(self) -> int:
        """The bytes of all parts."""
        return sum(size for _, size, _ in self.parts)


class Inputs(NamedTuple):
    """What a run reads: the description of the data set, without optional files that are not there, and its files."""

    dataset: Dataset
    files: dict[str, InputFile]  # ratings, items, users -> file

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files.values())


def find_inputs(files: Files, directory: str, described: Dataset) -> Inputs:
    """Find the files of a data set in a directory.

    Raises:
        InputError: a file is missing that is not optional.

    """
    found, left_out = {}, {}
    for kind, file in described.files.items():
        path, parts = _find(files, f"{directory}/{file.path}")
        if parts:
            found[kind] = InputFile(path, {"name": file.path, "bytes": sum(size for _, size, _ in parts)}, parts)
        elif isinstance(file, EntityFile) and file.optional:
            log.warning("%s does not exist: going on without features of %s", path, kind)
            left_out[kind] = None
        else:
            raise InputError(
                f"input file {path} does not exist: give the directory of the data set to --input and its description "
                f"to --dataset (now {described.name}), or make a data set: spark-submit jobs/synthesize.py"
            )
    return Inputs(described.model_copy(update=left_out), found)


def _find(files: Files, path: str) -> tuple[str, list[tuple[str, int, int]]]:
    """The path, or that of the packed file if only this is there, and its parts."""
    parts = files.data_entries(path)
    packed = [] if parts else files.data_entries(f"{path}.gz")
    return (f"{path}.gz", packed) if packed else (path, parts)


class Workspace(NamedTuple):
    """The session of a run, the directory it stages its output in, and the directory of its finished steps."""

    spark: SparkSession
    files: Files
    staging: str
    steps: str

    def keep(self, name: str, make: Callable[[], DataFrame]) -> DataFrame:
        """The result of a step: written when it is first asked for, then read, by a resumed run too."""
        path, reader = f"{self.steps}/{name}", self.spark.read
        if not is_finished(self.files, path):
            log.info("%s …", name)
            frame = make()
            frame.write.mode("overwrite").parquet(path)
            finish_step(self.files, path)
            reader = reader.schema(frame.schema)  # so that no job reads it from the files
        return reader.parquet(path)

    def resume_or_reset(self, config: PrepareConfig, inputs: Inputs) -> None:
        """Keep the finished steps of a run of the same input and settings; delete those of another."""
        resume_or_reset(self.files, self.steps, config.model_dump_json(exclude={"output", "overwrite"}), inputs)
