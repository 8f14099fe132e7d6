"""All-or-nothing output, and files of other file systems."""

import subprocess
import sys

import pytest

from tests.training import ROOT
from widedeep.common.errors import InputError
from widedeep.spark.filesystem import Files
from widedeep.spark.staged_directory import check_replaceable, staged_directory

MANIFEST = "_manifest.json"


def write(files: Files, output, text: str, error: Exception | None = None) -> None:
    """Commit a directory of one part, or fail before that."""
    with staged_directory(files, str(output), MANIFEST) as staged:
        files.write_text(f"{staged.path}/part-00000", text)
        if error:
            raise error
        staged.commit(f"{text}!")


def contents(output) -> dict[str, str]:
    return {path.name: path.read_text() for path in output.iterdir()}


def test_a_commit_puts_the_new_in_the_place_of_the_old(spark, tmp_path):
    files, output = Files(spark), tmp_path / "output"
    for text in ("one", "two"):
        write(files, output, text)
        assert contents(output) == {"part-00000": text, MANIFEST: f"{text}!"}
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


@pytest.mark.parametrize("former", [False, True])
def test_a_writer_that_fails_leaves_the_old_as_it_was(spark, tmp_path, former):
    files, output = Files(spark), tmp_path / "output"
    if former:
        write(files, output, "old")
    with pytest.raises(OSError, match="disk full"):
        write(files, output, "new", OSError("disk full"))
    if former:
        assert contents(output) == {"part-00000": "old", MANIFEST: "old!"}
    assert [path.name for path in tmp_path.iterdir()] == (["output"] if former else [])


@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize("renames", [0, 1, 2])
@pytest.mark.parametrize("killed", [False, True])
def test_a_commit_that_failed_leaves_the_old_or_nothing(spark, tmp_path, former, renames, killed, monkeypatch):
    """Fails after each number of renames. A failure is put right at once, a kill by the next run."""
    files, output = Files(spark), tmp_path / "output"
    if former:
        write(files, output, "old")
    rename, done = files.rename, []

    def rename_or_fail(old: str, new: str) -> None:
        done.append(new)
        if len(done) == renames + 1 or (killed and len(done) > renames):
            raise OSError("gone")
        rename(old, new)

    monkeypatch.setattr(files, "rename", rename_or_fail)
    if former or renames < 2:
        with pytest.raises(OSError, match="gone"):
            write(files, output, "new")
    else:
        write(files, output, "new")
    monkeypatch.undo()
    if killed:
        check_replaceable(files, str(output), MANIFEST)
    if former:
        assert contents(output) == {"part-00000": "old", MANIFEST: "old!"}
    elif renames < 2:
        assert not output.exists()
    else:
        assert (output / MANIFEST).read_text() == "new!"


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
        check_replaceable(Files(spark), str(tmp_path / "output"), MANIFEST)


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
