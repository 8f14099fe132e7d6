"""Lists chosen from candidates, worked out by hand."""

import numpy as np
import pytest

from widedeep.scoring.rerank import choose, draws, familiarity, relevance, unready

INF = np.inf


def test_wanted_is_scaled_for_each_user_and_discounted_by_how_well_known_an_item_is():
    known = np.array([1.0, 0.5, 0.0, 0.9])
    items = np.array([[0, 1, 2], [2, 0, -1], [3, 3, 3], [-1, -1, -1]])
    affinities = np.array([[10.0, 8.0, 6.0], [3.0, 1.0, -INF], [4.0, 4.0, 4.0], [0.0, 0.0, 0.0]], np.float32)
    wanted = relevance(affinities, items, known, 0.5)
    assert wanted.tolist() == [
        [1 - 0.5, 0.5 - 0.25, 0.0],
        [1.0, 0 - 0.5, -INF],
        [pytest.approx(-0.45)] * 3,
        [-INF] * 3,
    ]


def test_familiarity_is_on_a_scale_of_logarithms():
    assert familiarity(np.array([0, 9, 99])) == pytest.approx([0, 0.5, 1])
    assert familiarity(np.zeros(2)).tolist() == [0, 0]


def test_without_rules_the_most_wanted_are_chosen_and_ties_keep_their_order():
    wanted = np.array([[0.1, 0.5, 0.5, 1.0], [-INF, 0.2, -INF, 0.3], [-INF, -INF, -INF, -INF]])
    assert choose(wanted, 3).tolist() == [[3, 1, 2], [3, 1, -1], [-1, -1, -1]]
    assert choose(wanted, 6).tolist() == [[3, 1, 2, 0, -1, -1], [3, 1, -1, -1, -1, -1], [-1] * 6]


def test_no_more_of_a_group_than_allowed():
    wanted = np.array([[9.0, 8.0, 7.0, 6.0, 5.0]])
    groups = np.array([[4, 4, 4, 1, 1]])
    assert choose(wanted, 4, groups, 1).tolist() == [[0, 3, -1, -1]]
    assert choose(wanted, 4, groups, 2).tolist() == [[0, 1, 3, 4]]
    assert choose(wanted, 4, groups, None).tolist() == [[0, 1, 2, 3]]


def test_maximal_marginal_relevance_by_hand():
    """Two vectors at a right angle, and one between them with cosines of 0.6 and 0.8."""
    vectors = np.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]])
    wanted = np.array([[1.0, 0.9, 0.2, 0.5]])
    # lambda 0.5. After 0, the values are .45 - .5 * 1, .1 - 0, .25 - .5 * .6 = -.05, .1, -.05
    # After 2, they are -.05 and .25 - .5 * .8 = -.15
    assert choose(wanted, 4, None, None, vectors, 0.5).tolist() == [[0, 2, 1, 3]]
    # lambda 0.8. After 0: .72 - .2, .16, .4 - .12. After 1: .16 and .28
    assert choose(wanted, 4, None, None, vectors, 0.2).tolist() == [[0, 1, 3, 2]]
    # lambda 0: after the first, only what is unlike counts: cosines of 1, 0, .6, then of 1 and .8
    assert choose(wanted, 4, None, None, vectors, 1.0).tolist() == [[0, 2, 3, 1]]


def test_the_last_of_each_run_of_places_goes_to_the_highest_draw_that_is_left():
    wanted = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, -INF]])
    drawn = np.array([[0.9, 0.1, 0.2, 0.8, 0.7, 0.3, 1.0]])
    assert choose(wanted, 6, draws=drawn, explore=0.5).tolist() == [[0, 3, 1, 4, 2, 5]]
    assert choose(wanted, 4, draws=drawn, explore=1.0).tolist() == [[0, 3, 4, 5]]
    assert choose(wanted, 4, draws=drawn, explore=0.3).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("share", [0.1, 0.05, 0.3, 0.15])
def test_as_many_places_explore_as_asked_for(share):
    wanted = np.linspace(1, 0, 200)[None]
    explored = choose(wanted, 100, draws=np.linspace(0, 1, 200)[None], explore=share) >= 100
    assert explored.sum() == round(100 * share)
    assert explored[0, round(1 / share + 0.499) - 1]
    assert not explored[0, : int(1 / share) - 1].any()


def test_draws_differ_between_users_and_not_between_runs():
    items, ratings = (
        np.stack([np.random.default_rng(user).permutation(5_000)[:220] for user in range(300)]),
        np.ones(5_000),
    )
    drawn = draws(items, ratings)
    order = np.random.default_rng(1).permutation(220)
    assert draws(items[7:9][:, order], ratings).tolist() == drawn[7:9][:, order].tolist()
    user, row = np.nonzero(items == items[0, 0])
    assert len(user) > 5
    assert len(np.unique(drawn[user, row])) == len(user)


def test_the_highest_draw_is_of_an_item_with_odds_of_one_by_its_ratings():
    """Of 5, 5, 10 and 20 ratings; 1 rating counts as 5, and what nobody has rated is not drawn."""
    ratings = np.array([5, 1, 10, 20, 0, *np.ones(6_000, int) * 10**9])
    items = np.column_stack([np.tile(np.arange(5), (6_000, 1)), np.arange(5, 6_005)])  # users differ in the last one
    won = np.bincount(draws(items, ratings).argmax(1), minlength=6)
    assert won / 6_000 == pytest.approx(np.array([4, 4, 2, 1, 0, 0]) / 11, abs=0.02)


def test_users_are_chosen_for_one_by_one():
    random = np.random.default_rng(0)
    wanted, groups = random.random((7, 30)), random.integers(0, 5, (7, 30))
    vectors = random.normal(size=(7, 30, 4))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    together = choose(wanted, 8, groups, 2, vectors, 0.3)
    for user in range(7):
        one = slice(user, user + 1)
        assert choose(wanted[one], 8, groups[one], 2, vectors[one], 0.3).tolist() == together[one].tolist()
        assert np.bincount(groups[user, together[user]]).max() <= 2


def test_items_whose_predecessor_was_not_seen():
    before = np.array([-1, 0, 1, -1, 3])
    assert unready(before, np.array([0])).tolist() == [False, False, True, False, True]
    assert unready(before, np.array([1, 3])).tolist() == [False, True, False, False, False]
    assert unready(before, np.empty(0, np.int64)).tolist() == [False, True, True, False, True]
