"""The generated dump, read back by pandas: counts, quirks, leaks, and the noise floor."""

import json

import numpy as np
import pandas as pd
import pytest

from widedeep.common.errors import InputError
from widedeep.config.synthesize import SynthesizeConfig
from widedeep.spark.synthesis.synthesize import part_count, synthesize
from widedeep.synthesis.calibration import plant
from widedeep.synthesis.dump_text import FAULTS
from widedeep.synthesis.ratings import draw_latent
from widedeep.synthesis.sizes import plan_sizes
from widedeep.synthesis.users import draw_users

SIZES = {"ratings": 150_000, "seed": 21}
BAD = 0.002
TEXT = {"dtype": str, "keep_default_na": False}
CSV = ("users-score-2023.csv", "users-details-2023.csv", "anime-dataset-2023.csv")
HEADERS = {
    "users-score-2023.csv": "user_id,Username,anime_id,Anime Title,rating",
    "users-details-2023.csv": "Mal ID,Username,Gender,Birthday,Location,Joined,Days Watched,Mean Score,Watching,"
    "Completed,On Hold,Dropped,Plan to Watch,Total Entries,Rewatched,Episodes Watched",
    "anime-dataset-2023.csv": "anime_id,Name,English name,Other name,Score,Genres,Synopsis,Type,Episodes,Aired,"
    "Premiered,Status,Producers,Licensors,Studios,Source,Duration,Rating,Rank,Popularity,Favorites,Scored By,"
    "Members,Image URL",
}


@pytest.fixture(scope="module")
def made(spark, tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "raw"
    synthesize(spark, SynthesizeConfig(output=str(path), **SIZES))
    return path


@pytest.fixture(scope="module")
def ratings(made):
    frame = pd.read_csv(made / CSV[0], **TEXT)
    return frame.astype({"user_id": int, "anime_id": int, "rating": int})


@pytest.fixture(scope="module")
def users(made):
    return pd.read_csv(made / CSV[1], **TEXT)


@pytest.fixture(scope="module")
def anime(made):
    return pd.read_csv(made / CSV[2], **TEXT)


@pytest.fixture(scope="module")
def planted(made):
    return json.loads((made / "planted.json").read_text())


def test_columns_and_counts(made, ratings, users, anime):
    for name, header in HEADERS.items():
        assert (made / name).read_text(encoding="utf-8").split("\n", 1)[0] == header
    sizes = plan_sizes(SIZES["ratings"])
    assert (len(ratings), len(users), len(anime)) == (sizes.ratings, sizes.users, sizes.anime)
    assert ratings.user_id.nunique() == sizes.raters
    assert not ratings.duplicated(["user_id", "anime_id"]).any()
    assert ratings.user_id.is_monotonic_increasing
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["sizes"] == {**vars(sizes), "rated_anime": round(sizes.anime * 16_600 / 24_905)}
    for name in CSV:
        assert manifest["files"][name]["bytes"] == (made / name).stat().st_size
    assert [manifest["files"][name]["rows"] for name in CSV] == [len(ratings), len(users), len(anime)]


def test_ids_and_names_agree_between_the_files(ratings, users, anime):
    names = dict(zip(users["Mal ID"].astype(int), users["Username"], strict=True))
    titles = dict(zip(anime["anime_id"].astype(int), anime["Name"], strict=True))
    assert (ratings["user_id"].map(names) == ratings["Username"]).all()
    assert (ratings["anime_id"].map(titles) == ratings["Anime Title"]).all()
    assert users["Username"].is_unique


def test_ratings_have_the_official_distribution(ratings, planted):
    assert ratings.rating.mean() == pytest.approx(7.62, abs=0.05)
    assert ratings.rating.std() == pytest.approx(1.66, abs=0.05)
    counted = ratings.rating.value_counts().sort_index()
    assert planted["histogram"] == {str(level): count for level, count in counted.items()}
    assert planted["mean"] == pytest.approx(ratings.rating.mean(), abs=1e-6)
    assert planted["sd"] == pytest.approx(ratings.rating.std(ddof=0), abs=1e-6)


def test_quirks_of_the_users(ratings, users):
    assert {"null", "NA"} <= set(ratings["Username"])
    assert (users["Username"] == "").sum() == 1
    ids = users["Mal ID"].astype(int)
    assert ids.is_monotonic_increasing
    assert ids.iloc[-1] > 1.5 * len(ids)
    for column, share in (("Gender", 0.693), ("Birthday", 0.770), ("Location", 0.791)):
        assert (users[column] == "").mean() == pytest.approx(share, abs=0.03)
    for column in users.columns[6:]:
        assert 1 <= (users[column] == "").sum() <= 8
    known = users[users["Total Entries"] != ""]
    assert known["Total Entries"].str.fullmatch(r"\d+\.0").all()
    date = r"\d{4}-\d\d-\d\dT00:00:00\+00:00"
    assert users["Joined"].str.fullmatch(date).all()
    assert users["Birthday"].str.fullmatch(f"({date})?").all()
    assert users["Location"].str.contains(",").any()
    assert users["Location"].str.contains('"').any()


def test_quirks_of_the_anime(anime):
    unknown = (anime == "UNKNOWN").mean()
    assert unknown["Score"] == pytest.approx(0.37, abs=0.01)
    assert unknown["Genres"] == pytest.approx(0.198, abs=0.01)
    assert unknown["Episodes"] == pytest.approx(0.025, abs=0.015)
    assert unknown["Premiered"] > 0.6
    assert (anime["Source"] == "Unknown").mean() == pytest.approx(0.15, abs=0.04)
    assert (anime["Aired"] == "Not available").any()
    assert (anime["Duration"] == "Unknown").any()
    assert anime.loc[anime["Episodes"] != "UNKNOWN", "Episodes"].str.fullmatch(r"\d+\.0").all()
    assert anime.loc[anime["Scored By"] != "UNKNOWN", "Scored By"].str.fullmatch(r"\d+\.0").all()
    premiered = anime.loc[anime["Premiered"] != "UNKNOWN", "Premiered"]
    assert premiered.str.fullmatch(r"(winter|spring|summer|fall) \d{4}").all()
    assert anime["Synopsis"].str.contains("\n\n").any()
    assert anime["Synopsis"].str.contains('"').any()
    assert anime["Name"].str.contains(",").any()
    assert anime["Name"].str.contains('"').any()
    assert anime["Name"].duplicated().any()
    assert anime["Other name"].str.contains("[\u3040-\u30ff\u4e00-\u9fff]").any()


def test_mean_score_leaks_all_ratings_of_the_user(ratings, users):
    means = ratings.groupby("user_id")["rating"].mean().round(2)
    told = users[users["Mean Score"] != ""]
    expected = told["Mal ID"].astype(int).map(means).fillna(0.0)
    assert told["Mean Score"].astype(float).to_numpy() == pytest.approx(expected.to_numpy(), abs=0.0051)


def test_score_rank_and_votes_of_the_anime_hang_together(ratings, anime):
    seen = ratings.groupby("anime_id")["rating"].agg(["mean", "size"])
    told = anime[anime["Score"] != "UNKNOWN"]
    told = told.set_index(told["anime_id"].astype(int))
    both = told.join(seen[seen["size"] >= 100], how="inner")
    score = both["Score"].astype(float)
    assert len(both) > 100
    assert (score - both["mean"]).abs().mean() < 0.12
    assert score.corr(both["mean"]) > 0.95
    votes = both["Scored By"].astype(float)
    assert votes.corr(both["size"], method="spearman") > 0.9
    ranked = told[told["Rank"] != "UNKNOWN"]
    order = ranked["Rank"].astype(float)
    assert order.is_unique
    assert ranked["Score"].astype(float)[order.sort_values().index].is_monotonic_decreasing
    members = anime["Members"].astype(int)
    assert members[anime["Popularity"].astype(int).sort_values().index].is_monotonic_decreasing


def test_the_noise_floor_follows_from_the_files(ratings, users, anime, planted):
    """The latent means anew, the thresholds from planted.json, and the normal distribution by torch."""
    import torch

    model = plant(SIZES["seed"], plan_sizes(SIZES["ratings"]), noise=1.0)
    pairs = []
    for block in range(model.sizes.blocks):
        latent = draw_latent(model, block)
        mean = latent.bias + np.float32(planted["parameters"]["taste_scale"]) * latent.taste
        user_id, anime_id = draw_users(model, block).user_id[latent.user], model.anime.anime_id[latent.item]
        pairs.append(pd.DataFrame({"user_id": user_id, "anime_id": anime_id, "latent": mean}))
    both = ratings.merge(pd.concat(pairs), on=["user_id", "anime_id"], how="outer", validate="1:1")
    assert len(both) == len(ratings)
    cuts = torch.tensor(planted["parameters"]["thresholds"], dtype=torch.float64)
    gap = torch.tensor(both["latent"].to_numpy(np.float64))[:, None] - cuts
    expected = 1 + torch.special.ndtr(gap / planted["noise_sd"]).sum(1).numpy()
    noise_floor = np.sqrt(np.mean((both["rating"] - expected) ** 2))
    assert planted["rmse_floor"] == pytest.approx(noise_floor, abs=2e-6)


def test_the_same_bytes_whatever_the_number_of_tasks(spark, made, tmp_path):
    again = tmp_path / "again"
    assert part_count(plan_sizes(SIZES["ratings"])) == 3
    synthesize(spark, SynthesizeConfig(output=str(again), **SIZES), parts=1)
    for name in (*CSV, "planted.json"):
        assert (again / name).read_bytes() == (made / name).read_bytes()


def test_a_large_dump_is_directories_of_parts_with_a_header_each(spark, made, tmp_path, monkeypatch):
    monkeypatch.setattr("widedeep.spark.synthesis.synthesize.MOST_RATINGS_IN_ONE_FILE", 0)
    large = tmp_path / "large"
    manifest = synthesize(spark, SynthesizeConfig(output=str(large), **SIZES))
    for name in CSV[:2]:
        parts = sorted((large / name).glob("part-*"))
        assert len(parts) == 3
        texts = [part.read_text(encoding="utf-8").split("\n", 1) for part in parts]
        assert {header for header, _ in texts} == {HEADERS[name]}
        whole = f"{HEADERS[name]}\n" + "".join(body for _, body in texts)
        assert whole == (made / name).read_text(encoding="utf-8")
        assert manifest["files"][name]["bytes"] == sum(part.stat().st_size for part in parts)


def test_broken_rows_are_as_many_as_told_and_leave_the_good_ones_alone(spark, made, tmp_path):
    broken = tmp_path / "broken"
    manifest = synthesize(spark, SynthesizeConfig(output=str(broken), bad_rows=BAD, **SIZES))
    good = (made / CSV[0]).read_text(encoding="utf-8").splitlines()
    mixed = (broken / CSV[0]).read_text(encoding="utf-8").splitlines()
    faulty = round(BAD * SIZES["ratings"])
    assert len(mixed) == len(good) + faulty
    rest = iter(mixed)
    assert all(line in rest for line in good)  # in the same order
    assert manifest["bad_rows"] == {name: faulty // 10 * FAULTS.count(name) for name in FAULTS}
    assert manifest["files"][CSV[0]]["rows"] == len(mixed) - 1
    assert (broken / "planted.json").read_bytes() == (made / "planted.json").read_bytes()


def test_entries_without_a_score_are_zeros_in_place_of_ratings(spark, made, ratings, tmp_path):
    listed = tmp_path / "listed"
    manifest = synthesize(spark, SynthesizeConfig(output=str(listed), unscored=0.37, **SIZES))
    entries = pd.read_csv(listed / CSV[0], **TEXT).astype({"user_id": int, "anime_id": int, "rating": int})
    scored = entries["rating"] > 0
    assert entries[["user_id", "anime_id"]].equals(ratings[["user_id", "anime_id"]])
    assert entries["rating"][scored].equals(ratings["rating"][scored])
    planted = json.loads((listed / "planted.json").read_text())
    assert (planted["ratings"], planted["unscored"]) == (scored.sum(), (~scored).sum())
    assert manifest["files"][CSV[0]]["rows"] == len(entries)
    # The mean of 1,665 users' habits, weighted by their numbers of ratings; a habit has an sd of 0.34.
    assert (~scored).mean() == pytest.approx(0.37, abs=0.05)
    users = pd.read_csv(listed / CSV[1], **TEXT).set_index("Mal ID")["Mean Score"]
    means = entries[scored].groupby("user_id")["rating"].mean()
    shown = users[means.index.astype(str)].replace("", np.nan).astype(float).to_numpy()
    assert np.nanmax(np.abs(shown - means.to_numpy())) <= 0.0051


def test_sizes_of_ones_own(spark, tmp_path):
    small = tmp_path / "small"
    synthesize(spark, SynthesizeConfig(output=str(small), ratings=5_000, users=100, anime=700))
    lengths = [len(pd.read_csv(small / name, **TEXT)) for name in CSV]
    assert lengths == [5_000, 100, 700]
    synthesize(
        spark, SynthesizeConfig(output=str(small), ratings=5, users=10_000, overwrite=True)
    )  # most blocks rate nothing
    lines = (small / CSV[0]).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 5
    assert all(lines)


def test_foreign_directories_and_impossible_sizes_are_refused(spark, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="no command of ours has written it"):
        synthesize(spark, SynthesizeConfig(output=str(tmp_path), ratings=1_000))
    with pytest.raises(InputError, match="raise --users or --anime"):
        synthesize(spark, SynthesizeConfig(output=str(tmp_path / "new"), ratings=1_000_000, users=100))
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_what_is_broadcast_does_not_grow_with_the_ratings():
    """What is broadcast is as large for 1e10 ratings as for the official dump."""
    import pickle

    official, huge = (plan_sizes(n) for n in (24_325_191, 10_000_000_000))
    assert huge.blocks > 100_000
    sizes = [len(pickle.dumps(plant(1, size, noise=1.0))) for size in (official, huge)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)
