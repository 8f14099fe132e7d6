"""What is known of users besides their ratings, in the answers of the model."""

import torch

from widedeep.models.base import Histories
from widedeep.models.wide_deep_history import WideDeepHistory

NOTHING = {"user_columns": (), "user_numbers": ()}
COLD = torch.tensor([37, 38, 39], dtype=torch.int32)  # they have no training ratings
ITEM = torch.arange(20, dtype=torch.int32)


def answers(model: WideDeepHistory, user: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        users, items = model.encode_users(user)[:, None], model.encode_items(ITEM)[None]
        return model.score_pairs(users, items), model.rate_pairs(users, items)


def test_vectors_by_hand(data):
    model = data.model({"user_numbers": ("days_watched",)})
    profile, users = model.profile, data.tables().users
    assert profile is not None
    assert profile.numbers is not None
    shown = users.numeric(["days_watched"])
    trained = torch.from_numpy(users.values("train_ratings") > 0)
    shown = (shown - shown[trained].mean(0)) / shown[trained].std(0, correction=0)
    ids = [torch.from_numpy(users.values(name)).long() for name in ("gender", "location")]
    with torch.no_grad():
        expected = sum(values.weight[column] for values, column in zip(profile.values.values, ids, strict=True))
        expected = expected + shown @ profile.numbers.weight.T
        found = profile(torch.arange(users.rows, dtype=torch.int32))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_people_without_ratings_differ_by_what_else_is_known(data):
    model, without = data.model(), data.model(NOTHING)
    assert not model.cold_users_alike
    assert without.cold_users_alike
    for one, other in zip(answers(model, COLD), answers(without, COLD), strict=True):
        assert (one - one[:1]).abs().max() > 1e-3
        assert (other - other[:1]).abs().max() < 1e-6


def test_without_columns_there_are_no_weights_for_them(data):
    without = data.model(NOTHING)
    assert without.profile is None
    assert {name for name, _ in data.model().named_parameters()} - {name for name, _ in without.named_parameters()} == {
        "profile.values.values.0.weight",
        "profile.values.values.1.weight",
    }


def test_columns_without_values_are_left_out(data):
    users = data.manifest.users
    empty = users.model_copy(update={"vocabularies": {**users.vocabularies, "gender": ("", "<other>")}})
    manifest = data.manifest.model_copy(update={"users": empty})
    model = data._replace(manifest=manifest).model()
    assert model.config.user_columns == ("location",)
    assert model.config.user_numbers == ()


def test_nothing_is_known_of_people_who_are_not_in_the_data(data):
    model = data.model()
    histories = data.histories([0])
    person = Histories(histories.item[None], histories.rating[None])
    with torch.no_grad():
        known, unknown = model.encode_users(torch.tensor([0], dtype=torch.int32)), model.encode_histories(person)
    width = model.config.embedding_dim
    assert known[:, -width:].abs().max() > 0
    assert not unknown[:, -width:].any()


def test_a_step_trains_them(data):
    model = data.model().train()
    learned = model.learn(data.histories(list(range(20))), torch.Generator().manual_seed(0))
    (learned.affinity.sum() + learned.rating.sum()).backward()
    assert model.profile is not None
    for weight in model.profile.parameters():
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0
