"""The `widedeep` command, and how it starts what it names."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.builders import write_prepared
from tests.training import ROOT, metrics
from widedeep.__main__ import COMMANDS, split_at
from widedeep.common.command import load_config
from widedeep.common.errors import InputError
from widedeep.common.launch import ENTERED, TUNING
from widedeep.common.machine import LOOPBACK
from widedeep.config.prepare import PrepareConfig
from widedeep.models.ncf import NCFConfig
from widedeep.training.settings import TrainConfig

WIDEDEEP = Path(sys.executable).with_name("widedeep")
PLAIN = {name: value for name, value in os.environ.items() if name not in {*TUNING, ENTERED, "OMP_WAIT_POLICY"}}


def widedeep(*argv: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([WIDEDEEP, *argv], cwd=cwd, env=env or os.environ, capture_output=True, text=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_from_any_directory(name, tmp_path):
    done = widedeep(name, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: widedeep {name} ")
    assert done.stderr == ""


def test_the_overview_lists_every_command(tmp_path):
    done = widedeep("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(re.search(rf"^    {name}\b", done.stdout, re.MULTILINE) for name in COMMANDS)


def test_the_version_is_the_packages(tmp_path):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert widedeep("--version", cwd=tmp_path).stdout == f"widedeep {version}\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "required: COMMAND"),
        (("trian",), "invalid choice: 'trian'"),
        (("similar", "--top", "3", "--", "--user", "1"), "similar is started by nothing that takes options"),
        (("similar",), "give either --title or --user"),
        (("train", "--config", "nfc"), "config file nfc does not exist: give --config one of the presets best,"),
        (("prepare", "--split.kind", "odd"), "split.kind"),
    ],
)
def test_wrong_command_lines_end_with_2(argv, said, tmp_path):
    done = widedeep(*argv, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_options_stand_before_the_mark():
    assert split_at(["--epochs", "3"], "--") == ([], ["--epochs", "3"])
    assert split_at(["-a", "1", "--", "--b"], "--") == (["-a", "1"], ["--b"])
    assert split_at(["--", "--b"], "--") == ([], ["--b"])


def test_presets_are_found_by_name_and_paths_are_paths(tmp_path):
    assert isinstance(load_config(TrainConfig, ["--config", "ncf"], "train").model, NCFConfig)
    assert load_config(PrepareConfig, ["--config", "genre_hybrid_published"], "prepare").ratings.unscored == "zero"
    (tmp_path / "mine.toml").write_text("epochs = 7")
    assert load_config(TrainConfig, ["--config", str(tmp_path / "mine.toml")], "train").epochs == 7
    with pytest.raises(InputError, match="config file ncf does not exist"):
        load_config(PrepareConfig, ["--config", "ncf"], "prepare")


def test_both_names_of_the_run_directory_mean_the_same(tmp_path):
    (tmp_path / "old.toml").write_text('run = "there"')
    for argv in (["--run-dir", "there"], ["--run", "there"], ["--config", str(tmp_path / "old.toml")]):
        assert load_config(TrainConfig, argv, "train").run_dir == Path("there")
    flags_win = ["--config", str(tmp_path / "old.toml"), "--run-dir", "here"]
    assert load_config(TrainConfig, flags_win, "train").run_dir == Path("here")


ENVIRONMENT_OF_A_RANK = """
import os
from widedeep.common.launch import TUNING, enter_tuned_process
before = os.environ.get("SEEN_PID", str(os.getpid()))
os.environ["SEEN_PID"] = before
enter_tuned_process()
print({name: os.environ.get(name) for name in TUNING}, before == str(os.getpid()))
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, TUNING),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, TUNING | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}),
        ({"OMP_WAIT_POLICY": "passive"}, TUNING | {"GOMP_SPINCOUNT": None}),
    ],
)
def test_a_rank_enters_the_tuned_environment_once_and_keeps_its_process(given, expected, tmp_path):
    (tmp_path / "rank.py").write_text(ENVIRONMENT_OF_A_RANK)
    done = subprocess.run([sys.executable, "rank.py"], cwd=tmp_path, env=PLAIN | given, capture_output=True, text=True)
    assert done.stdout == f"{expected} True\n", done.stderr


@pytest.fixture
def nameless():
    """Run a command line on this machine under a host name that does not resolve."""
    changing = ("unshare", "--map-root-user", "--uts")
    if not shutil.which("unshare") or subprocess.run([*changing, "true"], capture_output=True).returncode:
        pytest.skip("host names cannot be changed for a single command here")
    plain = {name: value for name, value in PLAIN.items() if name not in ("PET_LOCAL_ADDR", "SPARK_LOCAL_IP")}

    def run(line: str) -> subprocess.CompletedProcess:
        shell = ["sh", "-c", f"hostname nowhere-at-all && exec {line}"]
        return subprocess.run([*changing, *shell], env=plain, capture_output=True, text=True, timeout=100)

    return run


def test_two_ranks_meet_on_a_machine_whose_name_does_not_resolve(nameless, tmp_path):
    write_prepared(tmp_path / "prepared", ratings=500)
    settings = f"--data {tmp_path}/prepared --run-dir {tmp_path}/run --epochs 1 --batch-size 64 --device cpu"
    done = nameless(f"{WIDEDEEP} train --nproc-per-node 2 -- --config wide_deep {settings} --ranking-users 0")
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "run")["train"]["ranks"] == 2


def test_spark_starts_on_a_machine_whose_name_does_not_resolve(nameless, tmp_path):
    done = nameless(f"{WIDEDEEP} synthesize --ratings 1e3 --output {tmp_path}/raw")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "raw" / "manifest.json").exists()


def test_the_doctor_sees_a_name_that_does_not_resolve(nameless):
    done = nameless(f"{WIDEDEEP} doctor")
    assert done.returncode == 1
    assert "host name: it does not resolve" in done.stdout


def test_options_of_spark_win_over_the_defaults_of_the_code(tmp_path):
    program = """
from widedeep.spark.session import build_session
spark = build_session("name of the code")
print(spark.conf.get("spark.sql.session.timeZone"), spark.conf.get("spark.app.name"), spark.sparkContext.master)
"""
    given = "--master local[1] --name mine --conf spark.sql.session.timeZone=Asia/Tokyo pyspark-shell"
    env = {**PLAIN, "PYSPARK_SUBMIT_ARGS": given}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["Asia/Tokyo", "mine", "local[1]"], done.stderr


def test_nodes_that_are_named_are_not_sent_to_the_loopback_address(monkeypatch):
    from torch.distributed import run

    import widedeep.common.launch as launch

    seen = []
    monkeypatch.setattr(run, "main", lambda argv: seen.append((argv, os.environ.get("PET_LOCAL_ADDR"))))
    monkeypatch.delenv("PET_LOCAL_ADDR", raising=False)
    launch.launch_training(["--nnodes", "2", "--rdzv-endpoint=node0:29500"], ["--epochs", "1"])
    launch.launch_training(["--nnodes=1", "--nproc-per-node", "2"], [])
    monkeypatch.delenv("PET_LOCAL_ADDR")
    monkeypatch.setenv("PET_NNODES", "2")
    launch.launch_training([], [])
    script = str(ROOT / "widedeep" / "train.py")
    assert seen == [
        (["--nnodes", "2", "--rdzv-endpoint=node0:29500", script, "--epochs", "1"], None),
        (["--nnodes=1", "--nproc-per-node", "2", script], LOOPBACK),
        ([script], None),
    ]
