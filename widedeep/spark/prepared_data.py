"""A prepared directory as frames: of exactly the files that its manifest lists, and checked against it."""

from collections.abc import Iterable, Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from widedeep.common.errors import DamagedFileError
from widedeep.schema.manifest import SPLITS, DataFile
from widedeep.spark.filesystem import Files, read_prepared


class PreparedData:
    """The tables and ratings of a prepared directory. A file that is not in the manifest is not read."""

    def __init__(self, spark: SparkSession, directory: str, verify: bool = True):
        """Read the manifest, and check the files.

        Args:
            spark: the session.
            directory: written by jobs/prepare.py.
            verify: whether executors read the files for their digests; sizes are compared in any case.

        Raises:
            InputError: there is no manifest, or it was changed.
            DamagedFileError: a file differs from the manifest.

        """
        self.spark, self.directory, self.files = spark, directory.rstrip("/"), Files(spark)
        self.manifest = read_prepared(self.files, self.directory)
        tables = self.manifest.users.files, self.manifest.items.files
        listed = [file for group in (*tables, *self.manifest.ratings.shards.values()) for file in group]
        check_listed_files(spark, self.directory, listed, verify, "copy it again, or run jobs/prepare.py again")

    @property
    def users(self) -> DataFrame:
        """The feature table of the users."""
        return self._read(self.manifest.users.files)

    @property
    def items(self) -> DataFrame:
        """The feature table of the items."""
        return self._read(self.manifest.items.files)

    def ratings(self, splits: Sequence[str] = SPLITS) -> DataFrame:
        """Return user, item, rating and split of the ratings of some splits."""
        shards = self.manifest.ratings.shards
        parts = [self._read(shards[name]).withColumn("split", F.lit(name)) for name in splits if shards[name]]
        if not parts:
            nothing = "user int, item int, rating float, split string"
            return self.spark.createDataFrame([], nothing)
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.unionByName(part)
        return whole.select("user", "item", "rating", "split")

    def _read(self, listed: Iterable[DataFile]) -> DataFrame:
        return read_listed_files(self.spark, self.directory, listed)


def read_listed_files(spark: SparkSession, root: str, listed: Iterable[DataFile]) -> DataFrame:
    """Return the rows of the Parquet files that a manifest lists; there must be one."""
    return spark.read.parquet(*(f"{root}/{file.path}" for file in listed))


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
    digests_by_depth: dict[int, dict[str, str]] = {}  # paths that Spark gives begin with a scheme
    found = binary.select("path", F.sha2("content", 256).alias("sha256")).collect()
    for file in listed:
        parts = file.path.count("/") + 1
        digests = digests_by_depth.setdefault(parts, {_last_parts(r["path"], parts): r["sha256"] for r in found})
        digest = digests.get(file.path)
        if digest != file.sha256:
            raise DamagedFileError(
                f"file {root}/{file.path} has sha256 {digest}, the manifest says {file.sha256}: {remedy}"
            )


def _last_parts(path: str, count: int) -> str:
    return "/".join(path.split("/")[-count:])


def _sizes(files: Files, directory: str) -> list[tuple[str, int]]:
    path = directory.rstrip("/")
    return [(name, size) for name, size, _ in files.entries(path)] if files.exists(path) else []


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
