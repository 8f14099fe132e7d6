"""People of like taste against loops over users and their ratings."""

from collections.abc import Mapping
from math import log1p, sqrt

import pytest
import torch

from tests.unit.models.conftest import Data
from widedeep.models.base import Histories
from widedeep.models.history.biases import USER_DAMPING
from widedeep.models.history.people import DAMPING, NUMBERS, SHRINKAGE, Neighbours, People
from widedeep.models.wide_deep_history import WideDeepHistory

USERS, POOL, K = 40, 25, 6
EVERYBODY = torch.arange(USERS, dtype=torch.int32)

Residuals = Mapping[int, Mapping[int, float]]  # user -> row -> residual


@pytest.fixture(scope="module")
def model(data) -> WideDeepHistory:
    return data.model({"user_neighbours": K, "user_pool": POOL})


@pytest.fixture(scope="module")
def people(model) -> People:
    assert model.terms.people is not None
    return model.terms.people


@pytest.fixture(scope="module")
def residuals(data: Data, model) -> Residuals:
    """What each user rated, less the biases."""
    statistics, row_of = model.terms.statistics, model.terms.ledger.row_of
    found: dict[int, dict[int, float]] = {user: {} for user in range(USERS)}
    for user, item, rating in zip(*(column.tolist() for column in data.tables().train_ratings()), strict=True):
        row = int(row_of[item])
        found[user][row] = rating - float(statistics.mean) - float(statistics.bias[row])
    for user, ratings in found.items():
        bias = sum(ratings.values()) / (len(ratings) + USER_DAMPING)
        found[user] = {row: deviation - bias for row, deviation in ratings.items()}
    return found


def similarity(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    both = set(one) & set(other)
    lengths = [sqrt(sum(e * e for e in ratings.values())) for ratings in (one, other)]
    if not both:
        return 0.0
    cosine = sum(one[row] * other[row] for row in both) / (lengths[0] * lengths[1])
    return max(0.0, cosine) * len(both) / (len(both) + SHRINKAGE)


def neighbours_of(model: WideDeepHistory, encoded: torch.Tensor) -> Neighbours:
    people = model._unpack(encoded).past.people
    assert people is not None
    return people


def test_the_pool_has_the_users_with_most_ratings(people, residuals):
    counts = [len(residuals[user]) for user in range(USERS)]
    pool = people.user.tolist()
    assert len(pool) == len(set(pool)) == POOL
    others = set(range(USERS)) - set(pool)
    assert min(counts[user] for user in pool) >= max(counts[user] for user in others)


def test_the_pool_has_everybody_with_ratings_if_it_may(data, residuals):
    everybody = data.model({"user_neighbours": K}).terms.people
    assert sorted(everybody.user.tolist()) == [user for user in range(USERS) if residuals[user]]


@torch.no_grad()
def test_neighbours_are_the_most_similar_others_of_the_pool(model, people, residuals):
    found = neighbours_of(model, model.encode_users(EVERYBODY))
    pool, similar = people.user.tolist(), 0
    for user in range(USERS):
        every = {v: similarity(residuals[user], residuals[v]) for v in pool if v != user}
        best = sorted(every.values(), reverse=True)[:K]
        torch.testing.assert_close(found.similarity[user], torch.tensor(best), atol=1e-3, rtol=0)
        for place, value in zip(found.place[user].tolist(), found.similarity[user].tolist(), strict=True):
            if value > 0:
                assert value == pytest.approx(every[pool[place]], abs=1e-3)
                similar += 1
    assert similar > 100
    assert not found.similarity[-1].any()  # has no ratings


@torch.no_grad()
def test_who_is_not_in_the_data_may_be_like_anybody(data, model, people):
    """The history of a user of the pool, given as that of a stranger."""
    user, item, rating = data.tables().train_ratings()
    someone = int(people.user[3])
    mine = user == someone
    history = Histories(torch.from_numpy(item[mine])[None].int(), torch.from_numpy(rating[mine])[None])
    found = neighbours_of(model, model.encode_histories(history))
    assert found.place[0, 0] == 3
    assert found.similarity[0, 0] == pytest.approx(mine.sum() / (mine.sum() + SHRINKAGE), abs=1e-3)
    assert 3 not in neighbours_of(model, model.encode_users(torch.tensor([someone]).int())).place[0]


@torch.no_grad()
def test_what_neighbours_say_by_hand(model, people, residuals):
    """A shift of an item's bias moves the residuals of all who rated it."""
    found = neighbours_of(model, model.encode_users(EVERYBODY))
    rows = model.terms.unrated + 1
    row = torch.arange(rows).expand(USERS, -1)
    shift = torch.randn(USERS, rows, generator=torch.Generator().manual_seed(0))
    said = people(found, row, shift)
    assert len(said) == NUMBERS
    expected = torch.zeros(NUMBERS, USERS, rows)
    for user in range(USERS):
        near = [(int(people.user[p]), float(s)) for p, s in zip(found.place[user], found.similarity[user], strict=True)]
        for k in range(rows):
            raters = [(s, residuals[v][k] + float(shift[user, k])) for v, s in near if k in residuals[v]]
            support = sum(s for s, _ in raters)
            expected[0, user, k] = sum(s * e for s, e in raters) / (support + DAMPING)
            expected[1, user, k] = log1p(support)
    torch.testing.assert_close(torch.stack(said), expected, atol=2e-3, rtol=0)
    assert expected[0].std() > 0.1
    assert not expected[:, :, -1].any()  # unrated items


def test_without_neighbours_the_model_is_as_if_they_were_not_there(data, model):
    without = data.model({"user_pool": POOL})
    assert "people" not in without.shape
    added = {name: value.shape for name, value in model.state_dict().items() if name not in without.state_dict()}
    assert set(added) == {f"terms.people.{name}" for name in ("user", "norm", "residual", "rated")}
    wider = {name for name, value in without.state_dict().items() if value.shape != model.state_dict()[name].shape}
    assert wider == {
        f"heads.{name}" for name in ("rating.layers.0.weight", "affinity.layers.0.weight", "centre", "spread")
    }
    assert model.terms.width == without.terms.width + NUMBERS
    encoded = without.encode_users(EVERYBODY)
    assert encoded.shape[1] == model.encode_users(EVERYBODY).shape[1] - 2 * K


@torch.no_grad()
def test_answers_hear_the_neighbours(data, model):
    encoded = model.encode_users(EVERYBODY[:8])
    deaf = encoded.clone()
    width = model._layout.profile
    deaf[:, -width - K : -width] = 0.0  # the similarities
    items = model.encode_items(torch.arange(20, dtype=torch.int32))[None]
    for answer in (model.score_pairs, model.rate_pairs):
        assert (answer(encoded[:, None], items) - answer(deaf[:, None], items)).abs().mean() > 1e-3
