import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from widedeep.training.tracking import Tracker, flatten


def record(run, first_epoch: int, losses: dict[int, float]) -> None:
    tracker = Tracker(run, first_epoch)
    for epoch, loss in losses.items():
        tracker.record(epoch, {"valid": {"rmse": loss}})
    tracker.close()


def lines(run) -> list[tuple[int, float]]:
    parsed = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["valid"]["rmse"]) for line in parsed]


def test_a_resumed_run_replaces_the_epochs_it_repeats(tmp_path):
    record(tmp_path, 0, {0: 1.5, 1: 1.4, 2: 9.9})
    record(tmp_path, 2, {2: 1.3, 3: 1.2})
    assert lines(tmp_path) == [(0, 1.5), (1, 1.4), (2, 1.3), (3, 1.2)]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    shown = [(event.step, event.value) for event in board.Scalars("valid/rmse")]
    assert shown == [(s, pytest.approx(v)) for s, v in lines(tmp_path)]


def test_a_line_that_a_crash_cut_short_is_dropped(tmp_path):
    record(tmp_path, 0, {0: 1.5, 1: 1.4})
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "val')
    record(tmp_path, 2, {2: 1.3})
    assert lines(tmp_path) == [(0, 1.5), (1, 1.4), (2, 1.3)]


def test_flatten_by_hand():
    nested = {"valid": {"rmse": 1.25, "deep": {"n": 3}}, "note": "text", "speed": 7}
    assert flatten(nested) == {"valid/rmse": 1.25, "valid/deep/n": 3.0, "speed": 7.0}
