"""Latent factors on ratings that are products of vectors, and that a user's fold has not seen the user."""

import numpy as np
import pytest
import torch

from widedeep.models.history import factors
from widedeep.models.history.factors import (
    LatentFactors,
    Posterior,
    Side,
    UserFactors,
    _inverse,
    fit_factors,
    fit_items,
    random_start,
)

USERS, ITEMS, TRUE, FOLDS, NOISE, MEAN = 400, 60, 2, 3, 0.5, 7.0
ROWS = ITEMS + 1  # and that of unrated items
IDS = np.arange(ITEMS)
Columns = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def ratings() -> tuple[Columns, Columns]:
    """Users, items and ratings of products of two numbers, to train on and held out."""
    random = np.random.default_rng(0)
    of_users, of_items = random.normal(size=(USERS, TRUE)), random.normal(size=(ITEMS, TRUE))
    bias = random.normal(scale=0.7, size=USERS)[:, None] + random.normal(scale=0.5, size=ITEMS)
    rating = MEAN + bias + of_users @ of_items.T + random.normal(scale=NOISE, size=(USERS, ITEMS))
    user, item = np.nonzero(random.random((USERS, ITEMS)) < 0.5)
    held = random.random(len(user)) < 0.2
    columns = user, item, rating[user, item].astype(np.float32)
    return tuple(column[~held] for column in columns), tuple(column[held] for column in columns)


def fitted(columns: Columns, factors: int = TRUE) -> LatentFactors:
    model = LatentFactors(ROWS, factors, FOLDS)
    model.load_state_dict(fit_factors(*columns, random_start(IDS, factors), FOLDS))
    return model


def find(model: LatentFactors, columns: Columns, without: torch.Tensor | None = None) -> UserFactors:
    """The factors of all users by their ratings."""
    user, item, rating = columns
    row, given = torch.full((USERS, ITEMS), ITEMS), torch.zeros(USERS, ITEMS)
    row[user, item] = torch.from_numpy(item)
    given[user, item] = torch.from_numpy(rating)
    return model.find(row, given, (row < ITEMS).float(), without)


def rmse(model: LatentFactors, users: UserFactors, held_out: Columns) -> float:
    user, item, rating = (torch.from_numpy(column) for column in held_out)
    predicted = model(users, torch.arange(ITEMS).expand(USERS, -1))[user, item]
    return float((predicted - rating).square().mean().sqrt())


@pytest.mark.parametrize("factors", [TRUE, 2 * TRUE])
def test_held_out_ratings_are_predicted_almost_to_the_noise(ratings, factors):
    train, held_out = ratings
    model = fitted(train, factors)
    assert NOISE * 0.95 < rmse(model, find(model, train), held_out) < NOISE * 1.15
    unseen = find(model, train, torch.arange(USERS))
    assert NOISE * 0.95 < rmse(model, unseen, held_out) < NOISE * 1.15


def test_factors_that_are_not_needed_fade(ratings):
    columns = (torch.from_numpy(column) for column in ratings[0])
    fit = fit_items(*columns, random_start(IDS, 2 * TRUE))
    # The prior is the precision of users over that of a rating, so these are shares of the variance of ratings.
    needed = (fit["feature"].square().mean(0) / fit["prior"])[:-1].sort().values
    assert needed[0] < 0.05 * needed[-1]
    assert needed[1] < 0.1 * needed[-1]


@pytest.mark.parametrize("least", [1.0, -1e-6])
def test_a_matrix_that_rounding_left_indefinite_is_inverted_too(least):
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(5, 4, 4, dtype=torch.float64)).Q
    values = torch.tensor([2.0, 3.0, 5.0, least], dtype=torch.float64)
    matrices = turn @ torch.diag(values) @ turn.mT
    torch.testing.assert_close(_inverse(matrices), turn @ torch.diag(1 / values) @ turn.mT)


def test_users_without_ratings_change_nothing(ratings):
    user, item, rating = (torch.from_numpy(column) for column in ratings[0])
    start = random_start(IDS, TRUE)
    few, many = fit_items(user, item, rating, start), fit_items(3 * user + 5, item, rating, start)
    assert all(torch.equal(few[name], many[name]) for name in few)


def test_the_fit_does_not_depend_on_how_many_matrices_are_computed_at_once(ratings, monkeypatch):
    columns = [torch.from_numpy(column) for column in ratings[0]]
    start = random_start(IDS, TRUE)
    whole = fit_items(*columns, start)
    monkeypatch.setattr(factors, "ROWS_AT_ONCE", 7)
    in_parts = fit_items(*columns, start)
    for name, expected in whole.items():
        torch.testing.assert_close(in_parts[name], expected, rtol=1e-3, atol=1e-3)


def test_users_are_found_as_they_were_fitted(ratings):
    """The vectors from a history are the means of the posterior given the same items."""
    user, item, rating = (torch.from_numpy(column) for column in ratings[0])
    torch.manual_seed(1)
    root = torch.randn(ROWS, 3, 3) * 0.2
    items = Posterior(torch.randn(ROWS, 3), root @ root.mT)
    side = Side(user, item, rating - rating.mean(), USERS, 2)
    side.prior = torch.tensor([2.0, 3.0, 0.5])
    expected = side.update(items, noise=0.3)[0].mean
    model = LatentFactors(ROWS, 2, FOLDS)
    for name, values in {
        "mean": rating.mean(),
        "prior": side.prior * 0.3,
        "feature": items.feature(),
        "offset": items.offset(),
        "square": items.square(),
    }.items():
        getattr(model, name)[1] = values
    found = find(model, ratings[0], torch.ones(USERS))
    assert found.fit.eq(1).all()
    torch.testing.assert_close(found.vector, expected, atol=1e-4, rtol=0)


def test_the_expected_error_is_that_of_draws_from_the_posteriors():
    torch.manual_seed(2)
    user, item = torch.nonzero(torch.rand(4, 5) < 0.6).T
    rating, root = torch.randn(len(user)), torch.randn(5, 3, 3) * 0.5
    items = Posterior(torch.randn(5, 3), root @ root.mT)
    users, error = Side(user, item, rating, 4, 2).update(items, noise=0.7)
    random = np.random.default_rng(2)
    draws = 100_000
    x, y = (
        np.stack(
            [random.multivariate_normal(*(n.numpy() for n in normal), draws) for normal in zip(*side, strict=True)]
        )
        for side in (users, items)
    )
    predicted = x[:, None, :, 2] + y[None, :, :, 2] + np.einsum("usk,isk->uis", x[:, :, :2], y[:, :, :2])
    squares = (rating.numpy()[:, None] - predicted[user, item]) ** 2
    assert error == pytest.approx(squares.mean(1).sum(), rel=0.02)


def test_what_a_user_has_rated_does_not_change_the_items_of_training(ratings):
    train, _ = ratings
    changed = train[0], train[1], np.where(train[0] == 5, 1.0, train[2]).astype(np.float32)
    before, after = (fitted(columns) for columns in (train, changed))
    for name, values in before.named_buffers():
        of_fold = values[5 % FOLDS], dict(after.named_buffers())[name][5 % FOLDS]
        assert torch.equal(*of_fold), name
    assert not torch.equal(before.feature[-1], after.feature[-1])


def test_an_empty_history_leaves_the_biases_of_items_and_an_unrated_item_that_of_the_user(ratings):
    train, _ = ratings
    model = fitted(train)
    users = find(model, tuple(column[train[0] != 7] for column in train))
    predicted = model(users, torch.arange(ROWS).expand(USERS, -1))
    mean = np.array([train[2][train[1] == item].mean() for item in range(ITEMS)])
    assert np.corrcoef(predicted[7, :-1], mean)[0, 1] > 0.97
    torch.testing.assert_close(predicted[:, -1], model.mean[-1] + users.vector[:, -1])
    assert users.vector[:, -1].std() > 0.4
    assert users.vector[7].abs().max() < 1e-6


def test_where_all_ratings_are_the_same_so_is_every_answer(ratings):
    user, item, rating = ratings[0]
    same = user, item, np.full_like(rating, 4.0)
    model = fitted(same)
    assert all(values.isfinite().all() for values in model.buffers())
    predicted = model(find(model, same), torch.arange(ROWS).expand(USERS, -1))
    torch.testing.assert_close(predicted, torch.full((USERS, ROWS), 4.0), atol=1e-3, rtol=0)


def test_the_start_goes_by_ids_whatever_their_order():
    ids = np.array(["b", "a", "c"])
    shuffled = random_start(ids, 4)
    assert torch.equal(shuffled[[1, 0, 2, 3]], random_start(np.sort(ids), 4))
    assert shuffled[:-1, :-1].ne(0).all()
    assert not shuffled[-1].any()


def test_without_ratings_everything_is_0():
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    model = fitted(nothing)
    users = find(model, nothing)
    assert not model(users, torch.arange(ROWS).expand(USERS, -1)).any()
