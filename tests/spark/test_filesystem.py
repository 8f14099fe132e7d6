"""All-or-nothing output, and files of other file systems."""

import subprocess
import sys

import pytest

from tests.training import ROOT
from widedeep.common.errors import InputError
from widedeep.spark.filesystem import Files, check_replaceable, commit, staging_of

NOTE = "_manifest.json"


def stage(files: Files, output, text: str) -> None:
    files.make_directory(staging_of(str(output)))
    files.write_text(f"{staging_of(str(output))}/part-00000", text)


def test_a_commit_puts_the_new_in_the_place_of_the_old(spark, tmp_path):
    files, output = Files(spark), tmp_path / "output"
    for text in ("one", "two"):
        stage(files, output, text)
        commit(files, staging_of(str(output)), str(output), f"{text}!", NOTE)
        assert ((output / "part-00000").read_text(), (output / NOTE).read_text()) == (text, f"{text}!")
        names = {path.name for path in output.iterdir() if not path.name.endswith(".crc")}
        assert names == {"part-00000", NOTE}
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


class KillError(Exception):
    """What kills a commit."""


@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_commit_that_was_killed_leaves_the_old_or_nothing(spark, tmp_path, former, renames, monkeypatch):
    """Killed after each number of renames; the next run finds the former output, or a place it may write to."""
    files, output = Files(spark), tmp_path / "output"
    if former:
        stage(files, output, "old")
        commit(files, staging_of(str(output)), str(output), "old!", NOTE)
    stage(files, output, "new")
    rename, left = files.rename, [renames]

    def rename_or_die(old: str, new: str) -> None:
        if not old.endswith(".draft.draft") and left[0] == 0:
            raise KillError
        left[0] -= not old.endswith(".draft.draft")
        rename(old, new)

    monkeypatch.setattr(files, "rename", rename_or_die)
    if former or renames < 2:
        with pytest.raises(KillError):
            commit(files, staging_of(str(output)), str(output), "new!", NOTE)
    else:
        commit(files, staging_of(str(output)), str(output), "new!", NOTE)
    monkeypatch.undo()
    check_replaceable(files, str(output), NOTE)
    if former:
        assert ((output / "part-00000").read_text(), (output / NOTE).read_text()) == ("old", "old!")
    elif renames < 2:
        assert not output.exists()
    else:
        assert (output / NOTE).read_text() == "new!"


def test_a_directory_of_others_is_not_replaced(spark, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="is not ours to replace"):
        check_replaceable(Files(spark), str(tmp_path / "output"), NOTE)


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
