"""Files and directories that are replaced as a whole."""

import pytest

from widedeep.common.files import atomic_directory, write_atomically


def test_a_reader_keeps_the_old_content_while_the_file_is_replaced(tmp_path):
    file = tmp_path / "metrics.json"
    write_atomically(file, b"old")
    with file.open("rb", buffering=0) as reader:
        write_atomically(file, b"new")
        assert reader.read() == b"old"
    assert file.read_bytes() == b"new"


def test_a_write_that_fails_leaves_the_old_content(tmp_path):
    file = tmp_path / "metrics.json"
    write_atomically(file, b"old")
    with pytest.raises(TypeError):
        write_atomically(file, "text, which a binary file refuses")  # pyright: ignore[reportArgumentType]
    assert file.read_bytes() == b"old"
    write_atomically(file, b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("metrics.json", b"new")]


def fill(directory, name: str, exist_ok: bool = True) -> None:
    with atomic_directory(directory) as staging:
        (staging / name).touch(exist_ok=exist_ok)


def test_a_directory_is_replaced_as_a_whole(tmp_path):
    fill(tmp_path / "deep" / "export", "old")
    fill(tmp_path / "deep" / "export", "new")
    assert [path.name for path in (tmp_path / "deep" / "export").iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["export"]


def test_a_directory_stays_if_writing_fails(tmp_path):
    fill(tmp_path / "export", "old")
    with pytest.raises(FileExistsError):
        fill(tmp_path / "export", ".", exist_ok=False)
    assert [path.name for path in (tmp_path / "export").iterdir()] == ["old"]


def test_a_directory_is_put_back_after_a_crash_between_the_renames(tmp_path):
    fill(tmp_path / "export", "old")
    (tmp_path / "export").rename(tmp_path / ".export.former")
    with pytest.raises(OSError, match="disk full"), atomic_directory(tmp_path / "export"):
        raise OSError("disk full")
    assert [path.name for path in (tmp_path / "export").iterdir()] == ["old"]
