"""What a training step holds out."""

import math

import pytest
import torch

from widedeep.data.histories import UserHistories, starts_of
from widedeep.data.rating_matrices import preference
from widedeep.models.history.biases import USER_DAMPING
from widedeep.models.history.learning import NOT_GIVEN, HeldOut, hold_out, unrated_log_weight
from widedeep.models.history.past import bags_of
from widedeep.models.history.wide import Bags
from widedeep.models.wide_deep_history import WideDeepHistory

USERS = list(range(12))


def draw(model: WideDeepHistory, histories: UserHistories, seed: int = 0, **settings) -> HeldOut:
    config = model.config.model_copy(update={"cold_histories": 0.0, "cold_items": 0.0} | settings)
    return hold_out(histories, torch.Generator().manual_seed(seed), config, model.terms, model.scale)


def given(histories: UserHistories, model: WideDeepHistory, user: int) -> dict[int, float]:
    """Row -> rating of a user."""
    part = slice(*histories.start[user : user + 2].tolist())
    rows = model.terms.ledger.row_of[histories.item[part]].tolist()
    return dict(zip(rows, histories.rating[part].tolist(), strict=True))


def held_of(held: HeldOut, user: int) -> dict[int, float]:
    there = held.rating[user] > NOT_GIVEN
    return dict(zip(held.row[user][there].tolist(), held.rating[user][there].tolist(), strict=True))


def kept_of(held: HeldOut, user: int) -> set[int]:
    return set(held.past.row[user][held.past.present[user] > 0].tolist())


def test_each_rating_is_either_held_out_or_kept(data, model):
    histories = data.histories(USERS)
    held = draw(model, histories, held_out=0.3)
    total = 0
    for user in range(len(USERS)):
        every, out, kept = given(histories, model, user), held_of(held, user), kept_of(held, user)
        assert not kept & set(out)
        assert kept | set(out) == set(every)
        assert set(torch.nonzero(held.past.rated[user])[:, 0].tolist()) == kept
        assert {row: every[row] for row in out} == out
        total += len(out)
        there = held.past.present[user] > 0
        ratings = torch.tensor([every[row] for row in held.past.row[user][there].tolist()])
        torch.testing.assert_close(held.past.weight[user][there], preference(ratings, model.scale))
    count = len(histories.item)
    assert abs(total - 0.3 * count) < 4 * math.sqrt(0.3 * 0.7 * count)
    assert not held.cold.any()
    padding = held.rating == NOT_GIVEN
    assert (held.row[padding] == model.terms.unrated).all()


def test_the_wide_scores_are_those_without_the_held_out_ratings(data, model):
    histories = data.histories(USERS)
    held = draw(model, histories)
    held_out = held.rating > NOT_GIVEN
    others = Bags(starts_of(held_out.sum(1)), held.row[held_out], preference(held.rating[held_out], model.scale))
    closed = model.terms.crosses.scores_without(others, *bags_of(held.past))
    sparse = model.terms.sparse.scores(*bags_of(held.past), without=histories.user.long())
    for found, expected in zip(held.wide, (*closed, *sparse), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_bias_is_that_of_the_whole_history(data, model):
    """It is the one with which the residuals in the statistics were computed."""
    histories = data.histories(USERS)
    held = draw(model, histories)
    statistics = model.terms.statistics
    for user in range(len(USERS)):
        every = given(histories, model, user)
        total = sum(rating - statistics.mean - statistics.bias[row] for row, rating in every.items())
        assert held.bias[user].item() == pytest.approx(float(total) / (len(every) + USER_DAMPING), abs=1e-5)


def test_everything_can_be_held_out(data, model):
    histories = data.histories(USERS[:3])
    held = draw(model, histories, cold_histories=1.0)
    assert not held.past.present.any()
    assert [held_of(held, user) for user in range(3)] == [given(histories, model, user) for user in range(3)]
    assert not held.wide.preference.any()
    assert held.past.bias.tolist() == [[0.0]] * 3


def test_of_some_histories_everything_is_held_out(data, model):
    held = draw(model, data.histories(USERS), held_out=0.0, cold_histories=0.4)
    empty = ~held.past.present.any(1)
    assert 0 < empty.sum() < len(USERS)
    assert ((held.rating > NOT_GIVEN).any(1) == empty).all()


def test_nothing_may_be_held_out(data, model):
    histories = data.histories(USERS)
    held = draw(model, histories, held_out=0.0)
    assert (held.rating == NOT_GIVEN).all()
    assert held.past.present.sum() == len(histories.item)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_user_with_one_rating_keeps_or_loses_it(data, model, share):
    histories = data.histories([5])
    one = UserHistories(histories.user, torch.tensor([0, 1]), histories.item[:1], histories.rating[:1])
    held = draw(model, one, held_out=share)
    assert (len(held_of(held, 0)), len(kept_of(held, 0))) == (int(share), 1 - int(share))


def test_of_long_histories_a_random_part_is_read(data, model):
    histories = data.histories(USERS)
    seen: list[set[int]] = []
    for seed in range(40):
        held = draw(model, histories, seed, max_history=10)
        read = [kept_of(held, user) | set(held_of(held, user)) for user in range(len(USERS))]
        for user, rows in enumerate(read):
            every = set(given(histories, model, user))
            assert rows <= every
            assert set(torch.nonzero(held.past.rated[user])[:, 0].tolist()) == every - set(held_of(held, user))
        seen.append(read[0])
    mean = sum(map(len, seen)) / len(seen)
    assert abs(mean - 10) < 4 * math.sqrt(10 / len(seen))
    assert set.union(*seen) == set(given(histories, model, 0))  # no rating is always left out


def test_equal_seeds_hold_out_the_same(data, model):
    histories = data.histories(USERS)
    settings = {"cold_histories": 0.2, "cold_items": 0.3}
    first, again, other = (draw(model, histories, seed, **settings) for seed in (1, 1, 2))
    assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in ("row", "rating", "cold"))
    assert torch.equal(first.past.row, again.past.row)
    assert first.row.tolist() != other.row.tolist()


def test_items_that_are_judged_as_unrated_are_in_no_history(data, model):
    histories = data.histories(USERS)
    held = draw(model, histories, cold_items=0.3)
    cold = set(torch.nonzero(held.cold)[:, 0].tolist())
    assert 0 < len(cold) < model.terms.unrated
    for user in range(len(USERS)):
        every = set(given(histories, model, user))
        assert every & cold <= set(held_of(held, user))
        assert not kept_of(held, user) & cold


def test_targets_know_what_is_their_own(data, model):
    histories, ledger = data.histories(USERS), model.terms.ledger
    held = draw(model, histories, cold_items=0.5)
    warm, cold = (torch.nonzero(held.cold[:-1] == value)[:, 0] for value in (False, True))
    candidates = torch.stack([warm[torch.randperm(len(warm))[:5]] for _ in USERS])
    # The last one has no ratings at all.
    without = cold[torch.stack([torch.randperm(len(cold))[:3] for _ in USERS])]
    never = torch.nonzero(ledger.row_of == model.terms.unrated)[0].expand(len(USERS), 1)
    items = torch.cat([ledger.item_of[without].long(), never], dim=1)
    survey = model.terms.survey(held.past, held.wide, held.row, held.cold)._replace(cold=items)
    targets, truth = held.with_candidates(candidates, survey, model.terms)
    candidates = torch.cat([candidates, ledger.row_of[items]], dim=1)
    statistics, unrated = model.terms.statistics, model.terms.unrated
    assert truth.shape == targets.item.shape == (len(USERS), 9 + held.row.shape[1])
    assert torch.equal(targets.item[:, 5:9], items)
    assert (targets.row[:, 5:9] == unrated).all()
    assert (truth[:, 8] == NOT_GIVEN).all()
    hidden = shown = 0
    for user in range(len(USERS)):
        out = held_of(held, user)
        assert truth[user, :9].tolist() == [out.get(row, NOT_GIVEN) for row in candidates[user].tolist()]
        assert truth[user, 9:].tolist() == held.rating[user].tolist()
        for place, row in enumerate(torch.cat([candidates[user], held.row[user]]).tolist()):
            if truth[user, place] == NOT_GIVEN:
                assert targets.own[user, place] == targets.residual[user, place] == 0
                continue
            assert targets.item[user, place] == model.terms.ledger.item_of[row]
            if targets.row[user, place] == unrated:  # judged as if it had no ratings
                hidden += 1
                assert held.cold[row]
                assert targets.own[user, place] == targets.residual[user, place] == 0
                continue
            shown += 1
            assert targets.row[user, place] == row
            assert targets.own[user, place] == 1
            residual = out[row] - statistics.mean - statistics.bias[row] - held.bias[user, 0]
            assert targets.residual[user, place].item() == pytest.approx(residual.item(), abs=1e-5)
    assert hidden
    assert shown


def test_a_sample_of_candidates_has_the_best_and_all_that_were_liked(data, model):
    histories = data.histories(USERS)
    held = draw(model, histories, held_out=0.3)
    candidates = torch.stack([torch.randperm(model.terms.unrated)[:40] for _ in USERS])
    generator = torch.Generator().manual_seed(0)
    sample, log_weight = held.sample(candidates, 20, 8.0, generator)
    assert sample.shape == log_weight.shape == (len(USERS), 20)
    for user in range(len(USERS)):
        chosen, every, out = set(sample[user].tolist()), set(candidates[user].tolist()), held_of(held, user)
        assert len(chosen) == 20
        assert chosen <= every
        certain = {row for row in every if out.get(row, 0) >= 8} | set(candidates[user, :10].tolist())
        assert certain <= chosen
        # The others stand for all that were not chosen.
        weight = dict(zip(sample[user].tolist(), log_weight[user].exp().tolist(), strict=True))
        assert {weight[row] for row in certain} == {1.0}
        others = [weight[row] for row in chosen - certain]
        assert others == pytest.approx([(40 - len(certain)) / (20 - len(certain))] * len(others))
    whole, log_weight = held.sample(candidates, 40, 8.0, generator)
    assert torch.equal(whole, candidates)
    assert not log_weight.any()


def test_unrated_items_weigh_by_how_rare_they_are(model):
    """Of 100 ratings 4 are their item's only one, so that 5 % of new ones may be of unrated items."""
    count = torch.tensor([1.0] * 4 + [32.0] * 3)
    config = model.config.model_copy(update={"held_out": 0.1, "cold_items": 0.1})
    assert unrated_log_weight(config, count).exp().item() == pytest.approx(0.5 / 0.05)
    for rare in (0.0, 1e-3):  # they are never made more likely
        assert unrated_log_weight(config.model_copy(update={"cold_items": rare}), count) == 0
