"""Who may use a run's directory; tests/faults/test_training_directory.py tries it from the command line."""

import json
import os

import pytest

from tests.builders import write_prepared
from widedeep.common.errors import InputError
from widedeep.parallel.world import ALONE
from widedeep.training.run_directory import IDENTITY_FILE, LOCK_FILE, claim_run_directory
from widedeep.training.run_identity import RunIdentity, run_identity
from widedeep.training.settings import TrainConfig

IDENTITY = RunIdentity(config={"epochs": 2, "optim": {"lr": 0.1}}, manifest_digest="a")


@pytest.fixture(scope="module")
def small_manifest(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("identity"), ratings=300)


def claim(run, start_anew=False, **changes) -> None:
    claim_run_directory(run, IDENTITY.model_copy(update=changes), start_anew, ALONE).close()


def test_the_same_run_claims_its_directory_again(tmp_path):
    claim(tmp_path / "run")
    claim(tmp_path / "run")
    assert json.loads((tmp_path / "run" / IDENTITY_FILE).read_text()) == IDENTITY.model_dump()


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"config": {"epochs": 2, "optim": {"lr": 0.2}}}, r"optim\.lr \(0\.1 there, 0\.2 now\)"),
        ({"config": {"epochs": 2, "optim": {"lr": 0.1}, "loss": "x"}}, r"loss \(None there, x now\)"),
        ({"manifest_digest": "b"}, r"manifest_digest \(a there, b now\)"),
    ],
)
def test_another_run_is_refused_by_what_differs(tmp_path, changes, difference):
    claim(tmp_path / "run")
    with pytest.raises(InputError, match=rf"differs in \['{difference}'\].*--resume never"):
        claim(tmp_path / "run", **changes)
    claim(tmp_path / "run", start_anew=True, **changes)


def test_starting_anew_keeps_what_no_run_wrote(tmp_path):
    claim(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "metrics.json").write_text("{}")
    claim(tmp_path, start_anew=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == [LOCK_FILE, "notes.txt", IDENTITY_FILE]


def test_a_directory_in_use_is_refused_with_its_user(tmp_path):
    lock = claim_run_directory(tmp_path / "run", IDENTITY, False, ALONE)
    for start_anew in (False, True):
        with pytest.raises(InputError, match=rf"run is in use by process {os.getpid()} on .*choose another --run-dir"):
            claim(tmp_path / "run", start_anew)
    lock.close()
    claim(tmp_path / "run")


def test_hidden_files_are_no_other_files(tmp_path):
    """A crash leaves a draft of run.json, a file manager .DS_Store, a new disk lost+found."""
    for name in (f".{IDENTITY_FILE}.draft", ".DS_Store"):
        (tmp_path / name).write_text("half")
    (tmp_path / "lost+found").mkdir()
    claim(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": 1}', "null", "\0"])
def test_a_damaged_identity_is_named(tmp_path, content):
    claim(tmp_path)
    (tmp_path / IDENTITY_FILE).write_text(content)
    with pytest.raises(InputError, match=r"run\.json is damaged or of another release.*--resume never"):
        claim(tmp_path)
    claim(tmp_path, start_anew=True)
    claim(tmp_path)


def test_the_identity_leaves_out_what_may_change(small_manifest, tmp_path):
    moved = TrainConfig.model_validate({"run_dir": tmp_path, "device": "cpu", "loader": {"reader": "pyarrow"}})
    assert run_identity(moved, small_manifest) == run_identity(TrainConfig(), small_manifest)
