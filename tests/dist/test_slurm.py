"""examples/slurm/train.sbatch, with the variables that sbatch sets and two tasks on this machine instead of two nodes."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.test_pipeline import BIN, ENVIRONMENT
from tests.training import ROOT, SETTINGS, curve, metrics, torchrun

SCRIPT = ROOT / "examples/slurm/train.sbatch"
# Slurm's own srun starts the command once on each node; this one does so on one machine, for the options that are given.
SRUN = """#!/usr/bin/env bash
set -eu
[ "$1 $2 $3 $4" = "--cpus-per-task 1 --wait 120" ] || exit 64
shift 4
children=() code=0
for _ in $(seq "$SLURM_NNODES"); do
  "$@" &
  children+=($!)
done
for child in "${children[@]}"; do
  ended=0
  wait "$child" || ended=$?
  [ $ended -le $code ] || code=$ended # as srun: the highest
done
exit $code
"""
SCONTROL = '#!/usr/bin/env bash\necho "$*" >requeued\n'


@pytest.fixture
def submit(tmp_path):
    """Run the script as Slurm would on `nodes` nodes, from a directory with .venv; `code` is what it ends with."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = ENVIRONMENT | {
        "PATH": f"{tools}:{ENVIRONMENT['PATH']}",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_NNODES": "2",
        "SLURMD_NODENAME": "localhost",
        "PET_LOCAL_ADDR": "127.0.0.1",  # the machine's name may not resolve here
    }
    (tmp_path / ".venv").symlink_to(BIN.parent)

    def run(*settings: str | Path, code: int = 0) -> subprocess.CompletedProcess:
        argv = ["bash", str(SCRIPT), *map(str, settings)]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, done.stderr
        return done

    return run


def test_two_tasks_train_one_model_together(small, submit, tmp_path):
    config = tmp_path / "small.toml"
    config.write_text(SETTINGS)
    run, other = tmp_path / "run", tmp_path / "other"
    submit("--config", config, "--data", small.path, "--run-dir", run)
    assert metrics(run)["train"]["ranks"] == 2
    # The same as two ranks that torchrun starts on one node.
    argv = ["widedeep/train.py", "--config", str(config), "--data", str(small.path), "--run-dir", str(other)]
    assert torchrun(2, argv).returncode == 0
    assert [line["valid"] for line in curve(run)] == [line["valid"] for line in curve(other)]
    assert not (tmp_path / "requeued").exists()


def test_wrong_settings_end_the_job_with_their_code(submit, tmp_path):
    said = submit("--data", tmp_path / "nothing", code=2)
    assert "nothing" in said.stderr
    assert not (tmp_path / "requeued").exists()


def test_a_training_that_was_stopped_goes_back_into_the_queue(submit, tmp_path):
    """75 is what widedeep train ends with after SIGTERM (tests/faults/test_training_stopped.py)."""
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\nexit 75\n")
    submit("--data", tmp_path / "nothing")
    assert (tmp_path / "requeued").read_text().split() == ["requeue", str(os.getpid())]


def test_sbatch_reads_all_its_options():
    """It reads none below the first command."""
    lines = SCRIPT.read_text().splitlines()
    first = next(place for place, line in enumerate(lines) if line and not line.startswith("#"))
    options = [place for place, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert len(options) == 9
    assert max(options) < first
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=[\w:@]+)?", lines[place]) for place in options)
