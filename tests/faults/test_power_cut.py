"""The power goes when a command has ended: what its manifest lists is on the disk.

The disk is a file with a file system of its own. What that file has at the moment is what a disk would have; what only
the memory has is not in it.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.builders import write_prepared
from tests.commands import run_command
from tests.e2e.test_pipeline import ENVIRONMENT
from tests.file_systems import Mounted, mounted
from tests.training import ROOT, train
from tests.training import command as training
from widedeep import export
from widedeep.common.files import sha256_of
from widedeep.schema.manifest import Manifest, read_manifest

DISK_BYTES = 300 << 20


@pytest.fixture
def disk(tmp_path) -> Path:
    """A file with an empty file system."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no mkfs.ext4 to make a file system with")
    file = tmp_path / "disk"
    with file.open("wb") as stream:
        stream.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", str(file)], check=True)
    return file


def cut_the_power_after(command: str, machine: Mounted, disk: Path) -> Path:
    """Run a command, and return what is on the disk as soon as it has ended."""
    cut = disk.with_name("cut")
    argv = [*machine.enter, "sh", "-c", f"{command} && cp {disk} {cut}"]
    done = run_command(argv, ROOT, ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return cut


def files_of(manifest: Manifest) -> list:
    shards = [file for split in manifest.ratings.shards.values() for file in split]
    return [*shards, *manifest.ratings.by_user, *manifest.users.files, *manifest.items.files]


def test_what_prepare_has_committed_outlives_a_power_cut(dump, tmp_path, disk):
    with mounted(tmp_path / "before", "-o", "loop", str(disk)) as machine:
        output = machine.path / "deep" / "out"
        cut = cut_the_power_after(f"spark-submit jobs/prepare.py --input {dump} --output {output}", machine, disk)
    with mounted(tmp_path / "after", "-o", "loop", str(cut)) as machine:
        output = machine.seen / "deep" / "out"
        listed = files_of(read_manifest(output))
        assert len(listed) > 10
        assert [sha256_of(output / file.path) for file in listed] == [file.sha256 for file in listed]


def test_an_export_outlives_a_power_cut(tmp_path, disk):
    write_prepared(tmp_path / "prepared", features=True)
    train(training(tmp_path / "prepared", tmp_path / "run", epochs=1, ranking_users=0))
    flags = f"--run-dir {tmp_path}/run --data {tmp_path}/prepared --output"
    export.main([*flags.split(), str(tmp_path / "expected")])
    with mounted(tmp_path / "before", "-o", "loop", str(disk)) as machine:
        cut = cut_the_power_after(f"widedeep export {flags} {machine.path}/deep/out", machine, disk)
    with mounted(tmp_path / "after", "-o", "loop", str(cut)) as machine:
        found = {path.name: path.read_bytes() for path in (machine.seen / "deep" / "out").iterdir()}
    assert found == {path.name: path.read_bytes() for path in (tmp_path / "expected").iterdir()}
