"""kill -9 at each operation of `widedeep export`: the old export or the new one, or none, and never a part of one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import write_prepared
from tests.training import ROOT, command, train
from widedeep import export
from widedeep.schema.records import seal

# Runs the command, and ends as by kill -9 when it is about to do one more operation on the output than it survives.
KILLED = """
import os, signal, sys
from widedeep.export import main

survives, place = int(sys.argv[1]), sys.argv[2]
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}

def watch(event, arguments):
    global survives
    writes = event == "open" and isinstance(arguments[1], str) and arguments[1][0] in "wax"
    if writes or event in CHANGES:
        if not str(arguments[0]).startswith(place) and not (event in CHANGES and arguments[-1] != -1):
            return
        if survives == 0:
            print(event, arguments[0], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        survives -= 1

sys.addaudithook(watch)
main(sys.argv[3:])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A prepared directory, a run on it, and its export."""
    folder = tmp_path_factory.mktemp("exported")
    write_prepared(folder / "prepared", features=True)
    train(command(folder / "prepared", folder / "run", epochs=1, ranking_users=0))
    export.main(flags(folder, folder / "new"))
    return folder


def flags(folder: Path, output: Path) -> list[str]:
    paths = {"run-dir": folder / "run", "data": folder / "prepared", "output": output}
    return [part for name, path in paths.items() for part in (f"--{name}", str(path))]


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


# mkdir, the manifest, two renames, and the removal of the old one: two files and their directory
@pytest.mark.parametrize("survives", range(7))
def test_a_killed_export_is_the_old_one_or_the_new_one_or_none(trained, tmp_path, survives):
    output, old = tmp_path / "out", {"_manifest.json": seal(export.KIND, 1, {}).encode(), "old.parquet": b"old"}
    output.mkdir()
    for name, written in old.items():
        (output / name).write_bytes(written)
    argv = [sys.executable, "-c", KILLED, str(survives), str(tmp_path), *flags(trained, output), "--overwrite"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    new = content(trained / "new")
    between = survives == 3  # the two renames
    assert output.exists() != between, done.stdout
    if output.exists():
        assert content(output) == (old if survives < 3 else new), done.stdout
    export.main([*flags(trained, output), "--overwrite"])
    assert content(output) == new
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "out"]
