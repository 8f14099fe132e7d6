"""What every baseline of the registry must do, whatever it computes."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.builders import COLD, write_prepared
from widedeep.baselines.base import Baseline, BaselineContext
from widedeep.baselines.tuning import Candidate, Evaluator, recommend, tune
from widedeep.config.baselines import BaselinesConfig
from widedeep.data.rating_matrices import Splits, load_splits
from widedeep.spark.baseline_fits.registry import BASELINES, config_class

USERS, ITEMS = 60, 40
# Smaller than any default that would take long.
SMALL = {"ranks": (3,), "iterations": 2}


def context_of(splits: Splits, data: Path) -> BaselineContext:
    return BaselineContext(splits, Evaluator(splits, USERS, 0), ((2.0, 1.0),), str(data), seed=0)


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> BaselineContext:
    data = tmp_path_factory.mktemp("baselines") / "prepared"
    return context_of(load_splits(data, write_prepared(data, USERS, ITEMS, ratings=1500)), data)


@pytest.fixture(scope="module")
def train_only(context, tmp_path_factory) -> BaselineContext:
    """The same training ratings, and no others."""
    data = tmp_path_factory.mktemp("baselines") / "train_only"
    shutil.copytree(context.data, data, ignore=shutil.ignore_patterns("split=valid", "split=test"))
    empty = {name: type(part)(*(c[:0] for c in part)) for name, part in context.splits.parts.items()}
    splits = dataclasses.replace(context.splits, parts=empty | {"train": context.splits.parts["train"]})
    return context_of(splits, data)


@pytest.fixture(scope="module", params=BASELINES, ids=lambda baseline: baseline.name)
def baseline(request) -> Baseline:
    """Each baseline, with the first of the values of each setting."""
    cls = request.param
    if cls.__module__.startswith("widedeep.spark."):
        request.getfixturevalue("spark")
    first = {name: value[:1] for name, value in cls() if isinstance(value, tuple)}
    return cls(**first | {name: value for name, value in SMALL.items() if name in cls.model_fields})


@pytest.fixture(scope="module")
def candidates(baseline, context) -> list[Candidate]:
    return list(baseline.candidates(context))


def all_pairs() -> tuple[np.ndarray, np.ndarray]:
    """Every user with every item, the cold ones too."""
    user, item = np.divmod(np.arange(USERS * ITEMS, dtype=np.int32), np.int32(ITEMS))
    return user, item


def answers(candidates: list[Candidate]) -> list[np.ndarray]:
    """All predictions and affinities of all candidates."""
    predictions = [c.predictor(*all_pairs()) for c in candidates if c.predictor]
    return predictions + [c.ranker(np.arange(USERS)) for c in candidates if c.ranker]


def test_names_are_free_and_settings_explained():
    names = [baseline.name for baseline in BASELINES]
    assert len(set(names)) == len(names)
    assert not set(names) & set(BaselinesConfig.model_fields)
    for baseline in BASELINES:
        assert baseline.name.isidentifier()
        assert baseline.__doc__
        assert all(field.description for field in baseline.model_fields.values()), baseline.name


def test_the_settings_are_a_section_of_the_config(baseline):
    cls, name = config_class(), baseline.name
    assert name in cls().only
    assert (name in cls.model_fields) == bool(type(baseline).model_fields)
    if type(baseline).model_fields:
        written = json.loads(baseline.model_dump_json())
        assert getattr(cls.model_validate({name: written}), name) == baseline


def test_each_candidate_says_its_settings_and_predicts_or_ranks(candidates):
    assert candidates
    settings = [json.dumps(candidate.settings, sort_keys=True) for candidate in candidates]
    assert len(set(settings)) == len(settings)
    assert all(candidate.predictor or candidate.ranker for candidate in candidates)


def test_predictions_are_numbers_for_all_pairs_and_better_than_a_guess(candidates, context):
    user, item, rating = context.splits.pairs("train")
    for predictor in (c.predictor for c in candidates if c.predictor):
        predicted = predictor(*all_pairs())
        assert predicted.shape == (USERS * ITEMS,)
        assert np.isfinite(predicted).all()
        assert predictor(user[:0], item[:0]).shape == (0,)
        error = np.clip(predictor(user, item), 1, 10) - rating
        assert np.square(error).mean() <= 1.0001 * rating.var()


def test_affinities_are_new_arrays_without_nan(candidates):
    for ranker in (c.ranker for c in candidates if c.ranker):
        users = np.arange(USERS - COLD)
        first = ranker(users)
        assert (first.shape, first.dtype) == ((len(users), ITEMS), np.float32)
        assert not np.isnan(first).any()
        assert np.isfinite(first.max(axis=1)).all()
        kept = first.copy()
        first[:] = 0  # the caller may change it
        assert np.array_equal(ranker(users), kept)


def test_lists_leave_out_what_was_rated(candidates, context):
    seen = context.splits.history
    for ranker in (c.ranker for c in candidates if c.ranker):
        for users, items, affinities in recommend(ranker, np.arange(USERS - COLD), seen, 5):
            listed = items >= 0
            assert listed[:, 0].all()
            row, place = np.nonzero(listed)
            assert not np.asarray(seen[users[row], items[row, place]]).any()
            assert (np.diff(affinities, axis=1)[listed[:, 1:]] <= 0).all()


def test_the_fit_is_the_same_again_and_without_valid_and_test_ratings(baseline, candidates, train_only):
    again = list(baseline.candidates(train_only))
    assert [c.settings for c in again] == [c.settings for c in candidates]
    for expected, found in zip(answers(candidates), answers(again), strict=True):
        assert np.array_equal(expected, found)


def test_tuning_keeps_a_candidate_for_all_that_the_baseline_does(baseline, candidates, context):
    tuned = tune(baseline.name, candidates, context.evaluator)
    assert len(tuned.trials) == len(candidates)
    assert (tuned.ratings is None) == all(c.predictor is None for c in candidates)
    assert (tuned.lists is None) == all(c.ranker is None for c in candidates)


def test_an_estimate_of_memory_is_a_number_of_bytes(baseline, context):
    assert baseline.memory_bytes(context.splits) >= 0
