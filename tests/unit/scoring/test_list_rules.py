"""The rules that settings make for the items of a prepared directory."""

from pathlib import Path

import numpy as np
import pytest

from tests.builders import GENRES, write_prepared
from widedeep.common.errors import InputError
from widedeep.config.rerank import RerankConfig
from widedeep.config.score import ScoreConfig
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.schema.manifest import Manifest
from widedeep.scoring.list_rules import USERS_ASKED, hidden_items, make_rules, sample_step
from widedeep.scoring.scorer import TopItems

ITEMS = 61
SEEN = [np.array([4, 9]), np.empty(0, np.int64)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Path, Manifest]:
    path = tmp_path_factory.mktemp("rules") / "prepared"
    return path, write_prepared(path, features=True)


@pytest.fixture(scope="module")
def tables(prepared) -> Tables:
    return Tables(*prepared)


def no_sample() -> tuple[np.ndarray, np.ndarray]:
    raise AssertionError("the ratings are not needed")


def candidates(*rows: list[int]) -> TopItems:
    """Lists of items whose affinities fall from 1 in steps of 0.1."""
    items = np.array(rows)
    affinities = np.broadcast_to(1 - 0.1 * np.arange(items.shape[1], dtype=np.float32), items.shape)
    return TopItems(items, affinities, 5 + affinities)


def test_no_rules_by_default(tables):
    assert make_rules(RerankConfig(), tables.items, no_sample) is None
    assert not RerankConfig(candidates=300).active


def test_values_of_categories_are_hidden(tables):
    ids = tables.items.values("type")
    genres = tables.items.multi_hot("genres").numpy()
    rules = make_rules(RerankConfig(hide=("type=type 2", f"genres = {GENRES[1]}")), tables.items, no_sample)
    hidden = np.flatnonzero((ids == 2) | (genres[:, 1] > 0))
    assert 0 < len(hidden) < ITEMS
    left_out = rules.leave_out(SEEN)
    assert left_out[0].tolist() == sorted({*hidden.tolist(), 4, 9})
    assert left_out[1].tolist() == hidden.tolist()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("typo=x", "has no categories typo: it has .*'age_rating'.*'type'"),
        ("type=Musik", "rerank.hide: 'type=Musik': no type is 'Musik'; name one of 'type 0', 'type 1'"),
        ("type", "rerank.hide: 'type': no type is ''; name one of 'type 0'"),
    ],
)
def test_what_there_is_not_is_named_with_what_there_is(tables, rule, said):
    with pytest.raises(InputError, match=said):
        hidden_items([rule], tables.items)


def test_parts_of_a_franchise_by_titles(tables):
    """All titles of these items are the same but for their number."""
    rules = make_rules(RerankConfig(franchise_most=2), tables.items, no_sample)
    assert rules.choose(candidates([7, 3, 5, 1]), 3).items.tolist() == [[7, 3, -1]]
    assert rules.leave_out(SEEN)[1].tolist() == []


def test_only_the_next_part_by_a_file(tables, tmp_path):
    (tmp_path / "relations.csv").write_text("anime_id,related_id,relation\n5004,5005,sequel\n5005,5006,sequel\n")
    config = RerankConfig(next_part_only=True, relations=str(tmp_path / "relations.csv"))
    rules = make_rules(config, tables.items, no_sample)
    assert [items.tolist() for items in rules.leave_out(SEEN)] == [[4, 6, 9], [5, 6]]
    assert rules.choose(candidates([7, 3, 5, 1]), 3).items.tolist() == [[7, 3, 5]]


def test_a_part_that_raters_skip_need_not_be_seen_before(prepared):
    """All items are of one franchise, whose series everybody has rated, or one user in ten each."""
    path, manifest = prepared
    names = {**manifest.items.vocabularies, "type": ("TV", "Movie", "OVA", "Special")}
    items = FeatureTable(path, "items", manifest.items.model_copy(update={"vocabularies": names}))
    series = items.values("type") == 0
    assert series.sum() > 5
    first = np.flatnonzero(series)[items.values("aired_start")[series].argmin()]
    user, item = np.divmod(np.arange(ITEMS * 200), ITEMS)
    few = user % ITEMS == item
    later = np.flatnonzero(items.values("aired_start") > items.values("aired_start")[first])
    for kept, hidden in ((np.ones(len(user), bool), later.tolist()), (few, [])):
        rules = make_rules(RerankConfig(next_part_only=True), items, lambda kept=kept: (user[kept], item[kept]))
        assert rules.leave_out(SEEN)[1].tolist() == hidden


def test_variety_and_little_known_items_by_hand(tables):
    counts, genres = tables.items.values("train_ratings"), tables.items.multi_hot("genres").numpy()
    rules = make_rules(RerankConfig(diversity=0.5, popularity_discount=0.3), tables.items, no_sample)
    items = np.random.default_rng(0).permutation(ITEMS)[:12]
    wanted = np.linspace(1, 0, 12) - 0.3 * np.log1p(counts[items]) / np.log1p(counts.max())
    unit = genres[items] / np.maximum(np.linalg.norm(genres[items], axis=1, keepdims=True), 1e-12)
    expected: list[int] = []
    for _ in range(5):
        like = [max((float(unit[a] @ unit[b]) for b in expected), default=-1.0) for a in range(12)]
        value = [-np.inf if a in expected else 0.5 * wanted[a] - 0.5 * like[a] for a in range(12)]
        expected.append(int(np.argmax(value)))
    top = rules.choose(candidates(items.tolist()), 5)
    assert top.items[0].tolist() == items[expected].tolist()
    assert top.affinities[0] == pytest.approx(1 - 0.1 * np.array(expected))
    assert top.ratings[0] == pytest.approx(6 - 0.1 * np.array(expected))
    assert expected != [0, 1, 2, 3, 4]


def test_as_many_candidates_as_are_needed():
    assert RerankConfig(hide=("type=TV",)).pool(10) == 10
    assert RerankConfig(diversity=0.1, candidates=50).pool(10) == 50
    assert RerankConfig(franchise_most=1, candidates=50).pool(60) == 60
    assert ScoreConfig(method="two_stage", rerank=RerankConfig(diversity=0.1)).candidates_each == 800
    with pytest.raises(ValueError, match=r"candidates \(60\) must be at least rerank.candidates \(200\)"):
        ScoreConfig(method="two_stage", candidates=60, rerank=RerankConfig(diversity=0.1))


def test_every_how_many_th_user_is_asked():
    assert [sample_step(users) for users in (1, USERS_ASKED, USERS_ASKED + 1, 3 * USERS_ASKED)] == [1, 1, 2, 3]


def test_places_that_explore_hold_other_items_and_obey_the_other_rules(tables):
    items = np.stack([np.random.default_rng(user).permutation(ITEMS)[:40] for user in range(50)])
    plain = make_rules(RerankConfig(popularity_discount=0.3), tables.items, no_sample).choose(candidates(*items), 5)
    rules = make_rules(RerankConfig(popularity_discount=0.3, explore=0.2), tables.items, no_sample)
    explored = rules.choose(candidates(*items), 5)
    assert explored.items[:, :4].tolist() == plain.items[:, :4].tolist()
    assert (explored.items[:, 4] != plain.items[:, 4]).mean() > 0.9
    assert all(len(set(row)) == 5 for row in explored.items.tolist())
