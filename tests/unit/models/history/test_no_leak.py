"""A training step judges held-out ratings as if they had never been given.

The test of that: give a user other ratings in place of the held-out ones, or none, fit everything again, and ask again.
A rating leaks as far as the answer follows it. Answers may move a little, at second hand: the residuals of others are
taken from the biases of items, and items are scaled by their popularity, in which one rating of a hundred has changed.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
import torch

from tests.unit.models.conftest import Data, Pair
from widedeep.models.history.fitted import fitted_names
from widedeep.models.history.learning import NOT_GIVEN, HeldOut
from widedeep.models.history.people import People
from widedeep.models.wide_deep_history import WideDeepHistory

USERS = list(range(0, 60, 5))
SEED = 5
# All candidates are looked at, and no held-out item is judged as if it had no ratings.
SETTINGS = {
    **{"held_out": 0.15, "cold_histories": 0.0, "cold_items": 0.0},
    **{"candidates": 15, "trained_candidates": 15, "cold_candidates": 0},
}

# The variant that has people of like taste; without factors, which say much the same, they have to be used.
NEIGHBOURS = {"user_neighbours": 20, "factors": 0}

Changes = Mapping[Pair, float | None]


class Answers(NamedTuple):
    """What a step says of one user, by row."""

    held: dict[int, float]  # the held-out ratings
    rating: dict[int, float]  # predicted for them
    affinity: dict[int, float]  # of the candidates


@pytest.fixture(scope="module", params=[{}, NEIGHBOURS], ids=["plain", "neighbours"])
def trained(request, denser) -> WideDeepHistory:
    """A model after some steps: it has learnt to use whatever helps to guess the held-out ratings."""
    model = denser.model(SETTINGS | request.param, noise=0.0).train()
    histories, generator = denser.tables().user_histories(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(25):
        learned = model.learn(histories, generator)
        some = learned.liked.sum(1) > 0
        lists = -(learned.affinity.log_softmax(1) * learned.liked)[some].sum(1)
        optimizer.zero_grad()
        ((learned.rating - learned.truth).square().mean() + lists.mean()).backward()
        optimizer.step()
    return model.eval()


def refitted(trained: WideDeepHistory, data: Data, changes: Changes) -> WideDeepHistory:
    """The trained weights, with all closed forms fitted to other ratings."""
    variant = {name: getattr(trained.config, name) for name in NEIGHBOURS}
    model, fitted = data.model(SETTINGS | variant, changes), fitted_names(trained)
    kept = {name: value for name, value in trained.state_dict().items() if name not in fitted}
    model.load_state_dict(kept, strict=False)
    return model


@torch.no_grad()
def ask(model: WideDeepHistory, data: Data, user: int, changes: Changes, monkeypatch) -> Answers:
    """Take a step without learning; equal seeds hold out the same, whatever the ratings are."""
    seen: list[tuple[HeldOut, torch.Tensor]] = []
    original = HeldOut.with_candidates

    def watch(self, candidates, unrated, terms):
        seen.append((self, candidates))
        return original(self, candidates, unrated, terms)

    with monkeypatch.context() as patched:
        patched.setattr(HeldOut, "with_candidates", watch)
        learned = model.learn(data.histories([user], changes), torch.Generator().manual_seed(SEED))
    ((held, candidates),) = seen
    rows = held.row[0][held.rating[0] > NOT_GIVEN].tolist()
    columns = (rows, learned.truth), (rows, learned.rating), (candidates[0].tolist(), learned.affinity[0])
    return Answers(*(dict(zip(keys, values.tolist(), strict=True)) for keys, values in columns))


def items_of(model: WideDeepHistory, rows: Mapping[int, float]) -> dict[int, int]:
    return {row: int(model.terms.ledger.item_of[row]) for row in rows}


def leaks(trained: WideDeepHistory, denser: Data, monkeypatch) -> dict[str, float]:
    """By how much answers follow the held-out ratings, for 1 point of rating; and how far they move at all."""
    random, moves = np.random.default_rng(0), {"rating": [], "affinity": []}
    for user in USERS:
        before = ask(trained, denser, user, {}, monkeypatch)
        step = {
            row: -3.0 if rating > 7 or (rating > 3 and random.random() < 0.5) else 3.0
            for row, rating in before.held.items()
        }
        changes = {(user, item): before.held[row] + step[row] for row, item in items_of(trained, step).items()}
        after = ask(refitted(trained, denser, changes), denser, user, changes, monkeypatch)
        assert after.held == {row: before.held[row] + step[row] for row in step}
        for name, found in moves.items():
            one, other = getattr(before, name), getattr(after, name)
            found += [(step[row], other[row] - one[row]) for row in step if row in one and row in other]
    result = {}
    for name, found in moves.items():
        changed, moved = np.array(found).T
        assert len(found) > 20
        result |= {f"{name} follows": changed @ moved / (changed @ changed), f"{name} moves": np.abs(moved).max()}
    return result


def test_answers_do_not_follow_the_held_out_ratings(trained, denser, monkeypatch):
    found = leaks(trained, denser, monkeypatch)
    assert abs(found["rating follows"]) < 0.003
    assert abs(found["affinity follows"]) < 0.003
    assert found["rating moves"] < 0.05
    assert found["affinity moves"] < 0.05


def test_a_model_that_does_not_subtract_a_users_own_share_is_found_out(trained, denser, monkeypatch):
    original = HeldOut.with_candidates

    def careless(self, candidates, unrated, terms):
        targets, truth = original(self, candidates, unrated, terms)
        none = torch.zeros_like(targets.own)
        return targets._replace(own=none, residual=none), truth

    monkeypatch.setattr(HeldOut, "with_candidates", careless)
    found = leaks(trained, denser, monkeypatch)
    assert found["rating follows"] > 0.03
    assert found["rating moves"] > 0.1


@pytest.mark.parametrize("trained", [NEIGHBOURS], indirect=True)
def test_a_model_whose_users_are_their_own_neighbours_is_found_out(trained, denser, monkeypatch):
    original = People.find
    monkeypatch.setattr(People, "find", lambda self, past, residual, user: original(self, past, residual, None))
    found = leaks(trained, denser, monkeypatch)
    assert found["rating follows"] > 0.01
    assert found["affinity follows"] > 0.02


def test_a_step_answers_as_the_model_does_where_the_ratings_were_never_given(trained, denser, monkeypatch):
    """This is what a model is tested on: the ratings of the other splits were never given.

    But for what is fitted by folds: answers come from the fits to everybody, a step from those without the user's fold.
    """
    ratings, affinities, listed = [], [], []
    for user in USERS:
        before = ask(trained, denser, user, {}, monkeypatch)
        model = refitted(trained, denser, {(user, item): None for item in items_of(trained, before.held).values()})
        with torch.no_grad():
            for part in filter(None, (model.terms.sparse, model.terms.factors)):
                for fits in part.buffers():
                    fits[-1] = fits[user % (len(fits) - 1)]
            encoded = model.encode_users(torch.tensor([user], dtype=torch.int32))
            items = model.encode_items(torch.arange(60, dtype=torch.int32))
            now = torch.empty(1, 60)
            model.score_block(encoded, items, now)
            rated = model.rate_pairs(encoded, items)
        held, listed_items = items_of(trained, before.held), items_of(trained, before.affinity)
        ratings += [(before.rating[row], rated[item].item()) for row, item in held.items()]
        affinities += [(before.affinity[row], now[0, item].item()) for row, item in listed_items.items()]
        listed.append(len(set(listed_items.values()) & set(now[0].topk(15).indices.tolist())))
    for found in (ratings, affinities):
        one, other = np.array(found).T
        assert np.sqrt(np.mean((one - other) ** 2)) < 0.05
        assert one.std() > 0.5
    assert np.mean(listed) > 14.5
