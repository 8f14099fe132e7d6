"""The arithmetic of the published results, by hand and on data whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from widedeep.data.dataset_descriptions import read_dataset
from widedeep.evaluation.published import dump_files, mean_rating, score_as_label, unscored_entries
from widedeep.evaluation.published.common import OFFICIAL_HISTOGRAM, histogram_mean_sd


def test_the_official_histogram():
    ratings = np.repeat(np.arange(1, 11), np.array(OFFICIAL_HISTOGRAM) // 1000)
    assert histogram_mean_sd(OFFICIAL_HISTOGRAM) == pytest.approx((ratings.mean(), ratings.std()), abs=1e-3)


def test_zeros_among_ratings_by_hand():
    rating = np.array([8.0, 6.0, 0.0, 0.0, 0.0])
    assert unscored_entries.mixed_sd(0.6, mean=7.0, sd=1.0) == pytest.approx(rating.std())
    # (1 - u) + 49 u (1 - u) is 12.16 at u = 0.6, and at 0.3795918: the roots sum to 48 / 49.
    assert unscored_entries.shares_with_sd(float(rating.std()), 7.0, 1.0) == pytest.approx((48 / 49 - 0.6, 0.6))
    assert unscored_entries.shares_with_sd(5.0, 7.0, 1.0) == ()


def test_what_the_published_figures_imply():
    shares = unscored_entries.shares_with_sd(2.79 / 0.51**0.5, *histogram_mean_sd(OFFICIAL_HISTOGRAM))
    assert shares == pytest.approx((0.368, 0.584), abs=1e-3)
    for share in shares:
        sd = unscored_entries.mixed_sd(share, *histogram_mean_sd(OFFICIAL_HISTOGRAM))
        assert 1 - (2.79 / sd) ** 2 == pytest.approx(0.49)


def test_added_entries_are_new_and_as_many_as_wanted():
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, 50 * 400, 3000))
    user, item = pairs // 400, pairs % 400
    wanted = rng.integers(0, 40, 50)
    extra_user, extra_item = unscored_entries.add_unscored(user, item, wanted)
    extra = extra_user * 400 + extra_item
    assert len(np.unique(extra)) == len(extra)
    assert not np.isin(extra, pairs).any()
    assert (np.bincount(extra_user, minlength=50) >= wanted).all()


@pytest.fixture(scope="module")
def dump():
    """Ratings = 5 + user + anime + noise of sd 0.5; the anime's Score is a function of its id."""
    rng = np.random.default_rng(1)
    of_user, of_anime = rng.normal(0, 1, 200), rng.normal(0, 1, 100)
    user, item = np.divmod(rng.choice(20_000, 12_000, replace=False), 100)
    exact = 5.5 + of_user[user] + of_anime[item] + rng.normal(0, 0.5, 12_000)
    ratings = pd.DataFrame({"user_id": user, "anime_id": item, "rating": np.clip(np.round(exact), 1, 10).astype(int)})
    anime = pd.DataFrame({"anime_id": np.arange(100), "Score": 6 + of_anime, "Popularity": rng.permutation(100) + 1.0})
    anime["Rank"] = anime["Score"].rank(ascending=False)
    anime["Genres"] = np.where(of_anime > 0, "Action, Drama", "Comedy")
    return ratings, anime


def test_a_label_that_is_a_feature_has_no_error_and_says_nothing_of_ratings(dump):
    found = score_as_label.score_as_label(*dump)
    errors = found["label_rmse"]
    assert errors["genres_popularity_rank_score"] < 1e-4 < errors["genres_popularity"] < errors["constant"]
    assert found["label_rmse_by_anime_id_alone"] < 1e-4
    # The noise and the rounding to whole numbers: sqrt(0.25 + 1 / 12) = 0.577.
    assert found["honest"]["rmse"] == pytest.approx(0.577, abs=0.04)


@pytest.mark.parametrize("level", [1, 10])
def test_ratings_at_an_end_of_the_scale_are_predicted_without_error(dump, level):
    ratings, anime = dump
    honest = score_as_label.score_as_label(ratings.assign(rating=level), anime)["honest"]
    assert (honest["rmse"], honest["rmse_of_mean"], honest["rmse_if_scaled_to_0_1"]) == pytest.approx((0, 0, 0))


def test_the_error_of_the_mean_stands_beside_that_of_the_biases(dump):
    honest = score_as_label.score_as_label(*dump)["honest"]
    assert honest["rmse_of_mean"] == pytest.approx(dump[0]["rating"].std(), rel=0.05)  # 2,400 of them


def test_an_rmse_of_1_70_explains_less_than_nothing_of_the_official_ratings(dump):
    found = mean_rating.worse_than_the_mean(dump[0])["official_dump"]
    ratings = np.repeat(np.arange(1, 11), np.array(OFFICIAL_HISTOGRAM) // 1000)
    assert (found["mean"], found["rmse_of_mean"]) == pytest.approx((ratings.mean(), ratings.std()), abs=1e-3)
    assert found["r2_of_published"] == pytest.approx(1 - 1.70**2 / ratings.var(), abs=1e-3)
    assert found["r2_of_published"] < 0


def test_biases_reach_the_noise(dump):
    found = mean_rating.worse_than_the_mean(dump[0])["this_dump"]
    assert found["rmse_of_biases"] == pytest.approx(0.577, abs=0.04)
    assert found["rmse_of_mean"] == pytest.approx(dump[0]["rating"].std(), rel=0.05)  # 2,400 of them


def test_entries_counted_as_zero_hide_the_error_of_ratings(dump):
    ratings, _ = dump
    users = pd.DataFrame({"Mal ID": np.arange(200), "Total Entries": np.where(np.arange(200) % 2, 60, 90)})
    found = unscored_entries.unscored_as_zero(ratings, users)
    of_lists = found["list_lengths"]
    assert of_lists["sd"] == pytest.approx(of_lists["sd_by_formula"])
    assert of_lists["rmse_on_the_scored"] > 2 * of_lists["rmse_fitted_on_the_scored"]
    zeroed = ratings.assign(rating=np.where(ratings["user_id"] < 60, -1, ratings["rating"]))
    assert unscored_entries.has_unscored(zeroed)
    own = unscored_entries.unscored_as_zero(zeroed, users)["own_list"]
    assert own["unscored_share"] == pytest.approx((ratings["user_id"] < 60).mean())
    assert own["r2"] > 0.9  # who has no scores at all is told by the user alone


def test_generated_entries_have_the_implied_share_fall_unevenly_and_on_popular_anime():
    rng = np.random.default_rng(2)
    popularity = 1 / np.arange(1, 2001)
    drawn = np.concatenate(
        [user * 2000 + rng.choice(2000, 100, replace=False, p=popularity / popularity.sum()) for user in range(400)]
    )
    ratings = pd.DataFrame({"user_id": drawn // 2000, "anime_id": drawn % 2000, "rating": 8})
    users = pd.DataFrame({"Mal ID": np.arange(400), "Total Entries": 100})
    added = unscored_entries.unscored_entries(ratings, users, "share_of_the_published")
    share = unscored_entries.implied()[1][0]
    assert len(added) / (len(added) + len(ratings)) == pytest.approx(share, abs=0.02)
    # Shares of users come from a Beta distribution whose parameters sum to 1, so its sd is that of a coin / sqrt(2),
    # 0.34; none is above 0.9, and they are scaled to the wanted total. Parameters that sum to 3 would give 0.21.
    of_user = np.bincount(added["user_id"], minlength=400)
    assert 0.24 < (of_user / (of_user + 100)).std() < 0.34
    # Drawn uniformly, 5 % of them would be of the 100 most popular anime.
    assert (added["anime_id"] < 100).mean() > 0.15


def test_a_dump_gets_its_entries_without_a_score(tmp_path):
    source, target = tmp_path / "dump", tmp_path / "with_zeros"
    source.mkdir()
    ratings = "user_id,Username,anime_id,Anime Title,rating\n7,null,20,Naruto,8"  # without an end of line
    (source / dump_files.RATINGS_FILE).write_text(ratings)
    (source / dump_files.USERS_FILE).write_text("Mal ID,Username\n7,null\n")
    (source / dump_files.ANIME_FILE).write_text('anime_id,Name\n20,Naruto\n30,"Tokyo, Babel"\n')
    entries = pd.DataFrame({"user_id": [7], "anime_id": [30], "rating": [0]})
    dump_files.write_unscored(source, target, entries)
    assert (target / dump_files.RATINGS_FILE).read_text() == f'{ratings}\n7,null,30,"Tokyo, Babel",0\n'
    for name in (dump_files.USERS_FILE, dump_files.ANIME_FILE):
        assert (target / name).read_bytes() == (source / name).read_bytes()
    assert sorted(file.name for file in target.iterdir()) == sorted(file.name for file in source.iterdir())


def test_a_dump_gets_mean_scores_as_ratings(tmp_path):
    ratings = pd.DataFrame({"user_id": [1, 1, 2, 2], "anime_id": [20, 30, 20, 40], "rating": [8, 3, 10, 7]})
    anime = pd.DataFrame({"anime_id": [20, 30, 40, 50], "Score": [6.5, 8.0, np.nan, 4.0]})
    labels = score_as_label.mean_scores_as_ratings(ratings, anime)
    assert labels.values.tolist() == [[1, 20, 0.625], [1, 30, 1.0], [2, 20, 0.625]]
    source, target = tmp_path / "dump", tmp_path / "mean_scores"
    source.mkdir()
    (source / dump_files.USERS_FILE).write_text("Mal ID,Username\n1,a\n2,b\n")
    (source / dump_files.ANIME_FILE).write_text("anime_id,Name\n20,Naruto\n30,Bebop\n")
    dump_files.write_mean_scores(source, target, labels)
    pd.testing.assert_frame_equal(pd.read_csv(target / dump_files.RATINGS_FILE), labels)
    described = read_dataset(str(target / dump_files.DATASET_FILE))
    scale = described.ratings.scale
    assert (scale.lowest, scale.highest) == (0, 1)
    assert set(labels["rating"]) <= set(np.round(scale.levels, 4))
