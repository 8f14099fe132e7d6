"""A disk that is full, or that may not be written to: one sentence, exit code 1, and what was there is as it was."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import write_prepared
from tests.commands import run_command
from tests.draws import drawn
from tests.e2e.test_pipeline import ENVIRONMENT
from tests.file_systems import Mounted, mounted, tmpfs
from tests.training import ROOT, learnt, metrics, train
from tests.training import command as training
from widedeep import export
from widedeep.schema.manifest import read_manifest
from widedeep.schema.recommendations import RecommendationManifest
from widedeep.schema.records import seal

SMALL_BYTES = 12 << 20  # the commands below need 1 to 6 MB
FULL = "No space left on device"
# A Python worker of Spark prints this now and then when the task that reads from it has failed already.
WORKER_WITHOUT_READER = re.compile(
    r"Traceback \(most recent call last\):\n(?:  .*\n)*?  File \".*pyspark/daemon\.py\", line \d+, in worker\n"
    r"(?:  .*\n)*BrokenPipeError: .*\n"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A prepared directory and a run on it."""
    folder = tmp_path_factory.mktemp("refused")
    write_prepared(folder / "prepared", users=3_000, ratings=20_000, features=True)
    train(training(folder / "prepared", folder / "run", epochs=1, ranking_users=0))
    return folder


def start(command: str, enter: tuple[str, ...]) -> subprocess.CompletedProcess:
    return run_command([*enter, *command.split()], ROOT, ENVIRONMENT)


def content(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def fill(disk: Mounted, left: int) -> Path:
    """Take all bytes of a file system but `left`; return the file that takes them."""
    ballast = disk.seen / "ballast"
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, shutil.disk_usage(disk.seen).free - left)
    return ballast


def require_refusal(done: subprocess.CompletedProcess, where: Path, why: str) -> None:
    """Check that a command has ended with one sentence that names the directory, the reason and the remedy."""
    assert done.returncode == 1, done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: "), done.stderr
    assert str(where) in said
    assert f"could not be written ({why}): free space there, or make it writable, or " in said
    assert "Traceback (most recent call last)" not in WORKER_WITHOUT_READER.sub("", done.stderr)


def require_that_a_full_disk_costs_nothing(disk: Mounted, command: str, left: int) -> None:
    """Run a command that writes `out` while the disk is full, and again when it is not."""
    output, before = disk.path / "out", content(disk.seen / "out")
    ballast = fill(disk, left)
    require_refusal(start(command, disk.enter), output, FULL)
    assert content(disk.seen / "out") == before
    assert not (disk.seen / "out.staging").exists()
    ballast.unlink()
    again = start(command, disk.enter)
    assert again.returncode == 0, again.stderr
    assert content(disk.seen / "out") != before
    assert sorted(path.name for path in disk.seen.iterdir()) == [".out.lock", "out"]


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "disk", *tmpfs(str(SMALL_BYTES))) as disk:
        yield disk


def test_a_full_disk_costs_prepare_nothing_that_is_there(dump, prepared, small_disk):
    shutil.copytree(prepared, small_disk.seen / "out")
    output, left = small_disk.path / "out", drawn("full disk of prepare").randrange(500_000)
    command = f"spark-submit jobs/prepare.py --input {dump} --output {output} --overwrite --seed 9"
    require_that_a_full_disk_costs_nothing(small_disk, command, left)
    assert read_manifest(small_disk.seen / "out").config["seed"] == 9


def test_a_full_disk_costs_score_all_nothing_that_is_there(trained, small_disk):
    older = small_disk.seen / "out"
    older.mkdir()
    (older / "_manifest.json").write_text(seal(RecommendationManifest.kind, RecommendationManifest.written_format, {}))
    (older / "part-00000.parquet").write_bytes(b"older lists")
    output, left = small_disk.path / "out", drawn("full disk of score_all").randrange(100_000)
    paths = f"--data {trained}/prepared --run-dir {trained}/run --output {output}"
    command = f"spark-submit jobs/score_all.py {paths} --overwrite --users-per-file 500"
    require_that_a_full_disk_costs_nothing(small_disk, command, left)


def test_a_full_disk_costs_export_nothing_that_is_there(trained, small_disk):
    older = small_disk.seen / "out"
    older.mkdir()
    (older / "_manifest.json").write_text(seal(export.KIND, 1, {}))
    paths = f"--data {trained}/prepared --run-dir {trained}/run --output {small_disk.path}/out"
    command = f"widedeep export {paths} --overwrite"
    require_that_a_full_disk_costs_nothing(small_disk, command, drawn("full disk of export").randrange(50_000))


def test_a_full_disk_costs_a_training_the_steps_since_its_last_checkpoint(trained, small_disk):
    """What is left is less than three checkpoints, of 0.3 MB each, and a model: there may be none, one or two."""
    left = drawn("full disk of train").randrange(800_000)
    ballast, run = fill(small_disk, left), small_disk.path / "out"
    (trained / "full").mkdir(exist_ok=True)
    flags = {"epochs": 3, "ranking_users": 0, "checkpoint_seconds": 1e-6, "keep_checkpoints": 3}
    argv = training(trained / "prepared", trained / "full" / "out", **flags)
    command = " ".join([sys.executable, *argv]).replace(str(trained / "full" / "out "), f"{run} ")
    done = start(command, small_disk.enter)
    assert done.returncode == 1, done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: "), done.stderr
    assert str(run) in said
    assert "could not be written" in said
    assert "--run-dir" in said
    ballast.unlink()
    again = start(command, small_disk.enter)
    assert again.returncode == 0, again.stderr
    undisturbed = train(training(trained / "prepared", trained / "whole", **flags))
    assert learnt(metrics(small_disk.seen / "out")) == learnt(undisturbed)


def without_rights() -> tuple[str, ...]:
    """Return what a command line begins with for which the permissions of directories hold, for root, too."""
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv to take that from it")
    return ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


@pytest.mark.parametrize("command", ["prepare", "score_all", "export", "train"])
@pytest.mark.parametrize("why", ["Read-only file system", "Permission denied"])
def test_a_directory_that_may_not_be_written_to_is_named_before_any_work(dump, trained, tmp_path, why, command):
    paths = f"--data {trained}/prepared --run-dir {trained}/run"
    line = {
        "prepare": f"spark-submit jobs/prepare.py --input {dump}",
        "score_all": f"spark-submit jobs/score_all.py {paths}",
        "export": f"widedeep export {paths}",
        "train": f"{sys.executable} widedeep/train.py --data {trained}/prepared --config wide_deep",
    }[command]
    flag = "--run-dir" if command == "train" else "--output"
    if why == "Permission denied":
        (tmp_path / "theirs").mkdir(mode=0o555)
        done = start(f"{line} {flag} {tmp_path}/theirs/out", without_rights())
    else:
        with mounted(tmp_path / "theirs", "-t", "tmpfs", "-o", "ro", "none") as disk:
            done = start(f"{line} {flag} {tmp_path}/theirs/out", disk.enter)
    require_refusal(done, tmp_path / "theirs" / "out", why)
    assert "ratings …" not in done.stderr
