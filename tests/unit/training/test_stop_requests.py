"""Signals that ask a training to stop; tests/faults/test_training_stopped.py sends them to processes."""

import signal
from pathlib import Path

import pytest
import torch

from tests.builders import write_prepared
from tests.training import command, train
from widedeep.common.command import load_config
from widedeep.common.errors import Stopped
from widedeep.parallel.world import ALONE, World
from widedeep.training.checkpoints import newest_first
from widedeep.training.run import TrainingRun
from widedeep.training.settings import TrainConfig
from widedeep.training.stop_requests import AGREE_STEPS, StopRequests


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stopped") / "prepared"
    write_prepared(path, ratings=1000)
    return path


def stopped(argv: list[str], during: int, monkeypatch) -> tuple[str, list[int]]:
    """Train until a signal comes during a step of the first epoch; return what is said, and the epochs that ended."""
    run = TrainingRun(load_config(TrainConfig, argv[1:], "train"), ALONE)
    epoch, ended = run.loader.epoch, []

    def epoch_with_a_signal(number: int, first_step: int = 0):
        for step, batch in enumerate(epoch(number, first_step), 1):
            if step == during:
                signal.raise_signal(signal.SIGUSR1)
            yield batch

    monkeypatch.setattr(run.loader, "epoch", epoch_with_a_signal)
    try:
        with pytest.raises(Stopped) as caught:
            run.train(lambda number, value: ended.append(number))
    finally:
        run.close()
    return str(caught.value), ended


def test_a_training_stops_after_the_step_in_which_a_signal_came(data, tmp_path, monkeypatch):
    said, ended = stopped(command(data, tmp_path / "run"), 2, monkeypatch)
    assert said.startswith("stopped by SIGUSR1 after a checkpoint at epoch 1, step 2:")
    (checkpoint,) = newest_first(tmp_path / "run/checkpoints")
    assert checkpoint.name == "epoch-0000-step-00000002"
    assert ended == []


def test_a_signal_in_the_last_step_of_a_limited_training_waits_for_the_measurements(data, tmp_path, monkeypatch):
    """Else there would be no model, and no step left after which to measure one."""
    argv = command(data, tmp_path / "run", max_steps=3)
    said, ended = stopped(argv, 3, monkeypatch)
    assert said.startswith("stopped by SIGUSR1 after a checkpoint at epoch 2, step 0:")
    assert ended == [0]
    assert train(argv)["train"]["best_epoch"] == 1


def test_one_rank_looks_for_signals_after_each_step():
    with StopRequests(ALONE) as stop:
        assert [stop.received_after(step) for step in (1, 2, AGREE_STEPS)] == [None] * 3
        signal.raise_signal(signal.SIGTERM)
        assert [stop.received_after(step) for step in (3, AGREE_STEPS)] == ["SIGTERM"] * 2


def test_several_ranks_do_not_ask_each_other_between_the_agreed_steps():
    """There is no process group here, so asking would fail."""
    with StopRequests(World(0, 2, torch.device("cpu"))) as stop:
        signal.raise_signal(signal.SIGUSR1)
        assert [stop.received_after(step) for step in range(1, AGREE_STEPS)] == [None] * (AGREE_STEPS - 1)
