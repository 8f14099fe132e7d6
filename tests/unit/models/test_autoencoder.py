"""Autoencoders: their codes, their two answers, and what they learn from a step, against computations by hand."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tests.builders import TEN_POINTS
from tests.unit.models.conftest import Data, Pair
from widedeep.data.histories import UserHistories
from widedeep.models.autoencoder import Autoencoder, AutoencoderConfig
from widedeep.models.base import Histories
from widedeep.models.codes import Code, Decoder, Encoder
from widedeep.models.history.biases import ITEM_DAMPING, USER_DAMPING
from widedeep.parallel.world import World
from widedeep.training.losses import LOSSES
from widedeep.training.passes import HistoryPass
from widedeep.training.settings import TrainConfig
from widedeep.training.step import TrainState

USERS, ITEMS, COLD = 40, 80, 3
EVERYBODY = torch.arange(USERS, dtype=torch.int32)
ALL_ITEMS = torch.arange(ITEMS, dtype=torch.int32)
KINDS = {
    "denoising": {},
    "deep": {"hidden": (6,)},
    "variational": {"variational": True, "hidden": (6,)},
    "variational without hidden layers": {"variational": True},
}
WORLD = World(0, 1, torch.device("cpu"))


def built(data: Data, changes: dict[Pair, float | None] | None = None, noise: float = 0.4, **settings) -> Autoencoder:
    """A model whose parameters are as at first plus `noise`, so that each of them shows in the answers."""
    torch.manual_seed(0)
    config = AutoencoderConfig.model_validate({"embedding_dim": 5} | settings)
    model = Autoencoder.from_tables(config, data.tables(changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += noise * torch.randn(parameter.shape)
    model.fill_cold_rows()
    return model.eval()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def held_out(model: Autoencoder, histories: UserHistories, seed: int = 0) -> torch.Tensor:
    """Which ratings a step holds out: the first that it draws, [n] bool."""
    return torch.rand(len(histories.item), generator=generator(seed)) < model.config.held_out


def loss_of(model: Autoencoder, histories: UserHistories, name: str) -> float:
    return HistoryPass(model, LOSSES[name], 1.0, 0, WORLD)(histories, 0).loss.item()


# --- codes -------------------------------------------------------------------------------------------


def test_the_divergence_is_that_of_normal_distributions():
    code = Code(torch.randn(7, 4, generator=generator()), torch.randn(7, 4, generator=generator(1)))
    own = Normal(code.mean, (0.5 * code.log_variance).exp())
    expected = kl_divergence(own, Normal(torch.zeros(7, 4), torch.ones(7, 4))).sum(1)
    torch.testing.assert_close(code.divergence(), expected)


def test_drawn_codes_have_the_mean_and_the_variance_of_the_distribution():
    mean, variance = torch.tensor([[3.0, -1.0]]), torch.tensor([[0.25, 4.0]])
    drawn = Code(mean.expand(40_000, 2), variance.log().expand(40_000, 2)).draw(generator())
    torch.testing.assert_close(drawn.mean(0), mean[0], rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.var(0), variance[0], rtol=0.05, atol=0)


@torch.no_grad()
def test_an_encoder_reads_histories_as_rows_of_a_matrix():
    """Users with 3, 0 and 1 of 4 items; the matrices say what was rated and how much better than expected."""
    torch.manual_seed(1)
    encoder = Encoder(4, (3, 2), ratings=True, dropout=0.0, sd=1.0)
    rated = torch.tensor([[1.0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
    residual = torch.tensor([[2.0, 0, -1, 0.5], [0, 0, 0, 0], [0, 3, 0, 0]])
    length = torch.tensor([math.sqrt(3), 1, 1])[:, None]
    assert encoder.ratings is not None
    first = (rated @ encoder.items + residual @ encoder.ratings) / length + encoder.bias
    expected = first.tanh() @ encoder.layers[1].weight.t() + encoder.layers[1].bias
    row, values = torch.tensor([3, 0, 2, 1]), torch.tensor([0.5, 2.0, -1.0, 3.0])
    torch.testing.assert_close(encoder(torch.tensor([0, 3, 3, 4]), row, values), expected)


@torch.no_grad()
def test_unrated_items_are_below_all_others_whatever_the_features():
    torch.manual_seed(2)
    decoder = Decoder(6, (3, 4), direct=False, sd=1.0)
    decoder.appeal.normal_()
    decoder.fill_last_row()
    extremes = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4)
    affinity = extremes @ decoder.affinity.t() + decoder.appeal
    assert (affinity[:, :-1] >= affinity[:, -1:] - 1e-6).all()
    assert affinity[:, :-1].min().item() == pytest.approx(affinity[0, -1].item(), abs=1e-6)  # and not further than that
    assert not decoder.rating[-1].any()


# --- answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_person_with_the_ratings_of_a_user_is_encoded_like_the_user(data, kind):
    model = built(data, **KINDS[kind])
    items, ratings = data.tables().histories(ITEMS)
    encoded = model.encode_users(EVERYBODY)
    torch.testing.assert_close(model.encode_histories(Histories(items, ratings)), encoded)
    assert encoded[:, :-1].std(0).min() > 0.003
    torch.testing.assert_close(model.encode_users(EVERYBODY[[5, 3, 5]]), encoded[[5, 3, 5]])


@torch.no_grad()
def test_ratings_of_unrated_items_say_nothing_of_a_person(data):
    model = built(data)
    known = Histories(torch.tensor([[1, 4]]).int(), torch.tensor([[3.0, 9.0]]))
    more = Histories(torch.tensor([[1, ITEMS - 1, 4]]).int(), torch.tensor([[3.0, 10.0, 9.0]]))
    torch.testing.assert_close(model.encode_histories(more), model.encode_histories(known))


@torch.no_grad()
def test_unrated_items_come_last_and_cold_users_get_the_ratings_of_the_biases(data):
    model = built(data)
    users, items = model.encode_users(EVERYBODY), model.encode_items(ALL_ITEMS)
    affinity, rating = model.score_pairs(users[:, None], items[None]), model.rate_pairs(users[:, None], items[None])
    assert affinity[:, -COLD:].max() < affinity[:, :-COLD].min()
    assert rating.isfinite().all()
    mean = model.biases.mean
    torch.testing.assert_close(rating[-1, -COLD:], mean.expand(COLD))
    model.decoder.rating.zero_()
    biases = model.biases.bias[model.ledger.row_of[ALL_ITEMS].long()]
    torch.testing.assert_close(model.rate_pairs(users[-1], model.encode_items(ALL_ITEMS)), mean + biases)


@pytest.mark.parametrize("inputs", ["ratings", "implicit"])
@torch.no_grad()
def test_implicit_input_is_what_was_rated_and_not_how(data, inputs):
    model, items = built(data, inputs=inputs), torch.tensor([[1, 4, 6]]).int()
    one, other = (
        model.encode_histories(Histories(items, torch.tensor([ratings]))) for ratings in ([3.0, 9.0, 8.0], [9.0, 3, 4])
    )
    assert torch.equal(one[:, :-1], other[:, :-1]) == (inputs == "implicit")
    assert one[0, -1] != other[0, -1]  # the user's mean rating is known in any case


@torch.no_grad()
def test_a_new_model_ranks_by_popularity(data):
    model = Autoencoder.from_tables(AutoencoderConfig(embedding_sd=1e-6), data.tables())
    block = torch.empty(USERS, ITEMS)
    model.score_block(model.encode_users(EVERYBODY), model.encode_items(ALL_ITEMS), block)
    count = data.tables().items.values("train_ratings")[:-COLD]
    expected = np.broadcast_to(np.log(count), (USERS, ITEMS - COLD))
    np.testing.assert_allclose(block[:, :-COLD].numpy(), expected, atol=1e-3)


# --- learning ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_is_held_out_is_hidden_from_the_answers(data, kind):
    """Other items with other ratings in their place give the same affinities, and the same ratings of the old items."""
    model, histories = built(data, **KINDS[kind]), data.histories(list(range(15)))
    held, other = held_out(model, histories), histories.item.clone()
    random = np.random.default_rng(0)
    for user in range(15):
        part = slice(*histories.start[user : user + 2].tolist())
        free = sorted(set(range(ITEMS - COLD)) - set(histories.item[part].tolist()))
        places = held[part].nonzero()[:, 0] + part.start
        other[places] = torch.from_numpy(random.choice(free, len(places), replace=False)).int()
    changed = torch.where(held, 11.0 - histories.rating, histories.rating)
    one = model.learn(histories, generator())
    two = model.learn(UserHistories(histories.user, histories.start, other, changed), generator())
    assert torch.equal(one.affinity, two.affinity)
    assert torch.equal(one.log_weight, two.log_weight)
    assert (one.truth + two.truth == 11.0).all()
    seen = UserHistories(histories.user, histories.start, histories.item, torch.where(held, 5.0, histories.rating))
    moved = model.learn(histories, generator()).rating - model.learn(seen, generator()).rating
    row = model.ledger.row_of[histories.item[held]].long()
    own_share = (one.truth - 5.0) / model.biases.count[row]  # the model's biases still hold the rating that was given
    user = histories.owner()[held]
    total = torch.zeros(15).index_add_(0, user, one.truth - 5.0) / (histories.start.diff() + USER_DAMPING)
    torch.testing.assert_close(moved, total[user] / model.biases.count[row] - own_share, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_held_out_rating_is_predicted_as_if_it_had_never_been_given(data):
    """Fitted anew without the held-out ratings of a user, the model predicts nearly the same for them."""
    model = built(data)
    predicted, expected = [], []
    for user in range(0, 36, 6):
        histories = data.histories([user])
        held = held_out(model, histories)
        items = histories.item[held]
        changes: dict[Pair, float | None] = {(user, item): None for item in items.tolist()}
        fresh = built(data, changes)
        fresh.load_state_dict(dict(model.named_parameters()), strict=False)
        users = fresh.encode_users(torch.tensor([user], dtype=torch.int32))
        expected += fresh.rate_pairs(users, fresh.encode_items(items)).tolist()
        predicted += model.learn(histories, generator()).rating.tolist()
    assert len(predicted) > 50
    assert np.sqrt(np.mean((np.array(predicted) - expected) ** 2)) < 0.05
    assert np.std(predicted) > 0.5


@torch.no_grad()
def test_predicted_ratings_by_hand(data):
    model, histories = built(data), data.histories([2, 9])
    held, learned = held_out(model, histories), model.learn(histories, generator())
    user, item, rating = (column.astype(np.float64) for column in data.tables().train_ratings())
    mean, bias = model.biases.mean.item(), model.biases.bias[model.ledger.row_of[ALL_ITEMS].long()].double().numpy()

    def bias_of(chosen: np.ndarray) -> float:
        return float((rating - mean - bias[item.astype(int)])[chosen].sum() / (chosen.sum() + USER_DAMPING))

    place = 0
    for number, index in enumerate((2, 9)):
        part = slice(*histories.start[number : number + 2].tolist())
        hidden = set(histories.item[part][held[part]].tolist())
        kept = (user == index) & ~np.isin(item, list(hidden))
        encoded = model.encode_histories(
            Histories(
                torch.from_numpy(item[kept].astype(np.int32))[None],
                torch.from_numpy(rating[kept].astype(np.float32))[None],
            )
        )
        for one in histories.item[part][held[part]].tolist():
            others = np.flatnonzero((item == one) & (user != index))
            left = sum(rating[n] - mean - bias_of(user == user[n]) for n in others)
            weights = model.decoder.rating[model.ledger.row_of[one].long()]
            expected = mean + bias_of(kept) + left / (len(others) + ITEM_DAMPING) + (encoded[0, :-1] @ weights).item()
            assert learned.rating[place].item() == pytest.approx(expected, abs=0.01)
            place += 1
    assert place == len(learned.truth) > 20


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_loss_of_lists_is_the_multinomial_likelihood_and_the_divergence_for_each_liked_item(data, kind):
    """It is the negative evidence lower bound of a user, divided by the number of held-out items that are liked."""
    model = built(data, beta=0.7, anneal_steps=4, **KINDS[kind])
    model.trained.fill_(3)
    histories, total = data.histories(list(range(12))), []
    seeds = np.random.SeedSequence([0, 0, 0]).generate_state(1, np.uint64)
    held = held_out(model, histories, int(seeds[0]))
    for number in range(12):
        part = slice(*histories.start[number : number + 2].tolist())
        out, items, ratings = held[part], histories.item[part], histories.rating[part]
        kept = UserHistories(torch.zeros(1).int(), torch.tensor([0, int((~out).sum())]), items[~out], ratings[~out])
        code = model._code(model._read(kept))
        mean = code.mean if isinstance(code, Code) else code
        affinity = (model.decoder(mean) @ model.decoder.affinity.t() + model.decoder.appeal)[0].double().numpy()
        items, row = items.tolist(), model.ledger.row_of.tolist()
        candidates = [row[item] for item in range(ITEMS - COLD) if item not in set(kept.item.tolist())]
        liked = [
            row[item]
            for item, hidden, r in zip(items, out.tolist(), ratings.tolist(), strict=True)
            if hidden and r >= 8
        ]
        likelihood = np.mean(affinity[liked]) - np.log(np.exp(affinity[candidates]).sum())
        divergence = code.divergence().item() if isinstance(code, Code) else 0.0
        total.append(-likelihood + 0.7 * 3 / 4 * divergence / len(liked))
    assert loss_of(model, histories, "softmax") == pytest.approx(np.mean(total), rel=1e-4)


@torch.no_grad()
def test_the_weight_of_the_divergence_rises_with_the_steps_of_training(data):
    model, histories = built(data, variational=True, anneal_steps=2, beta=0.5), data.histories([1, 2, 3])
    model.train()
    penalties = [model.learn(histories, generator()).penalty.item() for _ in range(5)]
    assert penalties[0] == 0
    assert penalties[1] == pytest.approx(penalties[2] / 2)
    assert penalties[2] == penalties[3] == penalties[4] > 0
    model.eval().learn(histories, generator())
    assert model.trained == 5


@torch.no_grad()
def test_codes_are_drawn_in_training_and_by_the_generator_alone(data):
    model, histories = built(data, variational=True).train(), data.histories([1, 2, 3])
    one, again = (model.learn(histories, generator()).affinity for _ in range(2))
    assert torch.equal(one, again)
    quiet = model.eval().learn(histories, generator()).affinity
    assert (one - quiet).abs().mean() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient_and_unrated_items_none(data, kind):
    model = built(data, **KINDS[kind]).train()
    HistoryPass(model, LOSSES["joint"], 1.0, 0, WORLD)(data.histories(list(range(USERS - COLD))), 0).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert not any(weight.grad[-1].any() for weight in (model.decoder.affinity, model.decoder.appeal))


def test_data_without_ratings_have_no_weights_for_them():
    scale = TEN_POINTS.model_copy(update={"implicit": True})
    shape = {"users": 2, "items": 3, "rows": 3, "ratings": 4}
    assert Autoencoder(AutoencoderConfig(), shape, scale).encoder.ratings is None
    assert Autoencoder(AutoencoderConfig(), shape, TEN_POINTS).encoder.ratings is not None


def trained(data: Data, steps: int, state: TrainState | None = None, **settings) -> TrainState:
    if state is None:
        config = TrainConfig.model_validate({"optim": {"lr": 0.01}, "epochs": 4, "ranking": {"weight": 1.0}})
        state = TrainState(built(data, noise=0.0, **settings), config, WORLD, 30)
    for _ in range(steps):
        state.train_step(data.histories(list(range(USERS - COLD))))
    return state


def test_a_resumed_training_is_the_uninterrupted_one(data):
    settings = {"variational": True, "hidden": (6,), "embedding_dropout": 0.3, "anneal_steps": 10}
    whole, stopped = trained(data, 6, **settings), trained(data, 3, **settings)
    checkpoint = stopped.state_dict()
    assert not any("ledger" in name or "biases" in name for name in checkpoint["model"])
    resumed = trained(data, 0, **settings)
    torch.manual_seed(99)
    resumed.load_state_dict(checkpoint)
    trained(data, 3, resumed)
    for (name, value), other in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_like_minded_people_have_rated_is_learnt(data, kind):
    """Even users rate even items 9 and odd ones 3, odd users the other way round; each has rated but a part of both."""
    user, item, _ = data.tables().train_ratings()
    alike = (user + item) % 2 == 0
    few = np.random.default_rng(3).random(len(user)) < 0.2  # of what is not to the taste
    changes: dict[Pair, float | None] = {
        (int(u), int(i)): 9.0 if good else (3.0 if rare else None)
        for u, i, good, rare in zip(user, item, alike, few, strict=True)
    }
    torch.manual_seed(0)
    model = Autoencoder.from_tables(
        AutoencoderConfig.model_validate({"embedding_dim": 8} | KINDS[kind]), data.tables(changes)
    )
    settings = {"optim": {"lr": 0.02}, "epochs": 10, "ranking": {"weight": 1.0}}
    state = TrainState(model, TrainConfig.model_validate(settings), WORLD, 30)
    with torch.enable_grad():
        for _ in range(120):
            state.train_step(data.histories(list(range(USERS - COLD)), changes))
    model.eval().fill_cold_rows()
    user, item = torch.cartesian_prod(torch.arange(USERS - COLD), torch.arange(ITEMS - COLD)).int().unbind(1)
    affinity, rating = (answer.view(USERS - COLD, -1) for answer in model(user, item))
    fits = ((user + item) % 2 == 0).view(USERS - COLD, -1)
    assert (affinity.topk(10).indices % 2 == (torch.arange(USERS - COLD) % 2)[:, None]).float().mean() > 0.9
    assert rating[fits].mean() > rating[~fits].mean() + 2.0
