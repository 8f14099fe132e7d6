"""A prepared directory as frames: of exactly the files that its manifest lists, and checked against it."""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.errors import DamagedFileError
from widedeep.schema.manifest import SPLITS, DataFile
from widedeep.spark.filesystem import Files, read_prepared

RATINGS = "user int, item int, rating float"  # the schema of all shards


class PreparedData:
    """The tables and ratings of a prepared directory. A file that is not in the manifest is not read."""

    def __init__(self, spark: SparkSession, directory: str, verify: bool = True):
        """Read the manifest; files are checked before they are read for the first time.

        Args:
            spark: the session.
            directory: written by jobs/prepare.py.
            verify: whether executors read the files for their digests; sizes are compared in any case.

        Raises:
            InputError: there is no manifest, or it was changed.

        """
        self.spark, self.directory, self.files = spark, directory.rstrip("/"), Files(spark)
        self.manifest, self._verify = read_prepared(self.files, self.directory), verify
        self._checked: set[str] = set()  # paths

    @property
    def users(self) -> DataFrame:
        """The feature table of the users; DamagedFileError if a file differs from the manifest."""
        return self._read(self.manifest.users.files)

    @property
    def items(self) -> DataFrame:
        """The feature table of the items; DamagedFileError if a file differs from the manifest."""
        return self._read(self.manifest.items.files)

    def ratings(self, splits: Sequence[str] = SPLITS) -> DataFrame:
        """Return user, item, rating and split of the ratings of some splits.

        Raises:
            DamagedFileError: a file differs from the manifest.

        """
        shards = self.manifest.ratings.shards
        self._check([file for name in splits for file in shards[name]])  # all of them by one job
        read = (name for name in splits if shards[name])
        parts = [self._read(shards[name], RATINGS).withColumn("split", F.lit(name)) for name in read]
        if not parts:
            return self.spark.createDataFrame([], f"{RATINGS}, split string")
        return reduce(DataFrame.unionByName, parts).select("user", "item", "rating", "split")

    def _read(self, listed: Sequence[DataFile], schema: str | None = None) -> DataFrame:
        """Return the rows of files; without a schema, Spark reads it from them by a job of its own."""
        self._check(listed)
        reader = self.spark.read if schema is None else self.spark.read.schema(schema)
        return reader.parquet(*(f"{self.directory}/{file.path}" for file in listed))

    def _check(self, listed: Sequence[DataFile]) -> None:
        unchecked = [file for file in listed if file.path not in self._checked]
        remedy = "copy it again, or run jobs/prepare.py again"
        check_listed_files(self.spark, self.directory, unchecked, self._verify, remedy)
        self._checked |= {file.path for file in unchecked}


def check_listed_files(spark: SparkSession, root: str, listed: Sequence[DataFile], verify: bool, remedy: str) -> None:
    """Compare files with the manifest that lists them.

    Args:
        spark: the session.
        root: the directory of the manifest.
        listed: what the manifest says of the files.
        verify: whether executors read them for their digests, at about a second per GB and core; else sizes only.
        remedy: what to do if a file differs.

    Raises:
        DamagedFileError: a file differs; the message names it, the expected and the actual value.

    """
    files = Files(spark)
    sizes = {directory: dict(_sizes(files, f"{root}/{directory}")) for directory in {_parent(f.path) for f in listed}}
    for file in listed:
        size = sizes[_parent(file.path)].get(file.path.rpartition("/")[2])
        if size is None:
            raise DamagedFileError(f"file {root}/{file.path} is missing: {remedy}")
        if size != file.bytes:
            raise DamagedFileError(
                f"file {root}/{file.path} has {size} bytes, the manifest says {file.bytes}: {remedy}"
            )
    if not verify or not listed:
        return
    binary = spark.read.format("binaryFile").load([f"{root}/{file.path}" for file in listed])
    found = binary.select("path", F.sha2("content", 256).alias("sha256")).collect()
    # Spark gives whole paths, with a scheme: they are known by their ends.
    depths = {file.path.count("/") + 1 for file in listed}
    digests = {"/".join(row["path"].split("/")[-depth:]): row["sha256"] for row in found for depth in depths}
    for file in listed:
        digest = digests.get(file.path)
        if digest != file.sha256:
            raise DamagedFileError(
                f"file {root}/{file.path} has sha256 {digest}, the manifest says {file.sha256}: {remedy}"
            )


def _sizes(files: Files, directory: str) -> list[tuple[str, int]]:
    path = directory.rstrip("/")
    return [(name, size) for name, size, _ in files.entries(path)] if files.exists(path) else []


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
