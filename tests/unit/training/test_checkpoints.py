import hashlib
import logging
import pickle
import random

import pytest
import torch

from tests.spoil import DAMAGES, spoil
from tests.unit.models.test_artifact import Bomb
from widedeep.common.errors import InputError, WriteError
from widedeep.parallel.world import ALONE
from widedeep.schema.records import seal
from widedeep.training.checkpoints import (
    Checkpointer,
    CheckpointManifest,
    load_checkpoint,
    newest_first,
    read_checkpoint_manifest,
    write_part,
)
from widedeep.training.run_identity import RunIdentity

IDENTITY = RunIdentity(config={"epochs": 2}, manifest_digest="a")


def save(run, place, keep=9, **state) -> None:
    Checkpointer(run, IDENTITY, 1, keep, ALONE, ALONE).save(place, lambda: state)


def load(run, resume="auto", identity=IDENTITY):
    found = load_checkpoint(run, resume, identity)
    return found and (found[0], found[1], found[2][0])


@pytest.fixture
def run(tmp_path):
    """A run with three checkpoints."""
    for step in (10, 20, 30):
        save(tmp_path, (0, step), step=step, weight=torch.full((3000,), float(step)))
    return tmp_path


def test_the_newest_comes_back_as_it_was(run):
    checkpoint, manifest, state = load(run)
    assert checkpoint.name == "epoch-0000-step-00000030"
    assert manifest.identity == IDENTITY
    assert manifest.ranks == 1
    assert state["step"] == 30
    assert state["weight"].tolist() == [30.0] * 3000


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_the_furthest_are_kept(tmp_path, keep):
    """With other ranks an epoch may have fewer steps: what counts is the epoch, then the step."""
    for place in ((0, 5), (0, 100), (1, 0), (1, 9)):
        save(tmp_path, place, keep)
    names = ["epoch-0001-step-00000009", "epoch-0001-step-00000000", "epoch-0000-step-00000100"][:keep]
    assert [checkpoint.name for checkpoint in newest_first(tmp_path / "checkpoints")] == names
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == sorted(names)


def test_what_is_written_is_kept_even_if_a_damaged_one_is_further(run):
    spoil(newest_first(run / "checkpoints")[0] / "rank-0.pt", "empty")
    save(run, (0, 25), keep=1)
    names = [path.name for path in (run / "checkpoints").iterdir()]
    assert names == ["epoch-0000-step-00000025"]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["rank-0.pt", "manifest.json"])
def test_a_damaged_one_is_passed_over_with_a_warning(run, caplog, damage, name):
    newest = newest_first(run / "checkpoints")[0]
    spoil(newest / name, damage)
    with caplog.at_level(logging.WARNING, "widedeep"):
        checkpoint, _, state = load(run)
    assert state["step"] == 20
    assert checkpoint.name == "epoch-0000-step-00000020"
    assert (damage == "missing" and name == "manifest.json") or str(newest) in caplog.text


def test_no_flipped_bit_goes_unnoticed(run):
    """Of 200 bits, chosen with a printed seed, each is found: torch itself finds none of them."""
    seed = 2023
    print("seed", seed)
    newest = newest_first(run / "checkpoints")[0]
    file, draw = newest / "rank-0.pt", random.Random(seed)
    whole = file.read_bytes()
    for _ in range(200):
        spoil(file, "flipped", draw.random())
        with pytest.raises(InputError, match=r"rank-0\.pt is damaged"):
            load(run, str(newest))
        file.write_bytes(whole)
    assert load(run, str(newest))[2]["step"] == 30


def test_if_none_is_whole_the_training_does_not_start_from_zero(run):
    for checkpoint in newest_first(run / "checkpoints"):
        spoil(checkpoint / "rank-0.pt", "flipped")
    with pytest.raises(InputError, match=r"none of the 3 checkpoints in .*--resume never"):
        load(run)


def test_a_draft_is_no_checkpoint_and_is_swept_away(run):
    draft = run / "checkpoints" / "epoch-0000-step-00000040"
    draft.mkdir()
    (draft / "rank-0.pt").write_bytes(b"PK half")
    assert load(run)[2]["step"] == 30
    save(run, (0, 50), keep=2)
    assert not draft.exists()


def test_one_may_be_named_by_its_path(run):
    oldest = newest_first(run / "checkpoints")[-1]
    assert load(run, str(oldest))[2]["step"] == 10


def test_one_of_another_run_is_refused_by_what_differs(run, tmp_path):
    other = RunIdentity(config={"epochs": 3}, manifest_digest="b")
    newest = newest_first(run / "checkpoints")[0]
    with pytest.raises(InputError, match=r"differs in .*epochs \(2 there, 3 now\).*manifest_digest \(a there, b now\)"):
        load(tmp_path / "empty", str(newest), other)


def test_another_format_is_named(run):
    newest = newest_first(run / "checkpoints")[0]
    file = newest / "manifest.json"
    file.write_text(seal("checkpoint", 9, {}))
    with pytest.raises(InputError, match="format_version is 9, this release reads 2"):
        load(run, str(newest))


def test_never_and_an_empty_run_start_anew(run, tmp_path):
    assert load(run, "never") is None
    assert load(tmp_path / "empty") is None


def test_a_path_that_is_no_checkpoint_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"nothing is no checkpoint"):
        load(tmp_path, "nothing")
    for content in (b"", b"garbage", b"{}", b"[" * 100_000, b"\xff"):
        (tmp_path / "manifest.json").write_bytes(content)
        with pytest.raises(InputError, match="resume: "):
            load(tmp_path, str(tmp_path))


def test_reading_one_runs_no_code(run, tmp_path):
    """Whoever can write a checkpoint can write its digest, too."""
    newest, trace = newest_first(run / "checkpoints")[0], tmp_path / "exploded"
    written = read_checkpoint_manifest(newest)
    for write in (write_part, lambda file, bomb: file.write_bytes(pickle.dumps(bomb, protocol=2))):
        write(newest / "rank-0.pt", Bomb(trace))
        content = (newest / "rank-0.pt").read_bytes()
        part = write_digest(newest, written, content)
        assert part.bytes == len(content)
        with pytest.raises(InputError, match=r"rank-0\.pt cannot be read"):
            load(run, str(newest))
    assert not trace.exists()


def write_digest(checkpoint, manifest: CheckpointManifest, content: bytes):
    part = manifest.parts[0].model_copy(update={"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    (checkpoint / "manifest.json").write_text(manifest.model_copy(update={"parts": (part,)}).seal())
    return part


def test_a_disk_that_is_full_costs_nothing_that_is_there(run):
    """/dev/full takes no byte: a real ENOSPC."""
    target = run / "checkpoints" / "epoch-0000-step-00000040"
    target.mkdir()
    (target / "rank-0.pt").symlink_to("/dev/full")
    with pytest.raises(WriteError, match=r"epoch-0000-step-00000040 could not be written .*free space"):
        save(run, (0, 40), weight=torch.zeros(10))
    assert not target.exists()
    assert load(run)[2]["step"] == 30
