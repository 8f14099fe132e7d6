import io
import logging
import re

import pytest
import torch
from rich.console import Console

from tests.builders import write_prepared
from tests.training import command, train
from widedeep.training import progress
from widedeep.training.limit import MachineLimit
from widedeep.training.progress import Effort, EpochBar

BEFORE, NOW = Effort(1000, 10.0, 2.0), Effort(4000, 14.0, 3.0)


def limit(counted: bool) -> MachineLimit:
    """A machine that does 750 samples/s at 40 % of its limit."""
    found = MachineLimit(torch.device("cpu"), ranks=1)
    if counted:
        found._flops_per_rating, found._rate = 10.0, 18750.0
    return found


def test_an_effort_by_hand():
    pace = NOW.since(BEFORE)
    assert pace == (3000, 4.0, 1.0)
    assert (pace.samples_per_second, pace.wait_share) == (750.0, 0.25)


@pytest.fixture
def log_lines(monkeypatch):
    """The lines of a log, which is due at any time."""
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    monkeypatch.setattr(progress.log, "handlers", [handler])
    before = progress.log.level
    progress.log.setLevel(logging.INFO)  # not the attribute: a logger remembers which levels are on
    yield lambda: stream.getvalue().splitlines()
    progress.log.setLevel(before)


def test_a_line_of_the_log_has_all_that_one_watches(log_lines, monkeypatch):
    clock = iter([100.0, 104.0, 104.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with EpochBar("epoch 2/3", 40, 100, BEFORE) as bar:
        bar.update(60, {"loss": 1.5, "rmse": 1.25}, NOW, limit(counted=True))
    # 20 steps took 4 seconds, so the other 40 take 8.
    said = "RMSE 1.2500  loss 1.5000  750 samples/s  waiting 25.0%  40% of GEMM  0:00:08 left"
    assert log_lines() == [f"epoch 2/3  step 60/100  {said}"]


def test_a_model_without_matrix_products_has_no_share(log_lines):
    with EpochBar("epoch 2/3", 0, 100, BEFORE) as bar:
        bar.update(60, {"loss": 1.5}, NOW, limit(counted=False))
    assert "loss 1.5000  750 samples/s  waiting 25.0%  0:00" in log_lines()[0]
    assert "GEMM" not in log_lines()[0]


def test_a_bar_fits_into_80_columns(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(progress, "stderr", console)
    with EpochBar("epoch 10/20", 0, 29590, Effort()) as bar:
        bar.update(12000, {"loss": 1.5, "rmse": 1.25}, Effort(9_000_000, 12.0, 0.2), limit(counted=True))
        bar._bar.refresh()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue()).replace("\r", "\n")
    assert "RMSE 1.2500  loss 1.5000  750,000 samples/s  waiting 1.7%  40000% of GEMM" in shown
    assert any(re.search(r"epoch 10/20 .* 12000/29590 .* left", line) for line in shown.splitlines())


def test_a_training_logs_how_far_each_epoch_is(log_lines, tmp_path):
    """The last epoch is cut short by a limit of steps."""
    write_prepared(tmp_path / "prepared", ratings=300)
    flags = {"epochs": 2, "max_steps": 6, "ranking_users": 0, "track": ""}
    steps = train(command(tmp_path / "prepared", tmp_path / "run", **flags))["train"]["steps_per_epoch"]
    assert steps == 4
    found = [said[0] for line in log_lines() if (said := re.match(r"epoch \d+/\d+  step \d+/\d+  ", line))]
    places = [*(f"1/2  step {step}/4" for step in range(1, 5)), *(f"2/2  step {step}/2" for step in range(1, 3))]
    assert found == [f"epoch {place}  " for place in places]
