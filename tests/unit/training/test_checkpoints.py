import logging
import pickle

import pytest
import torch

from tests.unit.models.test_artifact import Bomb
from widedeep.common.errors import InputError
from widedeep.training.checkpoints import load_checkpoint, newest_first, save_checkpoint


@pytest.fixture
def run(tmp_path):
    """A run with the checkpoints of steps 10, 20 and 30."""
    for step in (10, 20, 30):
        save_checkpoint(tmp_path / "checkpoints", step, {"step": step, "weight": torch.full((3,), float(step))}, keep=9)
    return tmp_path


def test_the_newest_comes_back_as_it_was(run):
    file, state = load_checkpoint(run, "auto")
    assert file.name == "step-0000000030.pt"
    assert state["step"] == 30
    assert state["weight"].tolist() == [30.0] * 3


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_the_newest_are_kept(tmp_path, keep):
    for step in (10, 9, 100, 1000):
        save_checkpoint(tmp_path, step, {}, keep)
    names = [f"step-{step:010d}.pt" for step in (1000, 100, 10)][:keep]
    assert [file.name for file in newest_first(tmp_path)] == names
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)


def test_a_truncated_one_is_passed_over_with_a_warning(run, caplog):
    newest = newest_first(run / "checkpoints")[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING, "widedeep"):
        file, state = load_checkpoint(run, "auto")
    assert state["step"] == 20
    assert file.name == "step-0000000020.pt"
    assert str(newest) in caplog.text


def test_a_half_written_one_is_no_checkpoint(run):
    (run / "checkpoints" / ".step-0000000040.pt.draft").write_bytes(b"PK half")
    (run / "checkpoints" / "step-0000000050.pt.tmp").write_bytes(b"PK half")
    assert load_checkpoint(run, "auto")[1]["step"] == 30


def test_one_may_be_named_by_its_path(run):
    oldest = newest_first(run / "checkpoints")[-1]
    assert load_checkpoint(run, str(oldest))[1]["step"] == 10


def test_never_and_an_empty_run_start_anew(run, tmp_path):
    assert load_checkpoint(run, "never") is None
    assert load_checkpoint(tmp_path / "empty", "auto") is None


def test_a_path_that_is_no_checkpoint_is_refused_by_name(tmp_path):
    file, trace = tmp_path / "notes.pt", tmp_path / "exploded"
    contents = [b"", b"garbage", pickle.dumps(Bomb(trace), protocol=2)]
    for content in contents:
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"cannot read checkpoint .*notes\.pt"):
            load_checkpoint(tmp_path, str(file))
    torch.save(Bomb(trace), file)  # a real torch file, whose pickle holds code
    with pytest.raises(InputError, match=r"cannot read checkpoint .*notes\.pt"):
        load_checkpoint(tmp_path, str(file))
    assert not trace.exists()
    with pytest.raises(InputError, match=r"cannot read checkpoint nothing\.pt"):
        load_checkpoint(tmp_path, "nothing.pt")


def test_the_parts_of_several_ranks_go_with_rank_0s(tmp_path):
    for step in (10, 20, 30):
        for rank in (1, 2, 0):
            save_checkpoint(tmp_path, step, {"rank": rank}, keep=1, rank=rank)
    names = [f"step-0000000030{part}.pt" for part in ("", ".rank-1", ".rank-2")]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert [file.name for file in newest_first(tmp_path)] == names[:1]


def test_parts_without_rank_0s_are_no_checkpoint_and_go_with_the_next(run):
    save_checkpoint(run / "checkpoints", 40, {}, keep=1, rank=1)
    assert load_checkpoint(run, "auto")[1]["step"] == 30
    save_checkpoint(run / "checkpoints", 50, {}, keep=1)
    assert [file.name for file in (run / "checkpoints").iterdir()] == ["step-0000000050.pt"]
