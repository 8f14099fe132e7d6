"""All-or-nothing output, and files of other file systems."""

import os
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.training import ROOT
from widedeep.common.errors import InputError
from widedeep.schema.manifest import MANIFEST
from widedeep.schema.records import seal
from widedeep.spark import output_lock
from widedeep.spark import staged_directory as staged_directories
from widedeep.spark.filesystem import Files
from widedeep.spark.staged_directory import Output, StagedDirectory, check_output, staged_directory

KIND = "a test's output"


def output_of(path, **settings) -> Output:
    return Output(str(path), KIND, **settings)


def write(files: Files, output: Output, text: str, error: Exception | None = None) -> None:
    """Commit a directory of one part, or fail before that."""
    with staged_directory(files, output) as staged:
        files.write_text(f"{staged.path}/part-00000", text)
        if error:
            raise error
        staged.commit(seal(KIND, 1, {"of": text}))


def contents(path) -> dict[str, str]:
    """The files of a directory, without those that Hadoop hides in it."""
    return {file.name: file.read_text() for file in path.iterdir() if not file.name.startswith(".")}


def visible(path) -> list[str]:
    """The names in a directory, without the lock, which stays."""
    return sorted(entry.name for entry in path.iterdir() if entry.name != ".output.lock")


def written(text: str) -> dict[str, str]:
    return {"part-00000": text, MANIFEST: seal(KIND, 1, {"of": text})}


def test_a_commit_puts_the_new_in_the_place_of_the_old(spark, tmp_path):
    files, path = Files(spark), tmp_path / "output"
    for text in ("one", "two"):
        write(files, output_of(path, overwrite=True), text)
        assert contents(path) == written(text)
    assert visible(tmp_path) == ["output"]


@pytest.mark.parametrize("former", [False, True])
def test_a_writer_that_fails_leaves_the_old_as_it_was(spark, tmp_path, former):
    files, path = Files(spark), tmp_path / "output"
    if former:
        write(files, output_of(path), "old")
    with pytest.raises(OSError, match="disk full"):
        write(files, output_of(path, overwrite=True), "new", OSError("disk full"))
    if former:
        assert contents(path) == written("old")
    assert visible(tmp_path) == (["output"] if former else [])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not say which file a descriptor is of")
def test_all_is_on_the_disk_before_the_manifest_is_and_each_step_of_the_exchange_before_the_next(
    spark, tmp_path, monkeypatch
):
    """Watches what is flushed, and what there is at that moment; tests/faults/test_power_cut.py cuts the power."""
    files, path = Files(spark), tmp_path / "new" / "output"
    fsync, flushed, exchange = os.fsync, [], []
    staging = path.with_name("output.staging")

    def watched(handle: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if staging.exists() and not any(staging.glob("*.draft")):
            flushed.append(name)
        if path.exists():
            exchange.append((name, (path / MANIFEST).exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    with staged_directory(files, output_of(path)) as staged:
        spark.range(10).repartition(3).write.parquet(f"{staged.path}/ratings/split=train")
        written = {staging, *staging.rglob("*")}
        assert len(list(staging.rglob("part-*.parquet"))) == 3
        staged.commit(seal(KIND, 1, {}))
    assert written <= set(flushed)
    assert exchange == [(path.parent, False), (path, True)]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize("survives", range(8))
def test_after_a_kill_at_any_operation_the_output_is_the_old_or_the_new(spark, tmp_path, former, survives, monkeypatch):
    """The process ends before each operation of a commit in turn; then the next command looks at the output."""
    files, path = Files(spark), tmp_path / "output"
    output = output_of(path, overwrite=True)
    if former:
        write(files, output, "old")
    operations = []
    for name in ("rename", "delete", "write_text"):
        operation = getattr(files, name)

        def counted(*arguments, name=name, operation=operation):
            if committing:
                if len(operations) == survives:
                    raise Killed
                operations.append(name)
            operation(*arguments)

        monkeypatch.setattr(files, name, counted)
    committing, killed = False, False
    try:
        with staged_directory(files, output) as staged:
            files.write_text(f"{staged.path}/part-00000", "new")
            committing = True
            monkeypatch.setattr(staged, "clean_up", lambda: None)  # the dead clean up nothing
            staged.commit(seal(KIND, 1, {"of": "new"}))
    except Killed:
        killed = True
    monkeypatch.undo()
    check_output(files, output)
    if "write_text" in operations:  # the draft of the manifest: from there on nothing is lost
        assert contents(path) == written("new")
    else:
        assert killed
        assert path.exists() == former
        assert not former or contents(path) == written("old")
    write(files, output, "newer")
    assert contents(path) == written("newer")
    assert visible(tmp_path) == ["output"]


def test_what_could_not_be_put_in_its_place_is_not_thrown_away(spark, tmp_path, monkeypatch):
    files, path = Files(spark), tmp_path / "output"

    def refused(old: str, new: str) -> None:
        raise OSError("no permission")

    monkeypatch.setattr(files, "rename", refused)
    with pytest.raises(OSError, match="no permission"):
        write(files, output_of(path), "hours of work")
    monkeypatch.undo()
    check_output(files, output_of(path, overwrite=True))
    assert contents(path) == written("hours of work")


def test_an_older_output_is_only_replaced_if_asked_to(spark, tmp_path):
    files, path = Files(spark), tmp_path / "output"
    write(files, output_of(path), "old")
    with pytest.raises(InputError, match=r"holds a test's output already: give --overwrite to replace them"):
        write(files, output_of(path), "new")
    assert contents(path) == written("old")


@pytest.mark.parametrize(
    "manifest", [seal("prepared ratings", 5, {}), "{}", "", "[]", '{"kind": 3}', "[" * 100_000], ids=range(6)
)
def test_an_output_of_another_kind_is_never_replaced(spark, tmp_path, manifest):
    files, path = Files(spark), tmp_path / "output"
    write(files, output_of(path), "old")
    (path / MANIFEST).write_text(manifest)
    with pytest.raises(InputError, match=r"holds .*, not a test's output: choose another --output"):
        write(files, output_of(path, overwrite=True), "new")
    assert contents(path)["part-00000"] == "old"


@pytest.mark.parametrize("place", ["output", "output/", "output/raw", "output/raw/more"])
def test_an_input_is_never_replaced(spark, tmp_path, place):
    files, path = Files(spark), tmp_path / "output"
    write(files, output_of(path), "old")
    with pytest.raises(InputError, match=r"output .* would replace what is read from"):
        write(files, output_of(path, overwrite=True, inputs=[str(tmp_path / place)]), "new")
    with pytest.raises(InputError, match=r"output .* would replace what is read from"):
        write(files, output_of(path, overwrite=True, inputs=[f"file://{tmp_path}/{place}"]), "new")
    # A directory within that of the input replaces nothing.
    write(files, output_of(path / "inside", inputs=[str(path)]), "new")


@pytest.mark.parametrize("name", ["out[1]", "out*", "out?", "{out}"])
def test_a_name_that_is_a_pattern_is_refused(spark, tmp_path, name):
    with pytest.raises(InputError, match="for a pattern: choose another --output"):
        write(Files(spark), output_of(tmp_path / name), "new")


@pytest.mark.parametrize("name", ["", "/", ".", "a/..", "there/./"])
def test_a_path_that_names_no_directory_is_refused(spark, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="names no directory: choose another --output"):
        write(Files(spark), output_of(name, overwrite=True), "new")
    assert not any(tmp_path.iterdir())


def test_a_second_writer_is_refused(spark, tmp_path):
    files, path = Files(spark), tmp_path / "output"
    with staged_directory(files, output_of(path)) as staged:
        with pytest.raises(InputError, match=rf"output .*output is in use by process {os.getpid()} on "):
            write(files, output_of(path, overwrite=True), "second")
        files.write_text(f"{staged.path}/part-00000", "first")
        # Nor does a second one that only looks finish the commit that the first one is in.
        files.write_text(f"{staged.path}/{MANIFEST}.draft", seal(KIND, 1, {"of": "first"}))
        with pytest.raises(InputError, match="is in use by process"):
            check_output(files, output_of(path, overwrite=True))
        assert not path.exists()
        staged.commit(seal(KIND, 1, {"of": "first"}))
    assert contents(path) == written("first")


@pytest.fixture
def elsewhere(spark, tmp_path):
    """The same directory on what Hadoop takes for another file system."""
    name = f"away{uuid4().hex}"  # Hadoop keeps a file system by its name
    spark.sparkContext._jsc.hadoopConfiguration().set(f"fs.viewfs.mounttable.{name}.link./data", tmp_path.as_uri())
    return f"viewfs://{name}/data/output"


def test_a_second_writer_is_refused_elsewhere_too(spark, tmp_path, elsewhere, monkeypatch):
    monkeypatch.setattr(output_lock, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(output_lock, "STALE_SECONDS", 4.0)
    files = Files(spark)
    with staged_directory(files, output_of(elsewhere)) as staged:
        with pytest.raises(InputError, match=rf"output viewfs.*output is in use by process {os.getpid()} on "):
            write(files, output_of(elsewhere), "second")
        files.write_text(f"{staged.path}/part-00000", "first")
        staged.commit(seal(KIND, 1, {"of": "first"}))
    assert contents(tmp_path / "output") == written("first")
    assert not (tmp_path / "output.lock").exists()


def test_the_lock_of_the_dead_is_taken_over_elsewhere(spark, tmp_path, elsewhere, monkeypatch):
    monkeypatch.setattr(output_lock, "STALE_SECONDS", 1.0)
    files = Files(spark)
    files.write_text(f"{elsewhere}.lock", '{"owner": "process 7 on node-3", "id": "x", "beat": 9}')
    write(files, output_of(elsewhere), "new")
    assert (tmp_path / "output" / "part-00000").read_text() == "new"
    assert not (tmp_path / "output.lock").exists()


@pytest.mark.parametrize("how", ["fails", "is killed"])
def test_an_object_store_is_written_in_place_with_the_manifest_last(spark, tmp_path, elsewhere, how, monkeypatch):
    """No S3 here: what counts is that no directory is renamed, and that readers of the manifest find all or nothing."""
    monkeypatch.setattr(staged_directories, "OBJECT_STORES", ("viewfs",))
    files, path = Files(spark), tmp_path / "output"
    rename = files.rename

    def rename_file(old: str, new: str) -> None:
        assert not files.is_directory(old)
        rename(old, new)

    monkeypatch.setattr(files, "rename", rename_file)

    write(files, output_of(elsewhere), "old")
    assert contents(path) == written("old")
    with pytest.raises(InputError, match="already: give --overwrite"):
        write(files, output_of(elsewhere), "new")
    output = output_of(elsewhere, overwrite=True)
    if how == "fails":
        with pytest.raises(OSError, match="disk full"):
            write(files, output, "new", OSError("disk full"))
        assert not path.exists()
    else:
        monkeypatch.setattr(StagedDirectory, "clean_up", lambda self: None)
        with pytest.raises(OSError, match="killed"):
            write(files, output, "new", OSError("killed"))
        monkeypatch.undo()
        monkeypatch.setattr(staged_directories, "OBJECT_STORES", ("viewfs",))
        assert MANIFEST not in contents(path)
    write(files, output_of(elsewhere), "newer")  # what is unfinished is ours, and nothing to be kept
    assert contents(path) == written("newer")


def test_a_text_replaces_one_that_hadoop_has_written(spark, tmp_path):
    """Hadoop's checksum file beside the old text must not make it refuse the new one."""
    files, name = Files(spark), str(tmp_path / "there" / "a.json")
    with files._open_output(name) as stream:
        stream.write(bytearray(b"old"))
    files.write_text(name, "new")
    assert files.read_text(name) == "new"
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["a.json"]


def test_a_text_elsewhere_is_never_half_written(spark, tmp_path, monkeypatch):
    """Hadoop does not replace a file in one step: a kill in between leaves the new text under another name."""
    spark.sparkContext._jsc.hadoopConfiguration().set("fs.viewfs.mounttable.texts.link./data", tmp_path.as_uri())
    files, name = Files(spark), "viewfs://texts/data/a.json"
    assert files.local(name) is None
    files.write_text(name, "old")

    def killed(old: str, new: str) -> None:
        assert files.read_text(old) == "new"
        raise OSError("gone")

    monkeypatch.setattr(files, "rename", killed)
    with pytest.raises(OSError, match="gone"):
        files.write_text(name, "new")
    monkeypatch.undo()
    assert not files.exists(name)
    assert files.read_text(f"{name}.draft") == "new"
    files.write_text(name, "newer")
    assert files.read_text(name) == "newer"
    assert [entry for entry, _, _ in files.entries("viewfs://texts/data")] == ["a.json"]


def test_a_directory_of_others_is_not_replaced(spark, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="no command of ours has written it"):
        check_output(Files(spark), output_of(tmp_path / "output", overwrite=True))


def test_what_is_local_and_what_is_not(spark, tmp_path):
    files = Files(spark)
    for name in (str(tmp_path), tmp_path.as_uri(), f"file:{tmp_path}"):
        assert files.local(name) == tmp_path
    # Hadoop's own view of a directory as a file system of its own.
    spark.sparkContext._jsc.hadoopConfiguration().set("fs.viewfs.mounttable.there.link./data", tmp_path.as_uri())
    (tmp_path / "a file").write_text("content")
    assert files.local("viewfs://there/data") is None
    fetched = files.fetch("viewfs://there/data/a file")
    assert fetched.read_text() == "content"
    assert fetched.parent != tmp_path


def test_what_was_put_aside_is_gone_when_the_process_ends():
    code = "from widedeep.spark.filesystem import scratch_directory as d; p = d(); (p / 'x').write_text('y'); print(p)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    path = done.stdout.strip()
    assert path
    assert subprocess.run(["test", "-e", path], check=False).returncode == 1


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("s3a://bucket/raw", r"start it with spark-submit --packages org\.apache\.hadoop:hadoop-aws:3\.\d+\.\d+$"),
        ("abfss://box@account.dfs.core.windows.net/raw", "hadoop-azure:"),
        ("odd://somewhere", "add one, or use another scheme"),
    ],
)
def test_a_missing_connector_is_named(spark, place, remedy):
    with pytest.raises(InputError, match=f"{re.escape(place)}: this Spark has no connector to .*{remedy}"):
        Files(spark).exists(place)
