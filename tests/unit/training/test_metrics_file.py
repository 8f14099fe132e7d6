"""metrics.json: written, read again, and refused when it does not fit."""

import json
import math

import pytest

from widedeep.common.errors import InputError
from widedeep.training.metrics_file import RunMetrics, TrainingStatistics, read_metrics, write_metrics
from widedeep.training.run import is_best
from widedeep.training.step import Progress

ERRORS = {"rmse": 1.25, "mae": 1.0, "r2": math.nan, "ratings": 7}
TRAIN = TrainingStatistics(
    samples_per_second=1.5,
    seconds=2.0,
    data_wait_share=0.5,
    samples=3,
    epochs=2,
    best_epoch=1,
    steps_per_epoch=4,
    dropped_per_epoch=0,
    ranks=1,
    device="cpu",
    seed=0,
)


def test_metrics_come_back_as_they_were_written(tmp_path):
    models = {"global_mean": ERRORS, "bias": ERRORS}
    written = RunMetrics(
        scale=(1, 10), rates=True, valid=ERRORS, test=ERRORS, reference_models=models, ranking={}, train=TRAIN
    )
    write_metrics(tmp_path, written)
    assert json.dumps(json.loads((tmp_path / "metrics.json").read_text())["test"]) == json.dumps(ERRORS)
    assert repr(read_metrics(tmp_path)) == repr(written)  # by text, as NaN equals nothing


def test_a_run_without_metrics_is_not_finished(tmp_path):
    assert read_metrics(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", '{"floors": {}}'])
def test_metrics_that_do_not_fit_are_refused_by_name(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json is damaged or of another release.*--resume never"):
        read_metrics(tmp_path)


@pytest.mark.parametrize(
    ("value", "best_value", "best"),
    [(1.2, math.inf, True), (1.2, 1.3, True), (1.3, 1.3, False), (1.4, 1.3, False), (math.nan, math.nan, True)],
)
def test_the_best_epoch_by_hand(value, best_value, best):
    assert is_best(value, Progress(best_value=best_value)) is best
