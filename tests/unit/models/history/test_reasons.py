"""Reasons of wide_deep_history against loops over single ratings, and where the answer is planted."""

import math

import numpy as np
import pytest
import torch

from widedeep.data.feature_tables import Tables
from widedeep.data.rating_matrices import preference
from widedeep.models.base import Histories
from widedeep.models.history.reasons import strongest
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.wide_deep_history import WideDeepHistory

USERS = torch.arange(6, dtype=torch.int32)
TARGETS = torch.tensor([[3, 70, 11, 40]]).expand(6, -1)


def test_the_strongest_are_named_with_their_shares():
    contributions = torch.tensor([[[2.0, -9.0, 1.0, 4.0, 1.0], [-1.0, 0.0, 0.0, 3.0, -2.0]]])
    items, ratings, shares = strongest(contributions, torch.tensor([[5, 6, 7, 8, 9]]), torch.arange(1.0, 6.0)[None])
    assert items[0, 0, :2].tolist() == [8, 5]
    assert items[0, 0, 2] in (7, 9)
    assert shares[0].tolist() == [[0.5, 0.25, 0.125], [1.0, 0.0, 0.0]]
    assert items[0, 1].tolist() == [8, -1, -1]
    assert ratings[0, 0, :2].tolist() == [4.0, 1.0]
    assert ratings[0, 1].tolist() == [4.0, 0.0, 0.0]


def test_a_short_history_has_few_reasons():
    items, ratings, shares = strongest(torch.tensor([[[2.0], [-1.0]]]), torch.tensor([[5]]), torch.tensor([[9.0]]))
    assert items.tolist() == [[[5, -1, -1], [-1, -1, -1]]]
    assert ratings.tolist() == [[[9.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]
    assert shares.tolist() == [[[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]]


def as_strangers(model: WideDeepHistory) -> Histories:
    """The histories of USERS, given by somebody else."""
    row, rating = model.terms.ledger.history(USERS, 1000)
    return Histories(torch.where(row < model.terms.unrated, model.terms.ledger.item_of[row], -1), rating)


@pytest.mark.parametrize("known", [True, False])
def test_what_ratings_add_is_the_wide_score(model, known):
    encoded = model.encode_users(USERS) if known else model.encode_histories(as_strangers(model))
    past, wide, _ = model._unpack(encoded)
    crosses, target = model.terms.crosses, model.terms.ledger.row_of[TARGETS].long()
    score = wide.preference.gather(1, target)
    found = crosses.contributions(past.row, past.weight, target, score)
    torch.testing.assert_close(found.sum(2), score, rtol=1e-4, atol=1e-6)
    inverse = crosses.inverse.double()
    weights = -inverse / inverse.diagonal()  # [j, k]
    summands = (past.weight * crosses.item_scale[past.row])[:, None] * weights.T[target[:, :, None], past.row[:, None]]
    factor = (score / summands.sum(2))[:, :, None]
    torch.testing.assert_close(found.double(), summands * factor, rtol=1e-4, atol=1e-6)
    if known:
        torch.testing.assert_close(factor, torch.ones_like(factor), rtol=1e-4, atol=1e-4)
    else:
        assert (factor > 0).all()
        assert (factor < 0.999).any()


def test_scores_that_cancel_do_not_blow_up(model):
    past = model._unpack(model.encode_users(USERS[:1])).past
    target = model.terms.ledger.row_of[TARGETS[:1]].long()
    nothing = torch.zeros_like(past.weight)
    assert not model.terms.crosses.contributions(past.row, nothing, target, torch.zeros(1, 4)).any()


@torch.no_grad()
def test_shares_are_those_of_loops_over_ratings(model):
    found = model.explain_chosen(model.encode_users(USERS), torch.arange(80.0)[:, None], TARGETS)
    terms, (w_wide, w_content, w_sparse) = model.terms, model.heads.wide.tolist()
    survey = model._unpack(model.encode_users(USERS)).survey
    inverse, scale = terms.crosses.inverse.tolist(), terms.crosses.item_scale.tolist()
    for user in range(len(USERS)):
        rows, ratings = (column[0].tolist() for column in terms.ledger.history(USERS[user : user + 1], 1000))
        for place, item in enumerate(TARGETS[user].tolist()):
            k = int(terms.ledger.row_of[item])
            near = dict(zip(terms.titles.neighbour[item].tolist(), terms.titles.similarity[item].tolist(), strict=True))
            weight = {j: float(preference(torch.tensor(r), model.scale)) for j, r in zip(rows, ratings, strict=True)}
            similar = {j: weight[j] * near.get(int(terms.ledger.item_of[j]), 0.0) ** 2 for j in rows}
            total = sum(similar.values())
            content = {j: math.log1p(total) * amount / total if total else 0.0 for j, amount in similar.items()}
            crossed = {j: weight[j] * scale[j] * -inverse[j][k] / inverse[k][k] / float(survey.sd[user]) for j in rows}
            pairs = zip(terms.sparse.item[-1, k].tolist(), terms.sparse.weight[-1, k].tolist(), strict=True)
            linear = {j: amount * weight[j] / float(survey.sparse_spread[user]) for j, amount in pairs if j in weight}
            parts = {j: (crossed[j], content[j], linear.get(j, 0.0)) for j in rows}
            added = {j: max(0.0, np.dot((w_wide, w_content, w_sparse), parts[j])) for j in rows}
            best = sorted(added, key=lambda j: -added[j])[:3]
            assert found.items[user, place].tolist() == [int(terms.ledger.item_of[j]) for j in best]
            expected = [added[j] / sum(added.values()) for j in best]
            assert found.shares[user, place].tolist() == pytest.approx(expected, rel=1e-3)


class Sequel(Tables):
    """Item 7 is the second part of item 3: users 0 to 14 have rated both, user 15 only the first part."""

    def train_ratings(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        user, item, rating = super().train_ratings()
        kept = ~np.isin(item, (3, 7))
        parts = [(u, i) for u in range(16) for i in (3, 7) if (u, i) != (15, 7)]
        users, items = np.array(parts, np.int32).T
        ratings = np.full(len(parts), 9.0, np.float32)
        return np.append(user[kept], users), np.append(item[kept], items), np.append(rating[kept], ratings)


@torch.no_grad()
@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.3, 0.3)])
def test_the_first_part_speaks_for_its_sequel(data, monkeypatch, weights):
    tables = Sequel(data.path, data.manifest)
    titles = [f"{'bcdfghjklm'[item % 10]}a{'npqrstvwxz'[item // 10]}o" for item in range(80)]
    titles[3], titles[7] = "Gintama", "Gintama 2nd Season"
    monkeypatch.setattr(tables.items, "strings", lambda name: titles)
    model = WideDeepHistory.from_tables(WideDeepHistoryConfig(ridge=5.0, candidates=12), tables).eval()
    model.heads.wide.copy_(torch.tensor(weights))
    fan = Histories(torch.tensor([[12, 3, 40]]).int(), torch.tensor([[9.0, 9.0, 9.0]]))
    items = model.encode_items(torch.arange(80))
    for users in (model.encode_users(torch.tensor([15]).int()), model.encode_histories(fan)):
        found = model.explain_chosen(users, items, torch.tensor([[7, 20]]))
        assert found.items[0, 0, 0] == 3
        assert found.shares[0, 0, 0] > 0.3
