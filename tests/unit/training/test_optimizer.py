import copy
import math

import pytest
import torch

from tests.builders import TEN_POINTS
from tests.unit.models.conftest import prepared
from widedeep.config.train import OptimConfig
from widedeep.data.batches import Batch
from widedeep.models import WideDeep
from widedeep.parallel.world import World
from widedeep.training.optimizer import learning_rate
from widedeep.training.settings import TrainConfig
from widedeep.training.step import TrainState

LR = 0.5
USERS = torch.tensor([0, 1, 1, 4], dtype=torch.int32)
ITEMS = torch.tensor([2, 2, 0, 3], dtype=torch.int32)
BATCH = Batch(USERS, ITEMS, torch.tensor([3.0, 9.0, 7.0, 6.0]))


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0.0, {0: 1.0, 5: 1.0, 9: 1.0}),
        ("linear", 0.0, {0: 1.0, 5: 0.5, 9: 0.1}),
        ("cosine", 0.0, {0: 1.0, 5: 0.5, 9: (1 + math.cos(0.9 * math.pi)) / 2}),
        ("constant", 0.2, {0: 0.5, 1: 1.0, 2: 1.0, 9: 1.0}),
        ("linear", 0.2, {0: 0.5, 1: 1.0, 2: 1.0, 6: 0.5, 9: 1 / 8}),
        ("cosine", 0.2, {0: 0.5, 1: 1.0, 2: 1.0, 6: 0.5, 9: (1 + math.cos(7 / 8 * math.pi)) / 2}),
        ("linear", 1.0, {0: 0.1, 4: 0.5, 9: 1.0}),
    ],
)
def test_schedules_by_hand(schedule, warmup, expected):
    """Ten steps with a peak of 2."""
    config = OptimConfig(lr=2.0, schedule=schedule, warmup=warmup)
    assert {s: learning_rate(config, s, 10) for s in expected} == pytest.approx({s: 2 * v for s, v in expected.items()})


@pytest.mark.parametrize("warmup", [0.01, 0.05, 0.25, 0.33, 0.99])
def test_the_rate_never_exceeds_its_peak(warmup):
    config = OptimConfig(lr=1.0, warmup=warmup)
    assert max(learning_rate(config, step, 10) for step in range(10)) <= 1.0


def settings(epochs: int = 1, **optim) -> TrainConfig:
    return TrainConfig.model_validate(
        {"epochs": epochs, "model": {"embedding_dim": 3, "hidden": [4]}, "optim": {"lr": LR, **optim}}
    )


def new_model(config: TrainConfig) -> WideDeep:
    """Return a model that is the same each time."""
    torch.manual_seed(0)
    shape = {"users": 6, "items": 5, "user_rows": 6, "item_rows": 5, "wide": 2}
    model = WideDeep(config.model, shape, TEN_POINTS)
    model.user_row.copy_(torch.arange(6))
    model.item_row.copy_(torch.arange(5))
    model.item_wide.fill_(0.5)
    return model


def train_state(model: WideDeep, config: TrainConfig) -> TrainState:
    return TrainState(model, config, World(0, 1, torch.device("cpu")), steps=1)


def after_one_step(epochs: int = 1, **optim) -> tuple[WideDeep, WideDeep]:
    """Return a model before and after a step on BATCH."""
    config = settings(epochs, **optim)
    before, after = new_model(config), new_model(config)
    train_state(after, config).train_step(BATCH)
    return before, after


def moved(before: WideDeep, after: WideDeep) -> dict[str, torch.Tensor]:
    old = dict(before.named_parameters())
    return {name: (new - old[name]).detach() for name, new in after.named_parameters()}


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adagrad"])
def test_embeddings_outside_the_batch_stay_where_they_are(name):
    moves = moved(*after_one_step(name=name, embedding_decay=0.1, weight_decay=0.1))
    for table, present in (("user_embedding.weight", USERS), ("item_embedding.weight", ITEMS)):
        rows = moves[table].abs().sum(1) > 0
        assert rows.nonzero().flatten().tolist() == sorted(set(present.tolist()))


def test_embedding_decay_pulls_each_row_by_how_often_it_is_in_the_batch():
    before, with_decay = after_one_step(name="sgd", embedding_decay=0.1)
    _, without = after_one_step(name="sgd")
    pull = (with_decay.user_embedding.weight - without.user_embedding.weight).detach()
    share = torch.tensor([1, 2, 0, 0, 1, 0, 0])[:, None] / 4
    # d/de of 0.1 * mean over the pairs of |e|^2
    expected = -LR * 0.1 * 2 * before.user_embedding.weight.detach() * share
    torch.testing.assert_close(pull, expected, rtol=1e-5, atol=1e-7)


def test_weight_decay_shrinks_the_dense_layers_only():
    before, with_decay = after_one_step(name="sgd", weight_decay=0.1)
    _, without = after_one_step(name="sgd")
    difference = moved(without, with_decay)
    for name, old in before.named_parameters():
        expected = torch.zeros_like(old) if "embedding" in name else -LR * 0.1 * old
        torch.testing.assert_close(difference[name], expected.detach(), rtol=1e-4, atol=1e-6)


def test_adamw_decays_the_dense_layers_beside_the_gradient():
    """Adam would take the decay for a part of the gradient, whose size it divides out."""
    before, with_decay = after_one_step(name="adamw", weight_decay=0.1)
    _, without = after_one_step(name="adamw")
    _, adam = after_one_step(name="adam", weight_decay=0.1)
    pull, pull_of_adam = moved(without, with_decay), moved(without, adam)
    for name, old in before.named_parameters():
        if "embedding" not in name:
            torch.testing.assert_close(pull[name], -LR * 0.1 * old.detach(), rtol=1e-4, atol=1e-6)
    assert (pull["user_part.weight"] - pull_of_adam["user_part.weight"]).abs().max() > 0.01


def test_sgd_carries_nine_tenths_of_a_step_into_the_next_for_the_dense_layers_only():
    config = settings(name="sgd", lr=0.01)
    start, twice = new_model(config), new_model(config)
    state = train_state(twice, config)
    state.train_step(BATCH)
    once = copy.deepcopy(twice)
    state.train_step(BATCH)
    alone = copy.deepcopy(once)  # the second step without a memory of the first
    train_state(alone, config).train_step(BATCH)
    first, second, plain = moved(start, once), moved(once, twice), moved(once, alone)
    assert first["user_part.weight"].abs().max() > 1e-4
    for name, move in plain.items():
        carried = torch.zeros_like(move) if "embedding" in name else 0.9 * first[name]
        torch.testing.assert_close(second[name], move + carried, rtol=1e-4, atol=1e-6)


def test_clipping_bounds_the_step_of_the_dense_layers():
    moves = moved(*after_one_step(name="sgd", clip_norm=0.01))
    dense = torch.cat([move.flatten() for name, move in moves.items() if "embedding" not in name])
    assert dense.norm().item() == pytest.approx(LR * 0.01, rel=1e-3)


def test_a_step_is_taken_at_the_scheduled_rate():
    full = moved(*after_one_step(epochs=4, name="sgd"))
    quarter = moved(*after_one_step(epochs=4, name="sgd", warmup=1.0))  # the first of four steps up
    torch.testing.assert_close(quarter, {name: move / 4 for name, move in full.items()}, rtol=1e-4, atol=1e-6)


def test_embeddings_of_a_model_of_histories_decay_as_a_whole(tmp_path):
    """Their decay is `embedding_decay`, that of everything else `weight_decay`."""
    data = prepared(tmp_path / "prepared", users=20, items=20, ratings=200)
    steps = {}
    for decay, layers in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5)):
        optim = {"name": "sgd", "lr": 0.1, "embedding_decay": decay, "weight_decay": layers}
        model = data.model()
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        config = TrainConfig.model_validate({"optim": optim})
        TrainState(model, config, World(0, 1, torch.device("cpu")), 1).train_step(data.histories([0, 1, 2]))
        steps[decay, layers] = {name: value.detach() - before[name] for name, value in model.named_parameters()}
    tables = {id(weight) for weight in model.item_embeddings()}
    assert 0 < len(tables) < len(before)
    for name, value in model.named_parameters():
        decayed = (0.5, 0.0) if id(value) in tables else (0.0, 0.5)
        for setting in ((0.5, 0.0), (0.0, 0.5)):
            pull = steps[setting][name] - steps[0.0, 0.0][name]
            expected = -0.1 * 0.5 * before[name] if setting == decayed else torch.zeros_like(pull)
            torch.testing.assert_close(pull, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("optim", [{}, {"clip_norm": 0.01}, {"embedding_decay": 0.1}])
def test_the_tracked_gradient_norm_is_that_of_all_weights_before_clipping(optim):
    """The first step of SGD is the gradient times the rate, so a run without clipping tells the norm."""
    unclipped = {name: value for name, value in optim.items() if name != "clip_norm"}
    moves = moved(*after_one_step(name="sgd", **unclipped))
    expected = math.sqrt(sum(float(move.double().square().sum()) for move in moves.values())) / LR
    config = settings(name="sgd", **optim).model_copy(update={"track_steps": 1})
    state = train_state(new_model(config), config)
    state.train_step(BATCH)
    scalars = state.tracked_scalars()
    assert scalars["gradient_norm"] == pytest.approx(expected, rel=1e-5)
    assert scalars["learning_rate"] == LR
    rates = new_model(config)(USERS, ITEMS).rating
    assert scalars["loss"] == pytest.approx(float((rates - BATCH.rating).square().mean()))


def test_only_every_nth_step_is_tracked():
    config = settings(epochs=7).model_copy(update={"track_steps": 3})
    state = train_state(new_model(config), config)
    found = []
    for _ in range(7):
        state.train_step(BATCH)
        found.append(state.tracked_scalars() is not None)
    assert found == [False, False, True, False, False, True, False]


def test_the_speed_of_a_tracked_step_is_since_the_one_before_by_hand():
    config = settings(epochs=4).model_copy(update={"track_steps": 2})
    state, progress = train_state(new_model(config), config), None
    for seconds, waiting in ((1.0, 0.5), (1.0, 0.5), (3.0, 0.0), (5.0, 2.0)):
        state.train_step(BATCH)
        progress = state.progress
        progress.seconds, progress.wait_seconds = progress.seconds + seconds, progress.wait_seconds + waiting
        scalars = state.tracked_scalars()
    # The last two steps: 2 x 4 ratings in 8 seconds, of which 2 were waited.
    assert (scalars["samples_per_second"], scalars["data_wait_share"]) == (1.0, 0.25)
