"""The aggregates against pandas on a generated dump, and the page of dumps that state next to nothing."""

import numpy as np
import pandas as pd
import pytest

from tests.spark.dumps import ANIME_HEADER, BAD, GOOD, USERS_HEADER, write_dump
from tests.spark.preparation.test_prepare import dumped
from widedeep.common.errors import InputError
from widedeep.config.explore import ExploreConfig
from widedeep.reporting.sections import PAGE_MARK, exploration_html
from widedeep.schema.manifest import read_manifest
from widedeep.spark.exploration.aggregates import by_category
from widedeep.spark.exploration.explore import check_page, explore
from widedeep.spark.filesystem import Files


def run_explore(spark, **settings):
    return explore(spark, ExploreConfig.model_validate({k: str(v) for k, v in settings.items()}))


@pytest.fixture(scope="module")
def found(spark, dump, prepared):
    return run_explore(spark, input=dump, prepared=prepared, studios=7)


@pytest.fixture(scope="module")
def ratings(dump):
    return dumped(dump)


@pytest.fixture(scope="module")
def anime(dump, ratings):
    """The anime with the number, sum and mean of their ratings; `UNKNOWN` is NaN."""
    frame = pd.read_csv(dump / "anime-dataset-2023.csv", na_values=["UNKNOWN"], keep_default_na=False)
    sums = ratings.groupby("anime_id")["rating"].agg(n="count", total="sum").reset_index()
    return frame.merge(sums, how="left", on="anime_id").fillna({"n": 0, "total": 0})


@pytest.fixture(scope="module")
def users(dump, ratings):
    frame = pd.read_csv(dump / "users-details-2023.csv").rename(columns={"Mal ID": "user_id"})
    sums = ratings.groupby("user_id")["rating"].agg(n="count", total="sum").reset_index()
    return frame.merge(sums, how="outer", on="user_id").fillna({"n": 0, "total": 0})


def by(frame: pd.DataFrame, key: str) -> dict:
    """Value -> anime, ratings, mean; None for those without."""
    groups = frame.groupby(frame[key].astype(object).where(frame[key].notna(), "none"))
    return {
        None if value == "none" else value: (len(g), g["n"].sum(), g["total"].sum() / g["n"].sum())
        for value, g in groups
        if g["n"].sum()
    }


def listed(frame: pd.DataFrame) -> dict:
    rated = frame[frame["ratings"] > 0]
    return {row.value: (row.anime, row.ratings, pytest.approx(row.mean)) for row in rated.itertuples()}


def counts(frame: pd.DataFrame) -> dict[int, int]:
    return frame.loc[frame["n"] > 0, "n"].astype(int).value_counts().to_dict()


def test_totals(found, ratings, anime, users):
    assert (found.ratings, found.raters, found.rated_anime) == (
        40_000,
        ratings["user_id"].nunique(),
        ratings["anime_id"].nunique(),
    )
    assert (found.users, found.anime) == (len(users), len(anime))
    assert (found.mean, found.sd) == pytest.approx((ratings["rating"].mean(), ratings["rating"].std(ddof=0)))
    assert dict(found.histogram.values.tolist()) == ratings["rating"].value_counts().to_dict()


def test_tails_count_users_and_anime_by_their_ratings(found, anime, users):
    assert dict(found.user_tail.values.tolist()) == counts(users)
    assert dict(found.anime_tail.values.tolist()) == counts(anime)


def test_genres_types_and_studios(found, anime):
    for name, column, frame in (("genres", "Genres", found.genres), ("studios", "Studios", found.studios)):
        parts = anime.assign(value=anime[column].str.split(", ")).explode("value")
        expected = by(parts, "value")
        if name == "studios":
            assert found.studio_count == parts["value"].nunique()
            made = parts.groupby("value").agg(anime=("n", "size"), ratings=("n", "sum")).reset_index()
            most = made.sort_values(["anime", "ratings", "value"], ascending=[False, False, True])
            best = most["value"].tolist()[:7]
            assert frame["value"].tolist()[1:] == best
            expected = {value: expected[value] for value in (None, *best)}
        assert listed(frame) == expected
    assert listed(found.types) == by(anime, "Type")


def test_values_come_by_their_ratings_or_by_their_anime(spark):
    rows = [(["big"], 1, 5.0), (["big", "hit"], 2, 12.0), (["big"], 0, 0.0), (["hit"], 9, 80.0), ([], 3, 20.0)]
    rated = spark.createDataFrame(rows, "studios array<string>, n long, total double")
    by_ratings, by_anime = (by_category(rated, "studios", most).collect() for most in ("ratings", "anime"))
    assert [tuple(row)[:3] for row in by_ratings] == [(None, 1, 3), ("hit", 2, 11), ("big", 3, 3)]
    assert [tuple(row)[:3] for row in by_anime] == [(None, 1, 3), ("big", 3, 3), ("hit", 2, 11)]


def test_levels_and_scores_by_type(found, anime, ratings):
    typed = ratings.merge(anime[["anime_id", "Type"]]).fillna({"Type": "none"})
    levels = found.type_levels.fillna({"type": "none"}).set_index(["type", "rating"])["n"]
    assert levels.to_dict() == typed.groupby(["Type", "rating"]).size().to_dict()
    known = anime.dropna(subset=["Type", "Score"]).groupby("Type")["Score"]
    for row in found.score_quantiles.itertuples():
        expected = known.get_group(row.type).quantile([0.05, 0.25, 0.5, 0.75, 0.95])
        assert [row.q5, row.q25, row.q50, row.q75, row.q95] == pytest.approx(expected.tolist())
    assert set(found.score_quantiles["type"]) == set(known.groups)


def test_seasons_and_years(found, anime):
    premiere = anime["Premiered"].str.extract(r"(?P<season>\w+) (?P<year>\d{4})").dropna()
    expected = premiere.astype({"year": int}).groupby(["year", "season"]).size()
    assert found.premieres.set_index(["year", "season"])["anime"].to_dict() == expected.to_dict()
    year = anime["Aired"].str.extract(r"^\w+ \d+, (\d{4})")[0].dropna().astype(int)
    assert found.years.set_index("year")["anime"].to_dict() == year.value_counts().to_dict()
    rated = anime.loc[year.index].assign(year=year).groupby("year")["n"].sum()
    assert found.years.set_index("year")["ratings"].to_dict() == rated.to_dict()


def test_genders(found, users):
    for row in found.genders.itertuples():
        group = users[users["Gender"].isna() if row.gender is None else users["Gender"] == row.gender]
        assert (row.users, row.raters, row.ratings) == (len(group), (group["n"] > 0).sum(), group["n"].sum())
        mean = group["total"].sum() / group["n"].sum() if group["n"].sum() else np.nan
        assert row.mean == pytest.approx(mean, nan_ok=True)
    assert found.genders["users"].sum() == len(users)


def test_missing_values(found, anime, users, dump):
    raw = pd.read_csv(dump / "users-details-2023.csv", dtype=str, keep_default_na=False)
    assert found.missing["users"] == pytest.approx((raw == "").mean().to_dict())
    shares = found.missing["items"]
    for column in ("Score", "Genres", "Studios", "Premiered", "English name", "Licensors"):
        assert shares[column] == pytest.approx(anime[column].isna().mean())
    # `Unknown` is a source like any other in the dump, but says nothing; the words of the others differ
    assert shares["Source"] == pytest.approx(anime["Source"].isin(["Unknown"]).mean() + anime["Source"].isna().mean())
    assert shares["Synopsis"] == pytest.approx(anime["Synopsis"].str.startswith("No description").mean())
    assert shares["anime_id"] == shares["Name"] == 0


def test_the_refused_rows_are_those_that_prepare_quarantined(found, prepared):
    manifest = read_manifest(prepared)
    assert found.refused == {"ratings": manifest.ratings.quarantined, **manifest.quarantined}
    assert found.rows["ratings"] == manifest.ratings.read == found.ratings + sum(found.refused["ratings"].values())
    assert found.prepared.leaks == manifest.leaks
    examples = found.prepared.examples
    assert dict(zip(examples["reason"], examples["rows"], strict=True)) == manifest.ratings.quarantined
    assert set(examples["file"]) == {"users-score-2023.csv"}


def test_stated_means_are_compared_with_those_of_the_ratings(found, anime, users):
    for agreement, frame, column in zip(found.agreements, (anime, users), ("Score", "Mean Score"), strict=True):
        enough = frame[(frame["n"] >= 10) & frame[column].notna() & (frame[column] != 0)]
        own = enough["total"] / enough["n"]
        assert agreement.entities == len(enough) == agreement.bins["entities"].sum()
        assert agreement.correlation == pytest.approx(np.corrcoef(enough[column], own)[0, 1])
        assert agreement.difference == pytest.approx(np.sqrt(((enough[column] - own) ** 2).mean()))
        # A bin holds what is stated within an eighth of its middle.
        for row in agreement.bins.itertuples():
            inside = own[np.floor(enough[column] / 0.25) == np.floor(row.stated / 0.25)]
            assert len(inside) == row.entities
            assert row.low <= row.own <= row.high
            assert (inside <= row.own).mean() >= 0.5
            assert (inside >= row.own).mean() >= 0.5


def test_duplicates_of_a_pair_count_once(spark, tmp_path):
    found = run_explore(spark, input=write_dump(tmp_path / "raw"))
    assert found.ratings == len(GOOD)
    assert found.refused["ratings"]["duplicate_pair"] == 1
    assert found.refused["items"] == {"duplicate_id": 1, "id_not_a_number": 1}
    # The users 1, 2 and 9 have details, 3 has rated only; 9 has not.
    assert (found.users, found.raters) == (4, 3)
    assert found.histogram["rating"].tolist() == [3, 7, 8, 9, 10]  # the first rating of the pair, 9, is kept
    assert sum(found.refused["ratings"].values()) == len(BAD) + 1


def test_a_dump_that_states_nothing_but_ratings(spark, tmp_path):
    blank = ",".join(["UNKNOWN"] * (ANIME_HEADER.count(",")))
    raw = write_dump(tmp_path / "raw", ratings=GOOD, anime=[f"{i},{blank}" for i in (1, 5, 6)])
    (raw / "users-details-2023.csv").write_text(USERS_HEADER + "\n")
    found = run_explore(spark, input=raw)
    assert (found.users, found.raters, found.ratings) == (3, 3, len(GOOD))
    assert found.genders["gender"].tolist() == [None]
    assert {share for column, share in found.missing["items"].items() if column != "anime_id"} == {1.0}
    assert found.agreements[0].entities == 0
    text = exploration_html(found)
    for sentence in ("No user of this dump states a gender", "names a genre", "names a studio", "first aired"):
        assert sentence in text


def test_a_missing_file_column_or_preparation_is_named(spark, dump, tmp_path):
    with pytest.raises(InputError, match=r"users-score-2023\.csv does not exist"):
        run_explore(spark, input=tmp_path)
    with pytest.raises(InputError, match="was not prepared"):
        run_explore(spark, input=dump, prepared=tmp_path)
    raw = write_dump(tmp_path / "raw", ratings=["1,Xinil,777,Nowhere,5"])
    with pytest.raises(InputError, match=r"has no good row \(1 read\): \{'unknown_item': 1\}"):
        run_explore(spark, input=raw)


def test_only_a_page_of_ours_is_replaced(spark, tmp_path):
    files, page = Files(spark), tmp_path / "new" / "page.html"
    check_page(files, str(page), PAGE_MARK)
    for text in (f"{PAGE_MARK}\n1", f"{PAGE_MARK}\n2"):
        files.write_text(str(page), text)
        check_page(files, str(page), PAGE_MARK)
        assert page.read_text() == text
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    page.write_text("<html>somebody else's</html>")
    with pytest.raises(InputError, match="no page of this job"):
        check_page(files, str(page), PAGE_MARK)
    with pytest.raises(InputError, match="is a directory"):
        check_page(files, str(page.parent), PAGE_MARK)
