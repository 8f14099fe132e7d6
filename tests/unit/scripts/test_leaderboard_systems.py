"""What scripts/leaderboard.sh trains: each line of it is a valid training, as the shell reads it."""

import subprocess
import sys

import pytest

from tests.training import ROOT
from widedeep.common.command import load_config
from widedeep.training.settings import TrainConfig

SYSTEMS = sorted((ROOT / "scripts").glob("leaderboard*.toml"))


def presets(file) -> subprocess.CompletedProcess:
    script = [sys.executable, ROOT / "scripts" / "leaderboard.py", "presets", "--systems", file]
    return subprocess.run(script, capture_output=True, text=True)


@pytest.mark.parametrize("file", SYSTEMS, ids=lambda file: file.stem)
def test_each_line_is_a_valid_training_of_its_own(file):
    lines = presets(file).stdout.splitlines()
    trained = {}
    for line in lines:
        name, preset, *flags = [word for word in line.split("\t") if word]  # as `read` does: tabs in a row are one
        settings = load_config(TrainConfig, ["--config", str(ROOT / f"conf/train/{preset}.toml"), *flags], "train")
        trained[name] = settings.model_copy(update={"run_dir": ""}).model_dump_json()
    assert len(trained) == len(lines) > 5
    assert len(set(trained.values())) == len(trained)


def test_flags_that_a_shell_would_lose_are_refused(tmp_path):
    (tmp_path / "systems.toml").write_text('[presets.a]\npreset = "ncf"\nflags = ["--model.hidden", ""]\n')
    done = presets(tmp_path / "systems.toml")
    assert done.returncode == 2
    assert "presets.a: a flag is empty" in done.stderr
