"""The histories in the model, and the numbers of rows and items."""

import numpy as np
import pytest
import torch

from widedeep.models.history.fitted import fitted_names
from widedeep.models.history.inputs import Ledger


@pytest.fixture
def ledger() -> Ledger:
    """User 0 has 5 ratings, user 1 none, user 2 one; rows 0 to 3 and a last one for unrated items."""
    ledger = Ledger({"users": 3, "ratings": 6, "items": 4, "rows": 5, "genres": 1})
    ledger.start.copy_(torch.tensor([0, 5, 5, 6]))
    ledger.row.copy_(torch.tensor([3, 2, 1, 0, 2, 1]).int())
    ledger.rating.copy_(torch.tensor([1.0, 2, 3, 4, 5, 6]))
    return ledger


def test_histories_of_users_are_padded_with_the_row_of_unrated_items(ledger):
    row, rating = ledger.history(torch.tensor([2, 0, 1]).int(), 10)
    assert row.tolist() == [[1, 4, 4, 4, 4], [3, 2, 1, 0, 2], [4] * 5]
    assert rating.tolist() == [[6, 0, 0, 0, 0], [1, 2, 3, 4, 5], [0] * 5]


def test_whole_histories_of_users_have_items_for_rows(ledger):
    ledger.item_of.copy_(torch.tensor([10, 11, 12, 13, 0]))
    found = ledger.histories(torch.tensor([2, 0, 1]).int())
    assert found.user.tolist() == [2, 0, 1]
    assert found.start.tolist() == [0, 1, 6, 6]
    assert found.item.tolist() == [11, 13, 12, 11, 10, 12]
    assert found.rating.tolist() == [6, 1, 2, 3, 4, 5]


def test_of_a_long_history_ratings_at_equal_distances_are_read(ledger):
    row, rating = ledger.history(torch.tensor([0, 2]).int(), 2)
    assert rating.tolist() == [[1, 3], [6, 0]]  # places 0 and 2 of 5
    assert row.tolist() == [[3, 1], [1, 4]]


@pytest.mark.parametrize("users", [[], [1]])
def test_without_ratings_histories_are_padding(ledger, users):
    row, rating = ledger.history(torch.tensor(users, dtype=torch.int32), 10)
    assert row.tolist() == [[4]] * len(users)
    assert rating.tolist() == [[0]] * len(users)


def test_the_ledger_of_a_model_has_the_training_ratings(data, model):
    ledger, tables = model.terms.ledger, data.tables()
    user, item, rating = tables.train_ratings()
    rows, ratings = ledger.history(torch.arange(40, dtype=torch.int32), 1000)
    for number in range(40):
        mine = user == number
        there = rows[number] < model.terms.unrated
        found = zip(ledger.item_of[rows[number][there]].tolist(), ratings[number][there].tolist(), strict=True)
        assert sorted(found) == sorted(zip(item[mine].tolist(), rating[mine].tolist(), strict=True))
    counts = tables.items.values("train_ratings")
    rated = np.flatnonzero(counts > 0)
    assert ledger.row_of[rated].tolist() == list(range(len(rated)))
    assert ledger.item_of[:-1].tolist() == rated.tolist()
    assert (ledger.row_of[counts == 0] == model.terms.unrated).all()
    assert model.terms.statistics.count.tolist() == [*counts[rated].tolist(), 0]


def test_genres_are_compared_by_their_cosine(data, model):
    genres = data.tables().items.multi_hot("genres").double()
    expected = torch.nn.functional.normalize(genres, dim=1) @ torch.nn.functional.normalize(genres, dim=1).T
    found = model.terms.ledger.genres.double()
    torch.testing.assert_close(found @ found.T, expected, rtol=1e-5, atol=1e-6)


def test_fitted_tensors_are_named(model):
    names = fitted_names(model)
    assert {"terms.crosses.inverse", "terms.statistics.pairs", "terms.titles.neighbour", "terms.ledger.row"} <= names
    assert names < set(model.state_dict())
    trained = {name for name, _ in model.named_parameters()}
    assert not names & (trained | {"heads.centre", "heads.spread"})


def test_a_missing_column_is_named_and_left_out(data, caplog):
    model = data.model({"columns": ("mood", "genres")})
    assert "the items have no mood: the model goes without" in caplog.text
    assert model.config.columns == ("genres",)
