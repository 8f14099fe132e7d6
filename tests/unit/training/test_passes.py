"""The training pass of models that are trained on whole histories."""

import pytest
import torch

from tests.builders import TEN_POINTS
from tests.unit.models.conftest import Data, prepared
from widedeep.data.histories import UserHistories
from widedeep.models.history_learner import Learned
from widedeep.models.wide_deep_history import WideDeepHistory
from widedeep.parallel.world import World
from widedeep.training.losses import LOSSES
from widedeep.training.passes import HistoryPass, Outcome, make_pass
from widedeep.training.settings import TrainConfig
from widedeep.training.step import TrainState

USERS = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Data:
    return prepared(tmp_path_factory.mktemp("passes") / "prepared", users=USERS, items=50, ratings=1300)


def world(rank: int = 0, size: int = 1) -> World:
    return World(rank, size, torch.device("cpu"))


def run_pass(model: WideDeepHistory, batch: UserHistories, loss: str = "joint", step: int = 0, **place: int) -> Outcome:
    rank, seed = place.get("rank", 0), place.get("seed", 0)
    return HistoryPass(model, LOSSES[loss], 0.5, seed, world(rank, 2))(batch, step)


def some(data: Data) -> UserHistories:
    return data.histories(list(range(10)))


@pytest.fixture(scope="module")
def model(data) -> WideDeepHistory:
    return data.model()


@torch.no_grad()
def test_what_is_held_out_depends_on_seed_step_and_rank(data, model):
    first = run_pass(model, some(data), step=7)
    again = run_pass(model, some(data), step=7)
    assert [value.item() for value in (first.loss, first.squared_errors)] == [
        value.item() for value in (again.loss, again.squared_errors)
    ]
    for other in ({"step": 8}, {"step": 7, "rank": 1}, {"step": 7, "seed": 1}):
        assert run_pass(model, some(data), **other).loss.item() != first.loss.item()


@torch.no_grad()
def test_drawing_leaves_the_random_state_alone(data, model):
    before = torch.get_rng_state()
    run_pass(model, some(data))
    assert torch.equal(torch.get_rng_state(), before)


class Fixed(torch.nn.Module):
    """Stands for a model that has learnt given answers."""

    scale = TEN_POINTS

    def __init__(self, learned: Learned):
        super().__init__()
        self._learned = learned

    def learn(self, histories: UserHistories, generator: torch.Generator) -> Learned:
        return self._learned


LEARNED = Learned(
    rating=torch.tensor([7.0, 5.0, 9.0]),
    truth=torch.tensor([8.0, 5.0, 6.0]),  # squared errors 1, 0 and 9
    affinity=torch.tensor([[2.0, 1.0], [3.0, 0.5]]).log(),
    liked=torch.tensor([[0.0, 1.0], [0.0, 0.0]]),  # of the second user nothing was held out that could be ranked
    log_weight=torch.zeros(2, 2),
)
HISTORIES = UserHistories(torch.arange(2).int(), torch.tensor([0, 1, 2]), torch.zeros(2).int(), torch.zeros(2))
CROSS_ENTROPY = torch.tensor(3.0).log().item()  # of odds 1 in 1 + 2


@pytest.mark.parametrize(
    ("loss", "expected"), [("mse", 10 / 3), ("softmax", CROSS_ENTROPY), ("joint", 10 / 3 + 0.5 * CROSS_ENTROPY)]
)
def test_losses_are_means_over_ratings_and_over_users(loss, expected):
    outcome = HistoryPass(Fixed(LEARNED), LOSSES[loss], 0.5, 0, world())(HISTORIES, 0)
    assert outcome.loss.item() == pytest.approx(expected)
    assert outcome.ratings == 3
    assert outcome.squared_errors.item() == 10


def test_the_penalty_of_a_model_is_added_to_the_loss():
    learned = LEARNED._replace(penalty=torch.tensor(0.75))
    outcome = HistoryPass(Fixed(learned), LOSSES["joint"], 0.5, 0, world())(HISTORIES, 0)
    assert outcome.loss.item() == pytest.approx(10 / 3 + 0.5 * CROSS_ENTROPY + 0.75)


@pytest.mark.parametrize("loss", ["mse", "softmax", "bpr", "joint", "joint_bpr"])
def test_a_batch_in_which_nothing_is_held_out_has_no_loss(loss):
    none = torch.zeros(0)
    learned = LEARNED._replace(rating=none, truth=none, liked=torch.zeros(2, 2))
    outcome = HistoryPass(Fixed(learned), LOSSES[loss], 0.5, 0, world())(HISTORIES, 0)
    assert outcome.loss.item() == outcome.squared_errors.item() == outcome.ratings == 0


@pytest.mark.parametrize("loss", ["mse", "softmax", "bpr", "joint", "joint_bpr"])
def test_answers_that_add_up_to_0_have_a_loss_as_all_others(loss):
    """Those of a model may all be 0 before training."""
    none = torch.zeros(0)
    learned = LEARNED._replace(rating=none, truth=none, affinity=torch.zeros(2, 2), liked=torch.zeros(2, 2))
    outcome = HistoryPass(Fixed(learned), LOSSES[loss], 0.5, 0, world())(HISTORIES, 0)
    assert outcome.loss.item() == 0


@pytest.mark.parametrize("loss", ["mse", "softmax", "bpr", "joint", "joint_bpr"])
def test_every_parameter_gets_a_gradient_whatever_the_loss_and_the_batch(data, loss):
    """DDP waits for all of them on all ranks: also with a batch without users, and where nothing is held out."""
    nothing = {"held_out": 0.0, "cold_histories": 0.0}
    for batch, settings in ((some(data), {}), (some(data).select(torch.zeros(0).int()), {}), (some(data), nothing)):
        model = data.model(settings).train()
        outcome = run_pass(model, batch, loss)
        outcome.loss.backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
        if outcome.ratings == 0:
            assert not any(gradient.any() for gradient in gradients)
        else:
            assert sum(bool(gradient.any()) for gradient in gradients) > len(gradients) / 2


def train(data: Data, loss: str, steps: int, state: TrainState | None = None, **settings) -> TrainState:
    """Train on all histories at once; begins anew without a `state`."""
    if state is None:
        config = TrainConfig.model_validate({"loss": loss, "optim": {"lr": 0.02}, "epochs": 10, "batch_size": 64})
        state = TrainState(data.model(settings, noise=0.0), config, world(), 30)
    for _ in range(steps):
        state.train_step(data.histories(list(range(30))))
    return state


@pytest.mark.parametrize("loss", ["mse", "softmax", "bpr", "joint", "joint_bpr"])
def test_training_lowers_each_loss(data, loss):
    state = train(data, loss, 0)
    assert state.model.rates == (loss in ("mse", "joint", "joint_bpr"))

    @torch.no_grad()
    def now() -> float:
        state.model.eval()
        batch = data.histories(list(range(30)))
        return sum(run_pass(state.model, batch, loss, step).loss.item() for step in range(100, 105))

    before = now()
    train(data, loss, 20, state)
    assert now() < 0.97 * before


def test_a_resumed_training_is_the_uninterrupted_one(data):
    """With dropout, whose random state is part of the checkpoint; what was fitted is not."""
    settings = {"dropout": 0.3, "bag_dropout": 0.3}
    whole = train(data, "joint", 6, **settings)
    stopped = train(data, "joint", 3, **settings)
    checkpoint = stopped.state_dict()
    assert not any("inverse" in name or "pairs" in name or "ledger" in name for name in checkpoint["model"])
    assert set(dict(whole.model.named_parameters())) <= set(checkpoint["model"])
    resumed = train(data, "joint", 0, **settings)
    torch.manual_seed(99)
    resumed.load_state_dict(checkpoint)
    train(data, "joint", 3, resumed)
    for (name, value), other in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(value, other), name
    assert resumed.train_metrics() == whole.train_metrics()


def test_models_of_histories_get_the_pass_of_histories(data, model):
    found = make_pass(model, LOSSES["joint"], 0.5, 0, world(), None)
    assert isinstance(found, HistoryPass)
