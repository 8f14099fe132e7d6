"""The wheel: what is in it, and that it works away from the checkout, beside torch."""

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.commands import run_command
from tests.training import ROOT


def run(*argv: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess:
    done = run_command([str(part) for part in argv], cwd)
    assert done.returncode == code, f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: what an earlier build has left in the checkout would be packed too.
    for name in ("widedeep", "conf"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", cwd=folder)
    (file,) = (folder / "dist").glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel in it; its dependencies are those of the environment the tests run in."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    torchrun = folder / "bin" / "torchrun"  # as installing torch leaves it
    torchrun.write_text(Path(sys.executable).with_name("torchrun").read_text())
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--quiet")
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return folder


def test_it_holds_the_packages_and_the_presets_and_one_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entries,) = [name for name in names if name.endswith("entry_points.txt")]
        commands = archive.read(entries).decode()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"widedeep"}
    pages = {str(file.relative_to(ROOT)) for file in (ROOT / "widedeep/serve/page").iterdir()}
    assert pages <= set(names)
    presets = {str(file.relative_to(ROOT / "conf")) for file in (ROOT / "conf").rglob("*.toml")}
    assert {name.removeprefix("widedeep/conf/") for name in names if name.startswith("widedeep/conf/")} == presets
    sources = {str(file.relative_to(ROOT)) for file in (ROOT / "widedeep").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert commands.split() == ["[console_scripts]", "widedeep", "=", "widedeep.__main__:main"]


def test_its_commands_work_in_an_empty_directory(installed, tmp_path):
    command = installed / "bin" / "widedeep"
    assert "nothing is wrong" in run(command, "doctor", cwd=tmp_path).stdout
    where = run(installed / "bin" / "python", "-c", "import widedeep; print(widedeep.__file__)", cwd=tmp_path).stdout
    assert where.startswith(str(installed))
    said = run(command, "synthesize", "--ratings", "1e4", cwd=tmp_path)
    assert "noise floor" in said.stdout
    said = run(command, "prepare", "--driver-memory", "1g", "--", "--no-audit", cwd=tmp_path)
    assert "ratings read" in said.stdout
    train = ("train", "--nproc-per-node", "2", "--", "--config", "ncf", "--epochs", "1", "--device", "cpu")
    assert "user + item bias" in run(command, *train, cwd=tmp_path).stdout
    run(command, "score-all", "--run-dir", "runs/ncf", "--top-n", "3", cwd=tmp_path)
    assert "predicted_rating" in run(command, "recommendations", "--user", "1", cwd=tmp_path).stdout


def test_torchs_own_launcher_stays_when_the_wheel_comes_and_goes(installed, wheel, tmp_path):
    torchrun = installed / "bin" / "torchrun"
    before = Path(sys.executable).with_name("torchrun").read_text()
    assert "torch.distributed.run" in before
    assert torchrun.read_text() == before
    pip = (sys.executable, "-m", "pip", "--python", installed / "bin" / "python", "--quiet")
    run(*pip, "uninstall", "--yes", "widedeep", cwd=tmp_path)
    assert torchrun.read_text() == before
    assert not (installed / "bin" / "widedeep").exists()
