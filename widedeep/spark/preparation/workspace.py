"""Where a run of prepare works, and which of its steps an earlier run has finished."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.prepare import PrepareConfig
from widedeep.spark.filesystem import Files


class InputFile(NamedTuple):
    """A file of the dump, or a directory of its parts."""

    path: str
    facts: dict[str, object]  # name and bytes, as in the manifest
    parts: list[tuple[str, int, int]]  # name, bytes and modification time in ms


def find_inputs(files: Files, config: PrepareConfig) -> dict[str, InputFile]:
    """Find the dump's files: kind (`ratings`, `users`, `anime`) -> file; InputError if one is missing."""
    names = {"ratings": config.ratings_file, "users": config.users_file, "anime": config.anime_file}
    inputs = {}
    for kind, name in names.items():
        path = f"{config.input}/{name}"
        if not files.exists(path):
            raise InputError(
                f"input file {path} does not exist: give the dump's directory to --input, "
                "or make a dump: spark-submit jobs/synthesize.py"
            )
        parts = files.data_entries(path)
        inputs[kind] = InputFile(path, {"name": name, "bytes": sum(size for _, size, _ in parts)}, parts)
    return inputs


class Workspace(NamedTuple):
    """The session of a run, the directory it stages its output in, and the directory of its finished steps."""

    spark: SparkSession
    files: Files
    staging: str
    steps: str

    def keep(self, name: str, make: Callable[[], DataFrame]) -> DataFrame:
        """The result of a step: written when it is first asked for, then read, by a resumed run too."""
        path = f"{self.steps}/{name}"
        if not self.files.exists(f"{path}/_SUCCESS"):
            log.info("%s …", name)
            make().write.mode("overwrite").parquet(path)
        return self.spark.read.parquet(path)

    def resume_or_reset(self, config: PrepareConfig, inputs: dict[str, InputFile]) -> None:
        """Keep the finished steps of a run of the same input and settings; delete those of another."""
        settings = config.model_dump_json(exclude={"output"})
        stamp = hashlib.sha256(f"{settings} {inputs}".encode()).hexdigest()
        file = f"{self.steps}/stamp"
        if self.files.exists(file) and self.files.read_text(file) == stamp:
            log.info("resuming an interrupted run in %s", self.steps)
            return
        self.files.delete(self.steps)
        self.files.make_directory(self.steps)
        self.files.write_text(file, stamp)
