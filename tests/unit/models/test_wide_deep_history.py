"""wide_deep_history as a whole: its encodings, its two answers, its candidates, and what it learns from a step."""

import numpy as np
import pytest
import torch

from tests.unit.models.conftest import Data
from widedeep.data.histories import UserHistories
from widedeep.models.artifact import load_artifact, save_artifact
from widedeep.models.base import Histories
from widedeep.models.history.learning import NOT_GIVEN, hold_out
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.wide_deep_history import WideDeepHistory
from widedeep.scoring.scorer import Scorer

USERS, ITEMS, COLD = 40, 80, 3
EVERYBODY = torch.arange(USERS, dtype=torch.int32)
ALL_ITEMS = torch.arange(ITEMS, dtype=torch.int32)


@torch.no_grad()
def affinities(model: WideDeepHistory, encoded: torch.Tensor) -> torch.Tensor:
    """Affinities of all items, [u, ITEMS]."""
    out = torch.full((len(encoded), ITEMS), torch.nan)
    model.score_block(encoded, model.encode_items(ALL_ITEMS), out)
    return out


def padded(data: Data, users: list[int]) -> Histories:
    """The training ratings of users, as those of people who are not in the data."""
    items, ratings = data.tables().histories(ITEMS)
    return Histories(items[users], ratings[users])


def seen_by(data: Data) -> list[set[int]]:
    """The items that each user has rated."""
    return [set(items[items >= 0].tolist()) for items in data.tables().histories(ITEMS)[0]]


@torch.no_grad()
def test_a_history_is_answered_for_like_the_user_whose_it_is(data):
    """Not to the bit: a stranger's history is added to the Gram matrix, where the user's is already.

    Larger random weights in the towers would magnify the difference.
    """
    model = data.model(noise=0.05)
    users, seen = list(range(0, 30, 3)), seen_by(data)
    known = affinities(model, model.encode_users(EVERYBODY[users]))
    given = affinities(model, model.encode_histories(padded(data, users)))
    for user, one, other in zip(users, known, given, strict=True):
        new = sorted(set(range(ITEMS)) - seen[user])
        correlation = np.corrcoef(one[new].numpy(), other[new].numpy())[0, 1]
        assert correlation > 0.9
        best, also = (set(scores[new].topk(8).indices.tolist()) for scores in (one, other))
        assert len(best & also) >= 7


@torch.no_grad()
def test_answers_do_not_depend_on_what_was_asked_for_before(data):
    """The model keeps what it has made of the last encodings."""
    model, items = data.model(), data.model().encode_items(ALL_ITEMS)
    chosen = torch.tensor([[3, 70, 11, 40]]).expand(5, -1)

    def ask(encoded: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ratings = torch.empty(chosen.shape)
        model.rate_chosen(encoded, items, chosen, ratings)
        return affinities(model, encoded), ratings, model.explain_chosen(encoded, items, chosen).shares

    first, second = model.encode_users(EVERYBODY[:5]), model.encode_users(EVERYBODY[20:25])
    expected = [ask(encoded.clone()) for encoded in (first, second, first)]
    for encoded, wanted in zip((first, second, first), expected, strict=True):
        for found, one in zip(ask(encoded), wanted, strict=True):
            torch.testing.assert_close(found, one, rtol=0, atol=0)
    assert not torch.equal(expected[0][0], expected[1][0])


@torch.no_grad()
def test_candidates_are_rated_and_explained_by_what_was_found_when_they_were_scored(data):
    model = data.model()
    items, encoded = model.encode_items(ALL_ITEMS), model.encode_users(EVERYBODY[:9])
    chosen = model.terms.ledger.item_of[model._unpack(encoded).survey.candidates[:, :3]].long()
    computed: list[int] = []

    def ask(encoded: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ratings = torch.full(chosen.shape, torch.nan)
        computed.clear()
        model.rate_chosen(encoded, items, chosen, ratings)
        return ratings, *model.explain_chosen(encoded, items, chosen)

    with model.terms.register_forward_hook(lambda *_: computed.append(1)):
        expected = ask(encoded.clone(), chosen)
        assert computed
        affinities(model, encoded)
        for found, one in zip(ask(encoded, chosen), expected, strict=True):
            torch.testing.assert_close(found, one, rtol=1e-4, atol=1e-5)
        assert not computed
        others = chosen.clone()
        others[4, 1] = min(seen_by(data)[4])  # no candidate
        for found, one in zip(ask(encoded, others), ask(encoded.clone(), others), strict=True):
            torch.testing.assert_close(found, one, rtol=0, atol=0)
        assert computed


@torch.no_grad()
@pytest.mark.parametrize("changed", ["terms.vectors.items.weight", "heads.rating.layers.0.weight", "heads.wide"])
def test_nothing_that_was_kept_outlives_a_change_of_the_weights(data, changed):
    model, items = data.model().eval(), data.model().encode_items(ALL_ITEMS)
    encoded = model.encode_users(EVERYBODY[:5])
    chosen = model.terms.ledger.item_of[model._unpack(encoded).survey.candidates[:, :3]].long()

    def ask(encoded: torch.Tensor) -> list[torch.Tensor]:
        scores, ratings = affinities(model, encoded), torch.empty(chosen.shape)
        model.rate_chosen(encoded, items, chosen, ratings)
        return [scores, ratings, *model.explain_chosen(encoded, items, chosen)[:3]]

    before = ask(encoded)
    model.load_state_dict(
        {name: tensor * 2 for name, tensor in model.state_dict().items() if name == changed}, strict=False
    )
    ratings = torch.empty(chosen.shape)
    model.rate_chosen(encoded, items, chosen, ratings)
    after, expected = ask(encoded), ask(encoded.clone())
    torch.testing.assert_close(ratings, expected[1], rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    for one, other in zip(after, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_nothing_that_was_kept_outlives_a_step_of_a_fused_optimizer(data):
    """Such a step is not seen in the versions of the weights."""
    model, fresh = data.model().eval(), data.model().eval()
    before = affinities(model, model.encode_users(EVERYBODY[:5]))
    learned = model.learn(data.histories(list(range(20))), generator())
    (learned.affinity.square().mean() + learned.rating.square().mean()).backward()
    torch.optim.Adam([p for p in model.parameters() if p.grad is not None], lr=0.1, fused=True).step()
    fresh.load_state_dict(model.state_dict())
    after = affinities(model, model.encode_users(EVERYBODY[:5]))
    torch.testing.assert_close(after, affinities(fresh, fresh.encode_users(EVERYBODY[:5])), rtol=0, atol=0)
    assert not torch.allclose(after, before)


@torch.no_grad()
def test_candidates_rank_above_all_others_and_other_unrated_items_last(data):
    model = data.model({"cold_candidates": 1})
    encoded, seen = model.encode_users(EVERYBODY), seen_by(data)
    found = affinities(model, encoded)
    survey = model._unpack(encoded).survey
    candidates = torch.cat([model.terms.ledger.item_of[survey.candidates].long(), survey.cold], dim=1)
    assert candidates.shape == (USERS, model.config.candidates + 1)
    assert (survey.cold >= ITEMS - COLD).all()
    trained = model.score_pairs(encoded[:, None], model.encode_items(candidates.flatten()).view(USERS, -1, 1))
    torch.testing.assert_close(found.gather(1, candidates), trained, rtol=1e-4, atol=1e-4)
    others = torch.ones(USERS, ITEMS, dtype=torch.bool).scatter(1, candidates, False)
    for user in range(USERS):
        assert not set(candidates[user].tolist()) & seen[user]
        assert len(set(candidates[user].tolist())) == model.config.candidates + 1
        assert found[user][others[user]].max() < found[user][candidates[user]].min()
        last = others[user].clone()
        last[:-COLD] = False
        assert found[user][last].max() < found[user][~last].min()


@torch.no_grad()
def test_other_items_are_in_the_order_of_their_crosses(model):
    encoded = model.encode_users(EVERYBODY[:5])
    found = affinities(model, encoded)
    past, wide, survey = model._unpack(encoded)
    ledger, crossed = model.terms.ledger, model.terms.crossed(wide, survey)
    score = wide.preference[:, ledger.row_of.long()]
    titles = model.terms.titles.crosses(ledger.item_of[past.row].long(), past.weight)
    score = score + wide.sparse[:, ledger.row_of.long()]
    torch.testing.assert_close(crossed, score + 0.05 * titles, rtol=1e-4, atol=1e-5)
    candidates = ledger.item_of[survey.candidates].long()
    for user in range(5):
        others = [item for item in range(ITEMS - COLD) if item not in set(candidates[user].tolist())]
        assert torch.equal(found[user][others].argsort(), crossed[user][others].argsort())


@torch.no_grad()
def test_who_has_rated_nearly_all_items_gets_the_rest(data):
    """There are then fewer items left than candidates."""
    model = data.model({"candidates": 60})
    most = Histories(ALL_ITEMS[None, :70], torch.full((1, 70), 8.0))
    found = affinities(model, model.encode_histories(most))
    assert found.isfinite().all()
    whole = Histories(ALL_ITEMS[None], torch.full((1, ITEMS), 8.0))
    assert affinities(model, model.encode_histories(whole)).isfinite().all()


@torch.no_grad()
def test_all_ways_to_rate_pairs_agree(model):
    items = model.encode_items(ALL_ITEMS)
    users = model.encode_users(EVERYBODY)
    every = model.rate_pairs(users[:, None], items[None])
    chosen = torch.randint(ITEMS, (USERS, 6), generator=torch.Generator().manual_seed(0))
    rated = torch.full((USERS, 6), torch.nan)
    model.rate_chosen(users, items, chosen, rated)
    torch.testing.assert_close(rated, every.gather(1, chosen), rtol=1e-4, atol=1e-5)
    user = torch.randint(USERS, (300,), generator=torch.Generator().manual_seed(1))
    item = torch.randint(ITEMS, (300,), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(model.rate_known(user.int(), item.int()), every[user, item], rtol=1e-4, atol=1e-5)
    scores = model(user.int(), item.int())
    torch.testing.assert_close(scores.rating, every[user, item], rtol=1e-4, atol=1e-5)
    expected = model.score_pairs(users[user], items[item])
    torch.testing.assert_close(scores.affinity, expected, rtol=1e-4, atol=1e-5)
    assert (scores.affinity - scores.rating).abs().min() > 0


@torch.no_grad()
def test_pairs_of_more_users_than_are_answered_at_once(model, monkeypatch):
    pairs = EVERYBODY.repeat_interleave(2), ALL_ITEMS
    expected = model(*pairs)
    monkeypatch.setattr("widedeep.models.wide_deep_history.USERS_AT_ONCE", 7)
    for found, whole in zip(model(*pairs), expected, strict=True):
        torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_an_empty_history_and_one_of_unrated_items_say_the_same(data):
    """Both are those of a cold user of whom nothing is known: the best known items in the order of their popularity."""
    model = data.model({"user_columns": (), "user_numbers": ()})
    cold = [ITEMS - 1, ITEMS - 2]
    histories = Histories(torch.tensor([[-1, -1], cold]).int(), torch.tensor([[0.0, 0.0], [10.0, 9.0]]))
    found = affinities(model, model.encode_histories(histories))
    assert found.isfinite().all()
    torch.testing.assert_close(found[0], found[1])
    user = affinities(model, model.encode_users(EVERYBODY[-1:]))
    torch.testing.assert_close(found[:1], user)
    empty = Histories(torch.zeros(2, 0).int(), torch.zeros(2, 0))
    torch.testing.assert_close(affinities(model, model.encode_histories(empty)), found)
    survey = model._unpack(model.encode_users(EVERYBODY[-1:])).survey
    popular = model.terms.statistics.count.topk(model.config.candidates).values
    assert model.terms.statistics.count[survey.candidates[0]].tolist() == popular.tolist()


@torch.no_grad()
def test_of_a_long_history_ratings_at_equal_distances_are_read(data):
    """As of a user of the data: lists of strangers may be sorted by anything."""
    model = data.model({"max_history": 3})
    items = torch.tensor([[ITEMS - 1, 4, 9, 2, 30, 31, 40]]).int()  # the first has no ratings
    ratings = torch.tensor([[10.0, 9, 8, 7, 6, 5, 4]])
    long, short = Histories(items, ratings), Histories(items[:, 1::2], ratings[:, 1::2])
    found, expected = (model._layout.unpack(model.encode_histories(histories)) for histories in (long, short))
    assert found.row.tolist() == expected.row.tolist() == [model.terms.ledger.row_of[[4, 2, 31]].tolist()]
    assert found.rating.tolist() == [[9.0, 7.0, 5.0]]
    for one, other in zip(found.wide, expected.wide, strict=True):
        torch.testing.assert_close(one, other)
    assert model.encode_users(EVERYBODY).isfinite().all()


@pytest.mark.parametrize("known", [True, False], ids=["users of the data", "strangers"])
@torch.no_grad()
def test_nothing_that_is_rated_is_a_candidate_however_long_the_history(data, known):
    """Of a long history a part is read; the other items are not to be recommended either."""
    model, seen = data.model({"max_history": 5, "candidates": 10}), seen_by(data)
    users = [user for user in range(USERS) if 10 < len(seen[user]) < ITEMS - COLD - 10]
    encoded = model.encode_users(EVERYBODY[users]) if known else model.encode_histories(padded(data, users))
    past, _, survey = model._unpack(encoded)
    assert past.row.shape[1] == 5
    for user, rows in zip(users, survey.candidates, strict=True):
        assert not set(model.terms.ledger.item_of[rows].tolist()) & seen[user]


@torch.no_grad()
def test_a_stored_model_recommends_the_same_lists(data, model, tmp_path):
    save_artifact(tmp_path / "model.safetensors", model, data.manifest, data.tables())
    loaded = load_artifact(tmp_path / "model.safetensors").model
    users = EVERYBODY.numpy()
    seen = [np.array(sorted(items), np.int64) for items in seen_by(data)]
    for one, other in zip(
        Scorer(model, ITEMS).top(users, seen, 10), Scorer(loaded, ITEMS).top(users, seen, 10), strict=True
    ):
        assert np.array_equal(one, other)
    history = padded(data, [3])
    for one, other in zip(
        Scorer(model, ITEMS).top_of_histories(history, seen[3:4], 10),
        Scorer(loaded, ITEMS).top_of_histories(history, seen[3:4], 10),
        strict=True,
    ):
        assert np.array_equal(one, other)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def test_a_step_answers_for_each_held_out_rating_and_each_candidate(data, model):
    learned = model.learn(data.histories(list(range(20))), generator())
    assert learned.rating.shape == learned.truth.shape
    assert learned.affinity.shape == learned.liked.shape == (20, model.config.candidates + COLD)
    assert all(part.isfinite().all() for part in learned)
    assert 0 < learned.liked.sum() < learned.liked.numel()
    assert ((learned.truth >= 1) & (learned.truth <= 10)).all()


@torch.no_grad()
def test_nothing_that_is_known_of_a_user_is_a_candidate_of_a_step(data):
    """Neither the history, nor ratings that are not read, nor, where few items are left, what fills up the list."""
    settings = {"cold_histories": 0.0, "cold_items": 0.0, "cold_candidates": 0}
    model = data.model({"candidates": 75, "trained_candidates": 75, "max_history": 20} | settings)
    histories = data.histories(list(range(20)))
    held = hold_out(histories, generator(), model.config, model.terms, model.scale)
    learned = model.learn(histories, generator())
    ruled_out = learned.log_weight == -torch.inf
    known = histories.start.diff() - (held.rating > NOT_GIVEN).sum(1)
    assert sorted(ruled_out.sum(1).tolist()) == sorted((75 - (model.terms.unrated - known)).tolist())
    assert ruled_out.any()
    assert not learned.liked[ruled_out].any()
    assert learned.affinity.isfinite().all()


def test_a_step_gives_gradients_to_all_that_is_trained(data):
    model = data.model().train()
    learned = model.learn(data.histories(list(range(USERS - COLD))), generator())
    (learned.rating.square().mean() + learned.affinity.square().mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("seeds", [(3, 3), (3, 4)])
@torch.no_grad()
def test_equal_seeds_learn_the_same(data, model, seeds):
    one, other = (model.learn(data.histories([0, 1, 2, 3]), generator(seed)) for seed in seeds)
    assert (one.truth.tolist() == other.truth.tolist()) == (seeds[0] == seeds[1])
    if seeds[0] == seeds[1]:
        assert all(torch.equal(first, again) for first, again in zip(one, other, strict=True))


@torch.no_grad()
def test_a_scale_below_zero_is_learnt_from(data, model):
    """On a scale of -9 to 0 everything is as on one of 1 to 10, with all ratings 10 lower."""
    pairs = zip(*(column.tolist() for column in data.tables().train_ratings()), strict=True)
    lower = {(user, item): rating - 10 for user, item, rating in pairs}
    scale = {name: getattr(model.scale, name) - 10 for name in ("lowest", "highest", "liked")}
    ratings = data.manifest.ratings
    ratings = ratings.model_copy(update={"scale": ratings.scale.model_copy(update=scale)})
    shifted = Data(data.path, data.manifest.model_copy(update={"ratings": ratings}))
    below = shifted.model(changes=lower)
    one = model.learn(data.histories([0, 1, 2]), generator())
    other = below.learn(shifted.histories([0, 1, 2], lower), generator())
    torch.testing.assert_close(other.rating + 10, one.rating, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(other.affinity, one.affinity, rtol=1e-3, atol=1e-3)


def test_closed_forms_are_fitted_on_the_cpu_of_a_machine_with_a_gpu(data, monkeypatch):
    """Tables are on the CPU unless another device is given."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    data.model({"factors": 4})


def test_columns_that_the_data_lack_are_left_out(data, caplog):
    names = {"columns": ("genres", "mood"), "kinds": ("mood",), "numbers": ("length",), "release": "length"}
    config = WideDeepHistoryConfig(embedding_dim=4, hidden=(8,), fame="", genres="tags", **names)
    model = WideDeepHistory.from_tables(config, data.tables())
    assert "the items have no mood, length, tags: the model goes without" in caplog.text
    known = {name: getattr(model.config, name) for name in ("columns", "kinds", "numbers", "release", "genres")}
    assert known == {"columns": ("genres",), "kinds": (), "numbers": (), "release": "", "genres": ""}
    user, item = torch.arange(6, dtype=torch.int32), torch.arange(6, dtype=torch.int32)
    assert model(user, item).affinity.isfinite().all()
    learned = model.learn(data.histories([0, 1, 2]), generator())
    assert learned.affinity.isfinite().all()
    assert learned.rating.isfinite().all()


def test_users_without_two_ratings_give_no_spread_but_a_model(data):
    """The spread of the terms comes from users with two ratings; here nobody has more than one."""
    user, item, _ = data.tables().train_ratings()
    seen: set[int] = set()
    changes = {}
    for u, i in zip(user.tolist(), item.tolist(), strict=True):
        if u in seen:
            changes[(u, i)] = None
        seen.add(u)
    model = data.model(changes=changes)
    assert (model.heads.spread == 1).all()
    one = UserHistories(*data.histories([4], changes))
    assert all(part.isfinite().all() for part in model.learn(one, generator()))


@pytest.mark.parametrize(
    "settings",
    [
        {"numbers": ()},
        {"kinds": ()},
        {"columns": (), "kinds": ()},
        {"columns": ("type",), "kinds": ("source",)},
        {"heads": 0},
        {"heads": 1},
        {"max_history": 1},
        {"candidates": 1, "trained_candidates": 1},
        {"held_out": 1.0},
        {"cold_items": 1.0},
    ],
    ids=str,
)
def test_extreme_settings_work(data, settings):
    model = data.model(settings).train()
    learned = model.learn(data.histories(list(range(10))), generator())
    (learned.rating.square().mean() + learned.affinity.square().mean()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        assert affinities(model.eval(), model.encode_users(EVERYBODY)).isfinite().all()
