"""The run directory: who may use it, and what a second command does to it."""

from pathlib import Path

import pytest

from tests.builders import write_prepared
from tests.training import command, curve, learnt, metrics, python, train
from widedeep.common.errors import InputError
from widedeep.models.artifact import load_artifact
from widedeep.training.checkpoints import newest_first


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("directory") / "prepared"
    write_prepared(path)
    return path


@pytest.fixture
def run(data, tmp_path) -> Path:
    """A finished run of two epochs."""
    train(command(data, tmp_path / "run", epochs=2))
    return tmp_path / "run"


def content(directory: Path) -> dict[str, bytes]:
    """All files but TensorBoard's."""
    files = (path for path in directory.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_other_settings_are_refused_by_name_and_change_nothing(data, run):
    before = content(run)
    done = python(command(data, run, epochs=2, optim__lr=0.02, model__hidden="8"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "optim.lr (0.01 there, 0.02 now)" in done.stderr
    assert "model.hidden ([16, 8] there, [8] now)" in done.stderr
    assert "--resume never" in done.stderr
    assert content(run) == before


def test_other_data_is_refused(run, tmp_path):
    write_prepared(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match=r"differs in .*manifest_digest"):
        train(command(tmp_path / "other", run, epochs=2))


def test_a_finished_run_is_shown_and_not_trained_again(data, run, capsys):
    before = content(run)
    # Settings that change nothing of what is learnt may differ.
    train(command(data, run, epochs=2, eval_batch_size=100, keep_checkpoints=1, checkpoint_seconds=1))
    assert content(run) == before
    assert f"{metrics(run)['test']['rmse']:.4f}" in capsys.readouterr().out


def test_resume_never_starts_anew_whatever_is_there(data, run):
    (run / "checkpoints" / "step-0000009999.pt").write_bytes(b"of a longer run")
    train(command(data, run, epochs=1, seed=5, resume="never"))
    fresh = run.with_name("fresh")
    train(command(data, fresh, epochs=1, seed=5))
    assert learnt(metrics(run)) == learnt(metrics(fresh))
    assert [line["epoch"] for line in curve(run)] == [0]
    assert content(run).keys() == content(fresh).keys()


def test_resuming_from_a_named_checkpoint_goes_on_from_it(data, run):
    first = learnt(metrics(run))
    (run / "metrics.json").unlink()
    oldest = newest_first(run / "checkpoints")[-1]
    assert learnt(train(command(data, run, epochs=2, resume=oldest))) == first


def test_a_checkpoint_of_another_model_is_refused_by_name(data, run, tmp_path):
    other = newest_first(run / "checkpoints")[0]
    with pytest.raises(InputError, match=r"checkpoint .*step-\d+\.pt does not fit"):
        train(command(data, tmp_path / "wider", epochs=2, model__hidden="32", resume=other))


def test_a_directory_with_other_files_is_left_alone(data, tmp_path):
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    for resume in ("auto", "never"):
        with pytest.raises(InputError, match=r"home holds files but no run\.json.*choose another --run-dir"):
            train(command(data, precious, resume=resume))
    assert content(precious) == {"thesis.txt": b"years of work"}


def test_a_directory_that_was_not_prepared_ends_with_2(tmp_path):
    (tmp_path / "raw").mkdir()
    done = python(command(tmp_path / "raw", tmp_path / "run"))
    assert done.returncode == 2
    assert f"{tmp_path / 'raw'} holds no manifest.json" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_damaged_shard_ends_with_1_by_name_before_anything_is_trained(tmp_path, split):
    manifest = write_prepared(tmp_path / "prepared", ratings=1000)
    file = tmp_path / "prepared" / manifest.ratings.shards[split][1].path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = python(command(tmp_path / "prepared", tmp_path / "run"))
    assert done.returncode == 1
    assert f"shard {file} has sha256" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_training_that_diverges_says_so_and_keeps_the_best_model(data, tmp_path):
    """The rate climbs until the weights overflow, after an epoch that went well."""
    run = tmp_path / "run"
    with pytest.raises(InputError, match="diverged in epoch"):
        train(command(data, run, epochs=30, optim__name="sgd", optim__lr=8, optim__warmup=1))
    best = min(line["valid"]["rmse"] for line in curve(run))
    assert best < 2
    assert all(
        weight.isfinite().all() for weight in load_artifact(run / "model.safetensors").model.state_dict().values()
    )
    assert not (run / "metrics.json").exists()
