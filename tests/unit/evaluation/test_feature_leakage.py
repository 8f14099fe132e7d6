"""Single features against ratings: references by hand and by scikit-learn, leaks and honest features that are known."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error, r2_score

from widedeep.evaluation import feature_leakage

E = 3000


def sums(entity, rating, entities):
    return feature_leakage.Sums(
        np.bincount(entity, minlength=entities).astype(float),
        np.bincount(entity, rating, entities),
        float((rating**2).sum()),
    )


@pytest.fixture(scope="module")
def world():
    """3,000 entities whose ratings tend to a quality that grows with their number; split 80/10/10 at random."""
    rng = np.random.default_rng(0)
    count = np.maximum(1, rng.lognormal(np.log(60), 1.2, E)).astype(int)
    quality = rng.normal(7, 0.6, E) + 0.15 * (np.log(count) - np.log(60))
    entity = np.repeat(np.arange(E), count)
    rating = np.clip(np.round(quality[entity] + rng.normal(0, 1.4, len(entity))), 1, 10)
    part = rng.choice(3, len(entity), p=[0.8, 0.1, 0.1])
    entities = feature_leakage.Entities(*(sums(entity[part == p], rating[part == p], E) for p in (0, 2)))
    return rng, count, quality, entity, rating, part, entities


def slope_of(world, values):
    known = feature_leakage.deviations(world[-1])
    return feature_leakage.slope(feature_leakage.number_guess(values, known), known)


def test_bins_weigh_the_same_and_missing_is_a_bin_of_its_own():
    values = np.array([5.0, np.nan, 1.0, 2.0, 3.0, 4.0, 6.0])
    bins = feature_leakage.number_bins(values, np.ones(7), bins=3)
    assert bins.bin.tolist() == [3, 0, 1, 1, 2, 2, 3]
    heavy = feature_leakage.number_bins(values, np.array([1.0, 1, 4, 1, 1, 1, 1]), bins=2)
    assert heavy.bin.tolist() == [2, 0, 1, 1, 2, 2, 2]
    assert feature_leakage.number_bins(np.full(3, np.nan), np.ones(3)).bin.tolist() == [0, 0, 0]


def test_a_category_predicts_its_shrunk_mean_by_hand():
    # Ratings 9, 9, 9 of value 0 and 3 of value 1: mean 7.5, ten further ratings at it for each value.
    train = feature_leakage.Sums(np.array([2.0, 1.0, 1.0]), np.array([18.0, 9.0, 3.0]), 252.0)
    predicted = feature_leakage.predictions(feature_leakage.category_bins(np.array([0, 0, 1])), train)
    assert predicted == pytest.approx([7.5 + 4.5 / 13, 7.5 + 4.5 / 13, 7.5 - 4.5 / 11])


def test_entities_without_a_value_have_the_mean_of_all_ratings_by_hand():
    # A rating of each: 9 of value 0, 3 of value 1, and 7 and 5 of the last two, without a value; the mean is 6.
    train = feature_leakage.Sums(np.ones(4), np.array([9.0, 3.0, 7.0, 5.0]), 164.0)
    bins = feature_leakage.list_bins(np.array([0, 1, 2, 2, 2]), np.array([0, 1]))
    assert feature_leakage.predictions(bins, train) == pytest.approx([6 + 3 / 11, 6 - 3 / 11, 6.0, 6.0])


def test_several_values_are_sklearns_ridge_on_the_ratings():
    rng = np.random.default_rng(1)
    indicators = rng.random((40, 5)) < 0.4
    entity = rng.integers(0, 40, 2000)
    rating = rng.integers(1, 11, 2000).astype(float)
    train = sums(entity, rating, 40)
    offsets = np.concatenate([[0], np.cumsum(indicators.sum(1))])
    bins = feature_leakage.list_bins(offsets, np.nonzero(indicators)[1])
    reference = Ridge(feature_leakage.PRIOR, fit_intercept=False).fit(indicators[entity], rating - rating.mean())
    expected = rating.mean() + reference.predict(indicators.astype(float))
    assert feature_leakage.predictions(bins, train) == pytest.approx(expected)
    found = feature_leakage.errors(expected, train)
    assert found.rmse == pytest.approx(mean_squared_error(rating, expected[entity]) ** 0.5)
    assert found.r2 == pytest.approx(r2_score(rating, expected[entity]))


def test_rare_values_of_long_lists_are_left_out():
    bins = feature_leakage.list_bins(np.array([0, 2, 3]), np.array([0, 7, 1]), most=2)
    assert (bins.entity.tolist(), bins.bin.tolist(), bins.count) == ([0, 1], [0, 1], 2)


def test_means_of_all_ratings_are_found_out(world):
    _, count, _, entity, rating, _, _ = world
    mean = np.bincount(entity, rating, E) / count
    for values in (mean, np.round(mean, 2), -3 * mean, np.argsort(np.argsort(-mean)).astype(float)):
        found = slope_of(world, values)
        assert found is not None
        assert found.leaks
        assert 2.3 < found.value < 5  # 1 / (1 - 0.8), less what the guess errs


def test_a_leak_diluted_by_other_ratings_has_the_slope_of_its_share(world):
    rng, count, quality, entity, rating, _, _ = world
    total = np.bincount(entity, rating, E) + quality * count + 1.4 * np.sqrt(count) * rng.standard_normal(E)
    found = slope_of(world, total / (2 * count))
    assert found is not None
    assert found.leaks
    assert 1.2 < found.value < 1.8  # 1 / (1 - 0.4), less what the guess errs


def test_honest_features_are_not_suspected(world):
    rng, count, quality, _, _, _, entities = world
    trained = entities.train.n > 0
    mean = np.where(trained, entities.train.total / np.maximum(entities.train.n, 1), np.nan)
    honest = {
        "the quality itself": (quality, 1.0),
        "with an error": (quality + rng.normal(0, 0.3, E), None),
        "members": (count * rng.uniform(1, 3, E), None),
        "training ratings": (entities.train.n, None),
        "training mean": (mean, 0.0),
        "nothing": (rng.normal(size=E), 0.0),
    }
    for name, (values, expected) in honest.items():
        found = slope_of(world, values)
        assert found is not None, name
        assert not found.leaks, name
        assert found.value < 1 + 3 * found.error, name
        if expected is not None:
            assert found.value == pytest.approx(expected, abs=3 * found.error), name


def test_the_standard_error_is_the_spread_over_repetitions():
    values, errors = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        quality, entity = rng.normal(7, 0.6, 400), np.repeat(np.arange(400), 50)
        rating = quality[entity] + rng.normal(0, 1.4, len(entity))
        held_out = rng.random(len(entity)) < 0.2
        entities = feature_leakage.Entities(*(sums(entity[m], rating[m], 400) for m in (~held_out, held_out)))
        known = feature_leakage.deviations(entities)
        found = feature_leakage.slope(quality[known.chosen], known)
        assert found is not None
        values.append(found.value)
        errors.append(found.error)
    assert np.mean(values) == pytest.approx(1.0, abs=3 * np.std(values) / 40**0.5 + 0.03)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)  # an sd of 40 is known to a ninth


@pytest.mark.parametrize(
    ("value", "error", "leaks"),
    [(1.09, 0.0, False), (1.11, 0.0, True), (1.49, 0.1, False), (1.51, 0.1, True), (3.0, 0.5, False), (3.2, 0.5, True)],
)
def test_a_slope_leaks_if_it_is_four_standard_errors_above_that_of_an_honest_feature(value, error, leaks):
    assert feature_leakage.Slope(value, error).leaks == leaks


@pytest.mark.parametrize(("entities", "enough"), [(29, False), (30, True)])
def test_thirty_entities_in_both_splits_are_enough_for_a_slope(entities, enough):
    rng = np.random.default_rng(3)
    entity = np.append(np.repeat(np.arange(entities), 4), [entities])  # one more has training ratings alone
    rating = rng.integers(1, 11, len(entity)).astype(float)
    held_out = np.arange(len(entity)) % 4 == 1
    assert not held_out[-1]
    known = feature_leakage.deviations(
        feature_leakage.Entities(*(sums(entity[m], rating[m], entities + 1) for m in (~held_out, held_out)))
    )
    assert (len(known.chosen), known.enough) == (entities, enough)


def test_no_slope_without_entities_in_both_splits():
    one = feature_leakage.Sums(np.array([1.0, 0.0]), np.array([7.0, 0.0]), 49.0)
    other = feature_leakage.Sums(np.array([0.0, 1.0]), np.array([0.0, 7.0]), 49.0)
    known = feature_leakage.deviations(feature_leakage.Entities(one, other))
    assert not known.enough
    assert feature_leakage.slope(feature_leakage.number_guess(np.array([1.0, 2.0]), known), known) is None


@pytest.mark.parametrize(("difference", "has_slope"), [(1e-4, False), (1e-2, True)])
def test_no_slope_for_a_feature_that_says_what_the_training_means_say(difference, has_slope):
    """The feature is the training mean; the guess from the training means differs from it by as much, up and down."""
    train = np.repeat(np.linspace(5.0, 9.0, 20), 2)
    guess = train + difference * np.tile([1.0, -1.0], 20)
    held_out = train + np.tile([0.5, 0.5, -0.5, -0.5], 10)
    known = feature_leakage.Deviations(np.arange(40), train, held_out, guess, np.full(40, 10.0))
    assert (feature_leakage.slope(train, known) is not None) == has_slope
