"""The terms of pairs: independent of who else is in the batch, and of how it is cut into chunks."""

import pytest
import torch

from widedeep.models import wide_deep_history as module
from widedeep.models.history.past import Past
from widedeep.models.history.targets import Chunk, Targets, chunks
from widedeep.models.history.terms import SPARSE_SHARE, TITLE_SHARE
from widedeep.models.history.titles import NEAR_TITLE
from widedeep.models.history.wide import WideScores

USERS = torch.arange(40, dtype=torch.int32)
ITEMS = torch.arange(80)


def lengths(counts: list[int]) -> Past:
    """Histories of given lengths."""
    longest = max([1, *counts])
    present = (torch.arange(longest) < torch.tensor(counts)[:, None]).float()
    one = torch.zeros(len(counts), 1)
    return Past(present.long(), *(present,) * 4, one, one, 0 * one)


@torch.no_grad()
def test_a_survey_ranks_the_items_out_of_the_history(model):
    """The last row stands for unrated items, fills up histories, and never counts."""
    unrated, ledger = model.terms.unrated, model.terms.ledger
    past = model._unpack(model.encode_users(USERS[:4])).past
    assert (past.row == unrated).any()
    torch.manual_seed(0)
    scores = torch.randn(4, unrated + 1)
    scores[:, unrated] = 99.0
    sparse = torch.rand(4, unrated + 1)
    sparse[:, unrated] = 0.0
    survey = model.terms.survey(past, WideScores(scores, scores, sparse, sparse))
    titles = model.terms.titles.crosses(ledger.item_of[past.row].long(), past.weight)
    crossed = SPARSE_SHARE * sparse[:, ledger.row_of.long()] + TITLE_SHARE * titles
    for user in range(4):
        rows = [row for row in range(unrated) if row not in past.row[user].tolist()]
        total = {row: float(scores[user, row] + crossed[user, ledger.item_of[row]]) for row in rows}
        best = sorted(rows, key=total.__getitem__, reverse=True)
        assert survey.candidates[user].tolist() == best[: model.config.candidates]
        assert survey.rank(torch.tensor([best] * 4))[user].tolist()[:20] == [*range(12), *[12] * 8]
        assert survey.rank(past.row)[user].tolist() == [12] * past.row.shape[1]
        mine = scores[user, rows]
        found = [value[user, 0] for value in (survey.mean, survey.sd, survey.best)]
        torch.testing.assert_close(torch.stack(found), torch.stack([mine.mean(), mine.std(correction=0), mine.max()]))
        mine = sparse[user, rows]
        spread = (mine.square().sum() / (unrated + 1)).sqrt() + 1e-3
        found = torch.stack([survey.sparse_spread[user, 0], survey.sparse_best[user, 0]])
        torch.testing.assert_close(found, torch.stack([spread, mine.max()]))


@torch.no_grad()
def test_held_out_ratings_do_not_make_an_item_more_popular(model):
    """To somebody without a history items are shown by their number of ratings, without the held-out ones."""
    unrated, count = model.terms.unrated, model.terms.statistics.count
    past, wide, _ = model._unpack(model.encode_users(USERS[-1:]))
    first, second = count[:-1].topk(2).indices.tolist()
    held = torch.tensor([[first, unrated]])
    past.rated[0, second] = True
    survey = model.terms.survey(past, wide, held)
    expected = count[:-1].clone() * 1e-9
    expected[first] -= 1e-9
    expected[second] = -torch.inf
    torch.testing.assert_close(survey.crossed[0, :-1], expected)


@torch.no_grad()
def test_who_has_rated_all_items_has_a_survey(model):
    rows = torch.arange(model.terms.unrated)[None]
    scores = torch.randn(1, model.terms.unrated + 1)
    past = lengths([rows.shape[1]])._replace(row=rows, rated=scores < torch.inf)
    sparse = torch.rand(scores.shape)
    survey = model.terms.survey(past, WideScores(scores, scores, sparse, sparse))
    numbers = ("mean", "sd", "best", "sparse_spread", "sparse_best")
    assert all(getattr(survey, name).isfinite().all() for name in numbers)
    assert (survey.candidates < model.terms.unrated).all()


@pytest.mark.parametrize("limit", [1, 40, 10_000])
def test_chunks_have_each_user_once_and_keep_to_the_limit(limit):
    counts, targets = [3, 0, 7, 5, 5, 1, 2], torch.tensor([4, 4, 2, 9, 3, 4, 0])
    dealt: list[Chunk] = list(chunks(lengths(counts), targets, limit))
    assert sorted(user for chunk in dealt for user in chunk.users.tolist()) == list(range(7))
    for chunk in dealt:
        members = chunk.users.tolist()
        assert chunk.length == max(1, *(counts[user] for user in members))
        assert chunk.targets == max(targets[members].tolist())
        assert len(members) == 1 or len(members) * chunk.length * chunk.targets <= limit
    assert len(dealt) == {1: 7, 10_000: 1}.get(limit, len(dealt))


def test_nobody_is_in_no_chunk():
    assert list(chunks(lengths([]), torch.zeros(0, dtype=torch.int64), 1)) == []


@pytest.fixture(scope="module")
def answers(model) -> torch.Tensor:
    """Both answers for all pairs, [2, USERS, ITEMS]."""
    with torch.no_grad():
        scores = model(USERS.repeat_interleave(len(ITEMS)), ITEMS.repeat(len(USERS)).int())
    return torch.stack(list(scores)).view(2, len(USERS), len(ITEMS))


@torch.no_grad()
def test_answers_do_not_depend_on_who_else_is_asked_for(model, answers):
    assert answers.isfinite().all()
    assert (answers.std((1, 2)) > 0.2).all()
    for user in (0, 7, 38, 39):
        alone = torch.stack(list(model(USERS[user].expand(len(ITEMS)), ITEMS.int())))
        torch.testing.assert_close(alone, answers[:, user], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("limit", [1, 5000])
@torch.no_grad()
def test_answers_do_not_depend_on_chunks(model, answers, monkeypatch, limit):
    for name in ("ELEMENTS_AT_ONCE", "ELEMENTS_OF_ANSWERS"):
        monkeypatch.setattr(module, name, limit)
    scores = model(USERS.repeat_interleave(len(ITEMS)), ITEMS.repeat(len(USERS)).int())
    torch.testing.assert_close(torch.stack(list(scores)).view_as(answers), answers, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_every_term_of_a_pair_is_as_defined(model):
    """For one user and the items without own ratings in the data, from the definitions."""
    encoded = model.encode_users(USERS[3:4])
    past, wide, survey = model._unpack(encoded)
    ledger, statistics = model.terms.ledger, model.terms.statistics
    rated = set(past.row[0].tolist())
    row = torch.tensor([r for r in range(model.terms.unrated) if r not in rated][:5])
    item = ledger.item_of[row].long()
    none = torch.zeros(1, 5)
    standings = survey.standings(wide, row[None])
    targets = Targets(item[None], row[None], none, none, past.bias, standings)
    terms = model.terms(past, targets, model.terms.embed(past, targets))
    torch.testing.assert_close(terms.expected[0], statistics.mean + past.bias[0] + statistics.bias[row])
    others = torch.tensor([r for r in range(model.terms.unrated) if r not in rated])
    score = wide.preference[0]
    wanted = (score[row] - score[others].mean()) / score[others].std(correction=0)
    torch.testing.assert_close(terms.wide[0], wanted, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(terms.titles[0], terms.titles[0].clamp(min=0.1))
    mine = ledger.item_of[past.row[0]].long()
    neighbours, similarities, number = (
        *(model.terms.titles.neighbour, model.terms.titles.similarity),
        model.terms.columns.numbers[:, 0],
    )
    for place, target in enumerate(item.tolist()):
        near = dict(zip(neighbours[target].tolist(), similarities[target].tolist(), strict=True))
        similar = torch.tensor([near.get(other, 0.0) for other in mine.tolist()])
        genres = ledger.genres[mine] @ ledger.genres[target]
        expected = [
            (similar.square() @ past.weight[0]).log1p(),
            similar.square() @ past.residual[0],
            (similar > NEAR_TITLE).sum().float().log1p(),
            genres.mean(),
            genres @ past.residual[0] / (genres.sum() + 2),
            score[row[place]],
            statistics.count[row[place]].log1p(),
            statistics.bias[row[place]],
            past.bias[0, 0],
            past.residual[0].std(correction=0),
            number[target],
            number[target] - number[mine].mean(),
        ]
        for value in expected:
            assert (terms.numbers[0, place] - value).abs().min() < 1e-4 * (1 + abs(value)), expected.index(value)


@torch.no_grad()
def test_unrated_candidates_are_the_best_known_ones_with_titles_like_those_of_the_history(model):
    ledger, titles = model.terms.ledger, model.terms.titles
    past, wide, _ = model._unpack(model.encode_users(USERS[:4]))
    cold = torch.zeros(model.terms.unrated + 1, dtype=torch.bool)
    cold[::3] = True
    for rows in (None, cold):
        unrated = [item for item, row in enumerate(ledger.row_of.tolist()) if row == model.terms.unrated]
        unrated += [] if rows is None else ledger.item_of[:-1][rows[:-1]].tolist()
        survey = model.terms.survey(past, wide, cold=rows)
        for user in range(4):
            there = past.present[user] > 0
            items = ledger.item_of[past.row[user][there]].long()
            crossed = titles.crosses(items[None], past.weight[user][there][None])[0]
            score = {item: ledger.fame[item] + 3 * crossed[item].log1p() for item in unrated}
            best = sorted(unrated, key=lambda item: -float(score[item]))
            found = survey.cold[user].tolist()
            assert len(found) == min(len(best), model.config.cold_candidates)
            torch.testing.assert_close(
                torch.stack([score[i] for i in found]), torch.stack([score[i] for i in best[: len(found)]])
            )
            if rows is not None:
                assert not cold[survey.candidates[user]].any()
