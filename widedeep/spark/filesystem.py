"""The file system of the data (local, HDFS, object store), through Hadoop."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from widedeep.common.errors import InputError
from widedeep.common.files import (
    GB,
    free_space,
    make_directory,
    refusals_named,
    sync_directory,
    sync_tree,
    write_atomically,
)
from widedeep.schema.manifest import MANIFEST, Manifest, parse_manifest

# Scheme -> what to give to spark-submit --packages.
CONNECTORS = {
    "s3a": "org.apache.hadoop:hadoop-aws:{hadoop}",
    "abfs": "org.apache.hadoop:hadoop-azure:{hadoop}",
    "abfss": "org.apache.hadoop:hadoop-azure:{hadoop}",
}


def scratch_directory() -> Path:
    """A new directory on this machine; it is deleted when the process ends."""
    here = Path(tempfile.mkdtemp(prefix="widedeep-"))
    atexit.register(shutil.rmtree, here, ignore_errors=True)
    return here


class Files:
    """Small file operations that work wherever Spark can read and write."""

    def __init__(self, spark: SparkSession):
        context: Any = spark.sparkContext
        self._jvm, self._conf = context._jvm, context._jsc.hadoopConfiguration()

    def _path(self, name: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(name)

    def _here(self, path: Path) -> Any:
        # No as_uri: Hadoop does not decode %20.
        return self._path(f"file://{path.resolve()}")

    def _system(self, name: str) -> Any:
        """The file system of a path; InputError if this Spark has no connector to it."""
        try:
            return self._path(name).getFileSystem(self._conf)
        except Py4JJavaError as error:
            scheme, said = name.partition(":")[0], str(error.java_exception.toString())
            if "ClassNotFoundException" not in said and "UnsupportedFileSystemException" not in said:
                raise
            hadoop = self._jvm.org.apache.hadoop.util.VersionInfo.getVersion()
            known = CONNECTORS.get(scheme, "").format(hadoop=hadoop)
            remedy = f"start it with spark-submit --packages {known}" if known else "add one, or use another scheme"
            raise InputError(f"{name}: this Spark has no connector to {scheme}://: {remedy}") from None

    def absolute(self, name: str) -> str:
        """The path with its scheme, as Spark itself resolves it (`file:/…`, `hdfs://…`)."""
        return self._system(name).makeQualified(self._path(name)).toString()

    def scheme(self, name: str) -> str:
        """The scheme of the file system of a path, such as `file`, `hdfs` or `s3a`."""
        return self.absolute(name).partition(":")[0]

    def exists(self, name: str) -> bool:
        """Whether there is such a file or directory."""
        return self._system(name).exists(self._path(name))

    def is_directory(self, name: str) -> bool:
        """Whether an existing path is a directory."""
        return self._system(name).getFileStatus(self._path(name)).isDirectory()

    def local(self, name: str) -> Path | None:
        """The path on this machine; None if it is on another file system."""
        whole = self.absolute(name)
        return Path(whole.removeprefix("file:")) if whole.startswith("file:") else None

    def entries(self, name: str) -> list[tuple[str, int, int]]:
        """(name, bytes, modification time in ms) of a directory's entries, or of the one file; sorted."""
        entries = self._system(name).listStatus(self._path(name))
        return sorted((e.getPath().getName(), e.getLen(), e.getModificationTime()) for e in entries)

    def data_entries(self, name: str) -> list[tuple[str, int, int]]:
        """(path, bytes, modification time in ms) of the files that Spark reads for a path; sorted, none if it is wrong.

        Args:
            name: a file, a directory of parts, or a pattern that matches some. Spark ignores names in a directory that
                begin with an underscore or a dot.

        """
        system, found = self._system(name), []
        for matched in system.globStatus(self._path(name)) or ():
            parts = system.listStatus(matched.getPath()) if matched.isDirectory() else [matched]
            found += [(e.getPath(), e) for e in parts if not e.getPath().getName().startswith(("_", "."))]
        return sorted((path.toString(), e.getLen(), e.getModificationTime()) for path, e in found)

    def delete(self, name: str) -> None:
        """Remove a file or a whole directory, if it is there."""
        self._system(name).delete(self._path(name), True)

    def make_directory(self, name: str) -> None:
        """Create a directory and its parents; OSError if the file system refuses."""
        if local := self.local(name):
            make_directory(local)
        elif not self._system(name).mkdirs(self._path(name)):
            raise OSError(f"could not create {name}")

    def rename(self, old: str, new: str) -> None:
        """Move a file or directory; OSError if the file system refuses."""
        if not self._system(old).rename(self._path(old), self._path(new)):
            raise OSError(f"could not rename {old} to {new}")

    def sync(self, name: str) -> None:
        """Wait until all that is in a directory of this machine is on the disk.

        Other file systems keep what they keep when a file is closed: nothing more can be asked of them from here.
        """
        if local := self.local(name):
            sync_tree(local)

    def sync_name(self, name: str) -> None:
        """Wait until it is on the disk of this machine that a file or directory has this name, or has it no more."""
        if local := self.local(name):
            sync_directory(local.parent)

    def write_text(self, name: str, text: str) -> None:
        """Write a small UTF-8 file as a whole: readers see the old one or the new one.

        On another machine's file system there is a moment in which they see neither; the new one is then `NAME.draft`.
        """
        if local := self.local(name):
            # Not by Hadoop: it adds a checksum file, which fails the reader of a copy that somebody puts there later.
            with refusals_named(name, "name another directory"):
                make_directory(local.parent)
                local.with_name(f".{local.name}.crc").unlink(missing_ok=True)
                write_atomically(local, text.encode("utf-8"))
            return
        draft = f"{name}.draft"
        self.overwrite_text(draft, text)
        self.delete(name)
        self.rename(draft, name)

    def write_new_text(self, name: str, text: str) -> None:
        """Write a small UTF-8 file that is not there yet; FileExistsError if it is."""
        try:
            self._write(self._system(name).create(self._path(name), False), text)
        except Py4JJavaError as error:
            if "AlreadyExists" in error.java_exception.getClass().getName() or self.exists(name):
                raise FileExistsError(name) from None
            raise

    def overwrite_text(self, name: str, text: str) -> None:
        """Write a small UTF-8 file over an older one, of which readers may see a part."""
        self._write(self._system(name).create(self._path(name), True), text)

    def _write(self, stream: Any, text: str) -> None:
        try:
            stream.write(bytearray(text.encode("utf-8")))
        finally:
            stream.close()

    def read_text(self, name: str) -> str:
        """Read a small UTF-8 file."""
        stream = self._system(name).open(self._path(name))
        try:
            return bytes(stream.readAllBytes()).decode("utf-8")
        finally:
            stream.close()

    def head(self, name: str, encoding: str = "utf-8", limit: int = 1 << 18) -> str:
        """The first bytes of a text file, packed or not, without a byte order mark; characters are replaced if wrong.

        Raises:
            InputError: the file is not packed as its name says.

        """
        path = self._path(name)
        codec = self._jvm.org.apache.hadoop.io.compress.CompressionCodecFactory(self._conf).getCodec(path)
        stream = self._system(name).open(path)
        try:
            text = codec.createInputStream(stream) if codec else stream
            head = bytes(text.readNBytes(limit))
        except Py4JJavaError as error:
            raise InputError(f"input file {name} cannot be unpacked: download it again, or rename it") from error
        finally:
            stream.close()
        return head.decode(encoding, errors="replace").removeprefix("\ufeff")

    def first_line(self, name: str, encoding: str = "utf-8") -> str:
        """The first line of a text file without its end; otherwise as `head`."""
        return self.head(name, encoding).split("\n", 1)[0].rstrip("\r")

    def ends_with_newline(self, name: str) -> bool:
        """Whether the last byte of a file that is not empty ends a line; a packed file is taken to."""
        system, path = self._system(name), self._path(name)
        if self._jvm.org.apache.hadoop.io.compress.CompressionCodecFactory(self._conf).getCodec(path):
            return True
        stream = system.open(path)
        try:
            stream.seek(system.getFileStatus(path).getLen() - 1)
            return stream.read() == ord("\n")
        finally:
            stream.close()

    def require_space(self, name: str, needed: int) -> None:
        """Raise InputError if less than `needed` bytes are free where a path is, which need not exist yet."""
        local = self.local(name)
        free = free_space(local) if local else self._system(name).getStatus().getRemaining()
        if free < needed:
            raise InputError(
                f"{name}: {free / GB:.2f} GB are free and about {needed / GB:.2f} GB are needed: free some, or choose "
                "another directory"
            )

    def concatenate(self, parts: list[str], target: str) -> None:
        """Join files, in order, into `target`; the bytes stay in the JVM."""
        with self._open_output(target) as output:
            for part in parts:
                stream = self._system(part).open(self._path(part))
                self._jvm.org.apache.hadoop.io.IOUtils.copyBytes(stream, output, 1 << 20, False)
                stream.close()

    def parquet_footer(self, name: str) -> tuple[int, int]:
        """(row groups, rows) of a Parquet file."""
        hadoop = self._jvm.org.apache.parquet.hadoop
        reader = hadoop.ParquetFileReader.open(hadoop.util.HadoopInputFile.fromPath(self._path(name), self._conf))
        try:
            return reader.getRowGroups().size(), reader.getRecordCount()
        finally:
            reader.close()

    def fetch(self, name: str) -> Path:
        """Copy a file to this machine, where it is deleted when the process ends; return its path here."""
        target = scratch_directory() / name.rsplit("/", 1)[-1]
        self._system(name).copyToLocalFile(False, self._path(name), self._here(target), True)
        return target

    def send(self, here: Path, name: str) -> None:
        """Move a file of this machine to the file system of the data."""
        target = self._system(name)
        target.copyFromLocalFile(True, True, self._here(here), self._path(name))

    @contextmanager
    def _open_output(self, name: str) -> Iterator[Any]:
        stream = self._system(name).create(self._path(name), True)
        try:
            yield stream
        finally:
            stream.close()


def read_prepared(files: Files, data: str) -> Manifest:
    """The manifest of a prepared directory, wherever that is; raises as `parse_manifest`."""
    path = f"{data}/{MANIFEST}"
    return parse_manifest(files.read_text(path) if files.exists(path) else None, data)
