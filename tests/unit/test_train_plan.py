"""`--dry-run` of a training, and its log for machines."""

import json
from pathlib import Path

import pytest
import torch

from tests.builders import write_prepared
from tests.training import command, python, torchrun, train
from widedeep.common.command import load_config
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.parallel.world import ALONE, World
from widedeep.training.plan import plan
from widedeep.training.settings import TrainConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "prepared"
    write_prepared(path, shards={"train": 4, "valid": 1, "test": 1})
    return path


def planned(data: Path, run: Path, capsys, **flags) -> str:
    plan(load_config(TrainConfig, [*command(data, run, **flags)[1:], "--dry-run"], "train"), ALONE)
    return " ".join(capsys.readouterr().out.split())


def test_a_dry_run_says_what_would_be_done_and_does_nothing(data, tmp_path, capsys):
    said = planned(data, tmp_path / "run", capsys)
    assert "run │ new" in said
    assert not (tmp_path / "run").exists()
    train(command(data, tmp_path / "run", max_steps=3))
    before = set((tmp_path / "run").rglob("*"))
    assert "finished already" in planned(data, tmp_path / "run", capsys, max_steps=3)
    (tmp_path / "run" / "metrics.json").unlink()
    assert "goes on from epoch-0001-step-00000000" in planned(data, tmp_path / "run", capsys, max_steps=3)
    assert before >= set((tmp_path / "run").rglob("*"))


def test_a_dry_run_refuses_what_the_training_would(data, tmp_path, capsys):
    train(command(data, tmp_path / "run", max_steps=1))
    with pytest.raises(InputError, match=r"holds a run that differs in \['seed \(0 there, 7 now\)'\]"):
        planned(data, tmp_path / "run", capsys, max_steps=1, seed=7)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds files but no run\.json"):
        planned(data, tmp_path / "other", capsys)


@pytest.mark.parametrize(
    ("ranks", "mode", "refused"),
    [
        (3, "resident", "batch_size 64 is not a multiple of the 3 ranks"),
        (8, "stream", "4 training shards cannot be dealt equally to 8 ranks"),
    ],
)
def test_a_dry_run_refuses_ranks_that_cannot_share_the_ratings(data, tmp_path, ranks, mode, refused):
    argv = [*command(data, tmp_path / "run", loader__mode=mode)[1:], "--dry-run"]
    with pytest.raises(InputError, match=refused):
        plan(load_config(TrainConfig, argv, "train"), World(0, ranks, torch.device("cpu")))


@pytest.mark.parametrize(("mode", "said"), [("resident", "GB in memory of each rank"), ("stream", "streamed")])
def test_a_dry_run_says_where_the_ratings_would_be(data, tmp_path, capsys, mode, said):
    assert said in planned(data, tmp_path / "run", capsys, loader__mode=mode)


@pytest.mark.parametrize("part", ["ratings/split=train", "ratings/split=test", "users", "items"])
def test_a_dry_run_looks_at_every_file(tmp_path, capsys, part):
    write_prepared(tmp_path / "prepared")
    file = next((tmp_path / "prepared" / part).glob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedFileError, match=file.name):
        planned(tmp_path / "prepared", tmp_path / "run", capsys)


def test_ranks_plan_together(data, tmp_path):
    done = torchrun(2, [*command(data, tmp_path / "run"), "--dry-run"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("plan: ") == 1
    assert not (tmp_path / "run").exists()


def test_a_log_for_machines_is_json_with_counts_that_add_up(data, tmp_path):
    done = python([*command(data, tmp_path / "run"), "--log-format", "json"])
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {(line["stage"], line["run"], line["rank"]) for line in lines} == {("train", str(tmp_path / "run"), 0)}
    ratings = json.loads((data / "manifest.json").read_text())["ratings"]["shards"]
    rows = {split: sum(file["rows"] for file in files) for split, files in ratings.items()}
    counts = lines[-1]["counts"]
    assert counts["epochs"] == 3
    assert counts["ratings_trained_on"] == 3 * rows["train"]
    assert (counts["ratings_valid"], counts["ratings_test"]) == (rows["valid"], rows["test"])


def test_an_error_is_a_line_of_json_too(tmp_path):
    done = python([*command(tmp_path / "nothing", tmp_path / "run"), "--log-format", "json"])
    assert done.returncode == 2
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert line["level"] == "ERROR"
    assert "nothing" in line["message"]
    done = python([*command(tmp_path / "nothing", tmp_path / "run"), "--log-format", "xml"])
    assert (done.returncode, "choose one of text, json" in done.stderr) == (2, True)
