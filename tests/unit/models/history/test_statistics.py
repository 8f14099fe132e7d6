"""What ratings say of items and of pairs of items, against sums over single ratings in double precision."""

from itertools import product

import numpy as np
import pytest
import torch

from widedeep.models.history import statistics
from widedeep.models.history.biases import ITEM_DAMPING, USER_DAMPING
from widedeep.models.history.statistics import LEAST_EVIDENCE, SHRINKAGE, ItemStatistics, fit_statistics

USERS, ITEMS = 30, 8


class Case:
    """Random ratings, what was fitted to them, and the residuals by the fitted biases."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.user, self.item = np.nonzero(random.random((USERS, ITEMS)) < 0.6)
        self.rating = random.integers(1, 11, len(self.user)).astype(np.float32)
        self.fitted = fit_statistics(self.user, self.item, self.rating, (USERS, ITEMS))
        self.statistics = ItemStatistics(ITEMS)
        self.statistics.load_state_dict(self.fitted)
        self.item_bias = self.fitted["bias"].double().numpy()
        deviation = self.rating - self.rating.mean(dtype=np.float64) - self.item_bias[self.item]
        self.user_bias = np.bincount(self.user, deviation) / (np.bincount(self.user) + USER_DAMPING)
        residual = deviation - self.user_bias[self.user]
        self.residuals = np.full((USERS, ITEMS), np.nan)  # NaN: not rated
        self.residuals[self.user, self.item] = residual
        self.variance = (residual**2).mean()

    def others(self, user: int) -> np.ndarray:
        """The residuals without those of a user."""
        return np.delete(self.residuals, user, axis=0)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def test_sums_that_float16_cannot_hold_are_cut_off(case, monkeypatch):
    """As those of items that more than a million users have rated both."""
    monkeypatch.setattr(statistics, "UNIT", 1e-4)
    pairs = fit_statistics(case.user, case.item, case.rating, (USERS, ITEMS))["pairs"].float()
    assert pairs.abs().max() == statistics.MOST
    assert pairs.isfinite().all()


def test_counts_mean_and_biases_are_those_of_damped_least_squares(case):
    assert case.fitted["mean"].item() == pytest.approx(case.rating.mean())
    assert case.fitted["count"].tolist() == np.bincount(case.item).tolist()
    # At the minimum no bias can be improved: each is the damped mean of what the others leave over.
    left = case.rating - case.rating.mean(dtype=np.float64) - case.user_bias[case.user]
    expected = np.bincount(case.item, left) / (np.bincount(case.item) + ITEM_DAMPING)
    np.testing.assert_allclose(case.item_bias, expected, atol=1e-4)
    assert np.abs(expected).max() > 0.3


def test_deviations_are_ratings_without_mean_and_bias_of_the_item(case):
    found = case.statistics.deviations(torch.tensor([[2, 5]]), torch.tensor([[9.0, 1.0]]))
    expected = np.array([9.0, 1.0]) - case.rating.mean(dtype=np.float64) - case.item_bias[[2, 5]]
    np.testing.assert_allclose(found.numpy(), expected[None], rtol=1e-5)


def test_the_bias_of_an_item_is_known_without_a_users_own_rating(case):
    """The biases of all users and of the other items are held fixed."""
    for user, item in product(range(5), range(ITEMS)):
        own = case.residuals[user, item]
        if np.isnan(own):
            continue
        total = np.nansum(case.others(user)[:, item] + case.item_bias[item])
        expected = total / (np.isfinite(case.others(user)[:, item]).sum() + ITEM_DAMPING)
        found = case.statistics.bias_without(torch.tensor(item), torch.tensor(1.0), torch.tensor(own).float())
        assert found.item() == pytest.approx(expected, abs=1e-4)
        assert abs(expected - case.item_bias[item]) > 1e-4


def test_without_an_own_rating_the_statistics_are_as_fitted(case):
    items, none = torch.arange(ITEMS), torch.zeros(ITEMS)
    torch.testing.assert_close(case.statistics.bias_without(items, none, none), case.fitted["bias"])
    expected = np.sqrt((np.nansum(case.residuals**2, 0) + case.variance) / (np.bincount(case.item) + 1))
    np.testing.assert_allclose(case.statistics.spread_without(items, none, none).numpy(), expected, rtol=1e-5)


def test_the_spread_of_an_item_is_known_without_a_users_own_rating(case):
    user = 3
    rated = np.flatnonzero(np.isfinite(case.residuals[user]))
    own = torch.from_numpy(case.residuals[user, rated]).float()
    found = case.statistics.spread_without(torch.from_numpy(rated), torch.ones(len(rated)), own)
    others = case.others(user)[:, rated]
    expected = np.sqrt((np.nansum(others**2, 0) + case.variance) / (np.isfinite(others).sum(0) + 1))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def expected_evidence(case: Case, residuals: np.ndarray, target: int, past: int, past_own: float) -> list[float]:
    """Together, overlap, agreement and its log by the residuals [users, ITEMS] of other users.

    `past_own` is the user's own residual of the item of the history, which is known and counts for its spread.
    """
    both = np.isfinite(residuals[:, target]) & np.isfinite(residuals[:, past])
    together = both.sum()
    counts = np.isfinite(residuals).sum(0) + np.where(np.arange(ITEMS) == past, 1, 0)
    squares = np.nansum(residuals**2, 0)
    squares[past] += past_own**2
    spread = np.sqrt((squares + case.variance) / (counts + 1))
    products = (residuals[both, target] * residuals[both, past]).sum()
    correlation = np.clip(products / (together * spread[target] * spread[past] + 0.1), -1, 1)
    agreement = correlation * together / (together + SHRINKAGE)
    overlap = together / np.sqrt(max(1, counts[target]) * max(1, counts[past]))
    logs = [np.log(max(LEAST_EVIDENCE, value)) for value in (overlap, agreement)]
    return [together, logs[0], agreement, logs[1]]


@pytest.mark.parametrize("user", range(3))
def test_the_evidence_of_a_pair_is_that_of_other_users(case, user):
    """A user's own rating of the target is subtracted from all sums over users."""
    rated = np.flatnonzero(np.isfinite(case.residuals[user]))
    targets, past = rated[:2], rated[2:]
    own, residual = (torch.from_numpy(case.residuals[user, items]).float()[None] for items in (targets, past))
    evidence = case.statistics.evidence(
        *(torch.from_numpy(targets)[None], torch.ones(1, 2), own, torch.from_numpy(past)[None], residual)
    )
    found = np.stack([part[0].numpy() for part in evidence], axis=-1)  # [T, L, 4]
    for (t, target), (j, item) in product(enumerate(targets), enumerate(past)):
        expected = expected_evidence(case, case.others(user), target, item, case.residuals[user, item])
        np.testing.assert_allclose(found[t, j, :3], expected[:3], atol=3e-4)
        assert found[t, j, 3] == pytest.approx(expected[3], abs=0.05 if expected[2] < 0.02 else 5e-3)


def test_the_evidence_of_an_unrated_target_is_that_of_all_users(case):
    random = np.random.default_rng(2)
    past = np.array([0, 1])
    mine = random.normal(size=2)  # of somebody who is not in the data
    evidence = case.statistics.evidence(
        *(torch.tensor([[5]]), torch.zeros(1, 1), torch.zeros(1, 1)),
        *(torch.from_numpy(past)[None], torch.from_numpy(mine).float()[None]),
    )
    both = [np.isfinite(case.residuals[:, [5, j]]).all(1).sum() for j in past]
    assert evidence.together.flatten().tolist() == both
    counts = np.bincount(case.item)
    np.testing.assert_allclose(
        evidence.overlap.flatten().numpy(), np.log(both / np.sqrt(counts[5] * counts[past])), rtol=1e-4
    )


def test_an_item_says_nothing_about_itself(case):
    none = torch.zeros(1, 1)
    evidence = case.statistics.evidence(torch.tensor([[4]]), none, none, torch.tensor([[4]]), torch.ones(1, 1))
    assert evidence.together.item() == evidence.agreement.item() == 0.0
    assert evidence.overlap.item() == evidence.log_agreement.item() == pytest.approx(np.log(LEAST_EVIDENCE))


def test_a_rating_that_nobody_shares_leaves_no_trace():
    """Item 1 has one rating, by user 0: for user 0 it is an item without ratings."""
    user, item = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 2, 2])
    for own_rating in (1.0, 10.0):
        rating = np.array([6.0, own_rating, 7.0, 5.0, 8.0], np.float32)
        statistics = ItemStatistics(3)
        statistics.load_state_dict(fit_statistics(user, item, rating, (3, 3)))
        deviations = statistics.deviations(torch.tensor([0, 1]), torch.tensor([6.0, own_rating]))
        residual = deviations - deviations.sum() / (2 + USER_DAMPING)
        one, own = torch.ones(1, 1), residual[1].view(1, 1)
        assert statistics.bias_without(torch.tensor([[1]]), one, own).item() == pytest.approx(0.0, abs=1e-3)
        found = statistics.evidence(torch.tensor([[1]]), one, own, torch.tensor([[0]]), residual[:1].view(1, 1))
        assert found.together.item() == found.agreement.item() == 0.0
