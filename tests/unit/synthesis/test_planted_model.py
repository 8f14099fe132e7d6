"""The planted model against references worked out another way."""

from statistics import NormalDist

import numpy as np
import pytest

from widedeep.common.errors import InputError
from widedeep.synthesis.anime import QUALITY_SD, draw_anime
from widedeep.synthesis.calibration import plant
from widedeep.synthesis.csv_text import csv_field, float_texts, join_fields, whole_text
from widedeep.synthesis.planted_model import HISTOGRAM, expectation_table
from widedeep.synthesis.ratings import draw_latent, draw_ratings
from widedeep.synthesis.sizes import USERS_PER_BLOCK, Sizes, most_ratings, plan_sizes
from widedeep.synthesis.users import draw_users, share_out


@pytest.fixture(scope="module")
def model():
    return plant(11, plan_sizes(150_000), noise=1.0)


def test_official_sizes_are_the_default_proportions():
    assert plan_sizes(24_325_191) == Sizes(24_325_191, 731_290, 270_033, 24_905)


def test_larger_dumps_grow_in_users_and_not_in_anime():
    sizes = plan_sizes(1_000_000_000)
    assert sizes.anime == 24_905
    assert sizes.users / sizes.raters == pytest.approx(2.708, abs=1e-3)
    assert sizes.ratings / sizes.raters == pytest.approx(90.08, abs=0.01)


@pytest.mark.parametrize("ratings", [1, 7, 1_000, 123_457, 24_325_191])
def test_quotas_of_the_blocks_add_up_exactly(ratings):
    sizes = plan_sizes(ratings)
    assert sizes.users_before(sizes.blocks) == sizes.users
    assert sizes.raters_before(sizes.blocks) == sizes.raters
    assert sizes.ratings_before(sizes.blocks) == ratings
    for block in range(min(sizes.blocks, 50)):  # everybody who rates can rate at least once
        raters = sizes.raters_before(block + 1) - sizes.raters_before(block)
        assert sizes.ratings_before(block + 1) - sizes.ratings_before(block) >= raters


def test_sizes_that_cannot_be_are_refused_with_the_remedy():
    with pytest.raises(InputError, match="raise --users or --anime"):
        plan_sizes(1_000_000, users=100, anime=600)


def test_share_out_by_hand():
    # 1 each, then 7 more as 4 : 2 : 1; nobody above 4: the 1 too many goes to the others as 2 : 1.
    assert share_out(10, np.array([4.0, 2.0, 1.0]), most=10).tolist() == [5, 3, 2]
    assert share_out(10, np.array([4.0, 2.0, 1.0]), most=4).tolist() == [4, 4, 2]


def test_share_out_keeps_its_bounds_and_its_sum():
    rng = np.random.default_rng(0)
    for total in (50, 777, 4_999, 5_000):
        shares = share_out(total, np.exp(3 * rng.standard_normal(50)), most=100)
        assert shares.sum() == total
        assert shares.min() >= 1
        assert shares.max() <= 100


def test_anime_are_standardised_over_ratings():
    anime = draw_anime(3, 2_000)
    assert anime.popularity.sum() == pytest.approx(1)
    assert (anime.popularity > 0).sum() == round(2_000 * 16_600 / 24_905)
    assert (anime.popularity * anime.quality).sum() == pytest.approx(0, abs=1e-9)
    assert (anime.popularity * anime.quality**2).sum() == pytest.approx(QUALITY_SD**2)
    assert (np.diff(anime.anime_id) > 0).all()
    assert anime.genres.any(1).all()
    assert sorted(anime.members) == list(range(2_000))
    assert (anime.franchise[anime.members] == np.repeat(np.arange(len(anime.first) - 1), np.diff(anime.first))).all()


def test_a_block_has_its_quota_and_distinct_pairs_of_rated_anime(model):
    for block in range(model.sizes.blocks):
        users, ratings = draw_users(model, block), draw_ratings(model, block)
        quota = model.sizes.ratings_before(block + 1) - model.sizes.ratings_before(block)
        pairs = ratings.user * len(model.anime) + ratings.item
        assert len(pairs) == quota
        assert (np.diff(pairs) > 0).all()
        assert (np.bincount(ratings.user, minlength=len(users.count)) == users.count).all()
        assert users.count.max() <= most_ratings(model.sizes.anime)
        assert (model.anime.popularity[ratings.item] > 0).all()
        assert (np.diff(users.user_id) > 0).all()


def test_a_block_depends_on_nothing_but_the_seed_and_its_number(model):
    again = plant(11, plan_sizes(150_000), noise=1.0)
    draw_ratings(again, 1)  # whatever was drawn before
    for one, two in zip(vars(draw_ratings(model, 0)).values(), vars(draw_ratings(again, 0)).values(), strict=True):
        assert (one == two).all()
    other = draw_ratings(plant(12, plan_sizes(150_000), noise=1.0), 0)
    assert not np.array_equal(other.rating, draw_ratings(model, 0).rating)


def test_the_histogram_is_the_official_one(model):
    drawn = np.concatenate([draw_ratings(model, block).rating for block in range(model.sizes.blocks)])
    shares = np.bincount(drawn, minlength=11)[1:] / len(drawn)
    assert shares == pytest.approx(np.array(HISTOGRAM) / sum(HISTOGRAM), abs=1e-3)
    assert drawn.mean() == pytest.approx(7.6229, abs=0.01)
    assert drawn.std() == pytest.approx(1.6615, abs=0.01)


def test_the_calibration_holds_where_it_is_a_sample():
    large = plant(4, plan_sizes(24_325_191), noise=1.0)
    blocks = np.linspace(3, large.sizes.blocks - 8, 24).astype(int)  # of 358
    drawn = np.concatenate([draw_ratings(large, int(block)).rating for block in blocks])
    assert drawn.mean() == pytest.approx(7.6229, abs=0.05)
    assert drawn.std() == pytest.approx(1.6615, abs=0.05)


def test_expected_rating_is_that_of_the_normal_distribution():
    thresholds = (-4.0, -3.5, -3.0, -2.5, -2.0, -1.0, 0.0, 1.0, 2.0)
    normal = NormalDist()
    for mean in (-5.3, -1.234, 0.5, 3.3):
        exact = 1 + sum(normal.cdf((mean - t) / 0.8) for t in thresholds)
        assert np.interp(mean, *expectation_table(thresholds, 0.8)) == pytest.approx(exact, abs=1e-5)


def test_the_noise_floor_is_what_redrawing_the_noise_gives(model):
    """E[rating | user, anime], by simulation: the same latent means, many draws of the noise."""
    latent = draw_latent(model, 0)
    mean = latent.bias + np.float32(model.taste_scale) * latent.taste
    rng = np.random.default_rng(0)
    some = slice(0, 2_000)
    redrawn = [
        1 + np.searchsorted(model.thresholds, mean[some] + rng.standard_normal(2_000), "right") for _ in range(400)
    ]
    expected = draw_ratings(model, 0).expected[some]
    assert np.mean(redrawn, axis=0) == pytest.approx(expected, abs=6 * 1.2 / 20)  # 6 standard errors
    assert np.mean(redrawn) == pytest.approx(expected.mean(), abs=0.006)


def test_taste_has_its_share_and_the_biases_leave_it_unexplained(model):
    latents = [draw_latent(model, block) for block in range(model.sizes.blocks)]
    taste = model.taste_scale * np.concatenate([latent.taste for latent in latents])
    assert taste.std() == pytest.approx(1, abs=1e-3)
    ratings = [draw_ratings(model, block) for block in range(model.sizes.blocks)]
    noise_floor = np.sqrt(np.mean(np.concatenate([(r.rating - r.expected) ** 2 for r in ratings])))
    assert 0.9 < noise_floor < 1.1
    assert 1.2 < model.bias_rmse < 1.4


def test_activity_has_a_long_tail():
    users = draw_users(plant(1, plan_sizes(2_000_000), noise=1.0), 3)
    count = users.count[users.count > 0]
    assert len(users.count) == USERS_PER_BLOCK
    assert np.median(count) == pytest.approx(45, abs=8)
    assert count.max() > 8 * count.mean()


def test_csv_text():
    import pyarrow as pa

    assert csv_field('say "hi", now') == '"say ""hi"", now"'
    assert csv_field("two\nlines") == '"two\nlines"'
    assert csv_field("plain") == "plain"
    numbers = pa.array([26.0, 8.56, None, 914193.0])
    assert float_texts(numbers).to_pylist() == ["26.0", "8.56", None, "914193.0"]
    lines = join_fields(pa.array(["a", "日本", None]), pa.array(["\n"] * 3))
    assert whole_text(lines) == "a\n日本\n\n"
    assert whole_text(lines.slice(1, 1)) == "日本\n"
