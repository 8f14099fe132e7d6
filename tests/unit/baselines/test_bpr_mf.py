"""BPR-MF against the loss of its paper, summed over all triples.

Legend: U users, I items, F factors.
"""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from tests.builders import TEN_POINTS
from tests.rating_splits import assert_valid_chooses, context_of, everyone, random_splits, splits_of
from widedeep.baselines import bpr_mf
from widedeep.baselines.bpr_mf import BprMf, BprTraining
from widedeep.data.rating_matrices import Splits, preference

# (user, item, rating); nobody rated item 5, and user 4 rated nothing.
ROWS = [(0, 0, 9), (0, 1, 3), (0, 4, 10), (1, 0, 8), (1, 2, 7), (2, 1, 2), (2, 2, 6), (2, 3, 9), (3, 3, 10), (3, 0, 7)]


@pytest.fixture
def tiny() -> Splits:
    return splits_of(ROWS, users=5, items=6)


def shares_of_triples(popularity: float) -> dict[tuple[int, int, int], float]:
    """(user, rated item, item not rated by the user, but by others) -> how often it is drawn."""
    counts = Counter(item for _, item, _ in ROWS)
    rated = {(user, item) for user, item, _ in ROWS}
    weights = {
        (user, item, other): counts[other] ** popularity
        for user, item in rated
        for other in counts
        if (user, other) not in rated
    }
    total = sum(weights.values())
    return {triple: weight / total for triple, weight in weights.items()}


@pytest.mark.parametrize("popularity", [0.0, 0.7])
def test_triples_are_drawn_from_all_with_an_item_that_the_user_did_not_rate(tiny, popularity, monkeypatch):
    drawn = Counter()
    training = BprTraining(tiny, 2, 0.0, popularity, weighted=False, seed=1)
    monkeypatch.setattr(
        training, "_train_step", lambda *columns: drawn.update(zip(*(c.tolist() for c in columns[:3]), strict=True))
    )
    monkeypatch.setattr(bpr_mf, "TRIPLES_PER_STEP", 3)
    for _ in range(1000):
        training.train_epoch()
    expected = shares_of_triples(popularity)
    assert set(drawn) == set(expected)
    total = sum(drawn.values())
    for triple, share in expected.items():
        assert drawn[triple] / total == pytest.approx(share, abs=5 * (share / total) ** 0.5)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_affinities_are_those_that_minimise_the_loss_over_all_triples(tiny, weighted, monkeypatch):
    rank, penalty, popularity = 4, 0.1, 0.5
    monkeypatch.setattr(bpr_mf, "RATE", 0.1)  # with ten ratings, larger steps would not come to rest
    training = BprTraining(tiny, rank, penalty, popularity, weighted, seed=1)
    for _ in range(1000):
        training.train_epoch()
    found = training.ranker()(np.arange(4))[:, :5]
    expected = best_affinities(rank, penalty, shares_of_triples(popularity), weighted)
    assert found - found[:, :1] == pytest.approx(expected - expected[:, :1], abs=0.25)
    # Half or twice the penalty, or the other weights, would be off by more.
    for other in ((penalty / 2, weighted), (2 * penalty, weighted), (penalty, not weighted)):
        wrong = best_affinities(rank, other[0], shares_of_triples(popularity), other[1])
        assert np.abs((wrong - wrong[:, :1]) - (expected - expected[:, :1])).max() > 0.5


def best_affinities(rank: int, penalty: float, shares: dict, weighted: bool) -> np.ndarray:
    """[4, 5] affinities of the users and items with ratings, at the minimum that SciPy finds."""
    triples, share = torch.tensor(list(shares)).T, torch.tensor(list(shares.values()))
    ratings = {(user, item): rating for user, item, rating in ROWS}
    rating = torch.tensor([float(ratings[user, item]) for user, item, _ in shares])
    weight = preference(rating, TEN_POINTS) if weighted else torch.ones(len(rating))

    def unpack(flat) -> tuple[torch.Tensor, torch.Tensor]:
        return flat[: 4 * rank].view(4, rank), flat[4 * rank :].view(5, rank + 1)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.tensor(flat, requires_grad=True)
        users, items = unpack(leaf)
        taste, better, worse = users[triples[0]], items[triples[1]], items[triples[2]]
        margin = (taste * (better - worse)[:, :-1]).sum(1) + better[:, -1] - worse[:, -1]
        squares = sum(vectors.square().sum(1) for vectors in (taste, better, worse))
        total = (share * (-torch.log(torch.sigmoid(margin)) * weight + penalty / 2 * squares)).sum()
        total.backward()
        return total.item(), leaf.grad.numpy()

    start = np.random.default_rng(0).normal(0, 0.1, 4 * rank + 5 * (rank + 1))
    users, items = unpack(torch.tensor(minimize(loss, start, jac=True, method="L-BFGS-B", tol=1e-12).x))
    return (users @ items[:, :-1].T + items[:, -1]).numpy()


def test_later_epochs_leave_the_candidates_of_earlier_ones_as_they_were():
    splits = random_splits()
    grid = {"ranks": (4,), "regularisations": (0.01,), "popularities": (0.5,)}
    early, late, *_ = BprMf(**grid, epochs=(2, 5)).candidates(context_of(splits))
    (alone, *_) = BprMf(**grid, epochs=(2,)).candidates(context_of(splits))
    assert (early.settings["epochs"], late.settings["epochs"]) == (2, 5)
    users = everyone(splits)
    assert np.array_equal(early.ranker(users), alone.ranker(users))
    assert not np.allclose(early.ranker(users), late.ranker(users))
    assert (late.ranker(users)[:, -2:] == -np.inf).all()


def test_the_valid_split_chooses_the_settings_of_bpr_mf():
    baseline = BprMf(ranks=(2, 6), regularisations=(0.01,), popularities=(0.0, 1.0), epochs=(2, 9))
    assert_valid_chooses(baseline, random_splits())
