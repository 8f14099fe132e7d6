"""What check-data finds in files whose faults are known, and whether prepare takes what it proposes."""

import pytest

from tests.raw_shapes import ITEMS, SHAPES, USERS
from tests.spark.dumps import ANIME, BAD, GOOD, write_dump
from widedeep.common.errors import InputError
from widedeep.config.check_data import CheckDataConfig
from widedeep.config.prepare import PrepareConfig
from widedeep.data.propose_dataset import propose_dataset
from widedeep.spark.preparation.check_data import check_data, conclude, main
from widedeep.spark.preparation.check_summary import show_report
from widedeep.spark.preparation.prepare import prepare

SMALL = """
[ids]
type = "number"
[ratings]
path = "r.csv"
user = "user"
item = "item"
rating = "rating"
"""


def check(spark, directory, dataset="mal2023", **settings):
    config = CheckDataConfig.model_validate({"input": str(directory), "dataset": str(dataset), **settings})
    return check_data(spark, config, str(dataset))


@pytest.fixture(scope="module")
def tiny(spark, tmp_path_factory):
    return check(spark, write_dump(tmp_path_factory.mktemp("tiny")), max_bad_share=1.0)


def roles_of(report, kind):
    (file,) = (file for file in report.files if file.kind == kind)
    return {role.role: role for role in file.roles}


def test_refused_rows_are_counted_with_an_example_each(tiny):
    ratings = tiny.files[0]
    assert (ratings.rows, ratings.whole) == (len(GOOD) + len(BAD) + 1, True)
    counts = {refused.reason: refused.rows for refused in ratings.refused}
    assert counts == {**{reason: list(BAD.values()).count(reason) for reason in BAD.values()}, "duplicate_pair": 1}
    for refused in ratings.refused:
        if refused.reason != "duplicate_pair":
            assert BAD[refused.example.replace('""', "")] == refused.reason
    items = {refused.reason: refused.rows for refused in tiny.files[1].refused}
    assert items == {"duplicate_id": 1, "id_not_a_number": 1}
    assert tiny.problems == ()


def test_columns_are_counted_as_missing_or_not_understood(tiny):
    ratings, items, users = (roles_of(tiny, kind) for kind in ("ratings", "items", "users"))
    rows = len(GOOD) + len(BAD) + 1 - 2  # two rows have another number of fields
    # `NaN` counts as missing.
    assert ratings["rating"].missing == pytest.approx(2 / rows)
    assert (ratings["rating"].not_understood, ratings["rating"].odd_example) == (pytest.approx(1 / rows), "good")
    assert ratings["user"].not_understood == pytest.approx(2 / rows)
    assert (items["episodes"].missing, items["episodes"].not_understood) == (0, 1 / len(ANIME))
    assert items["episodes"].odd_example == "many"
    assert items["genres"].missing == 3 / len(ANIME)
    assert (items["id"].column, items["id"].type, items["id"].odd_example) == ("anime_id", "number", "x7")
    assert items["duration"].type == "duration"
    assert users["location"].example in ("California", 'Paris, "France"')
    assert users["gender"].missing == pytest.approx(1 / 3)


def test_the_scale_is_that_of_the_ratings_without_marks(tiny):
    assert tiny.scale is not None
    # 2, 3, 5, 7, 7.5, 8, 9, 10, 11; 0 and -1 are marks
    assert tiny.scale == (2.0, 11.0, 0.5, 9)


def test_all_that_was_found_is_printed(tiny, capsys):
    show_report(tiny)
    said = capsys.readouterr().out
    assert "unknown_item" in said
    assert "many" in said
    assert said.count("(left out)") == 4
    assert "left out because they contain test ratings: Score, Rank, Scored By, Mean Score" in said


def test_a_sample_has_the_first_rows_and_all_items(spark, tmp_path):
    write_dump(tmp_path, ratings=["1,a,6,t,5"] * 1 + GOOD)
    report = check(spark, tmp_path, rows=2)
    # Anime 5 and 6 stand behind the first rows of their file.
    assert [(file.rows, file.whole) for file in report.files] == [(2, False)] * 3
    assert report.files[0].refused == ()
    assert report.scale == (5.0, 9.0, 4.0, 2)


def test_too_many_bad_rows_and_missing_columns_are_told_together(spark, tmp_path):
    write_dump(tmp_path)
    users = tmp_path / "users-details-2023.csv"
    users.write_text(users.read_text().replace("Gender", "Sex"))
    report = check(spark, tmp_path)
    assert len(report.problems) == 3
    assert "['Gender'] missing" in report.problems[0]
    assert "users-score-2023.csv: 12 of 18 rows are bad" in report.problems[1]
    assert "anime-dataset-2023.csv: 2 of 5 rows are bad" in report.problems[2]
    with pytest.raises(InputError, match=r"prepare would refuse this data set: .*'Gender'"):
        conclude(report)


def test_repeated_pairs_are_a_problem_only_where_they_are_refused(spark, tmp_path):
    (tmp_path / "r.csv").write_text("user,item,rating\n1,1,5\n1,1,4\n2,1,3\n")
    (tmp_path / "last.toml").write_text(SMALL)
    (tmp_path / "refuse.toml").write_text(f'{SMALL}duplicates = "refuse"\n')
    kept = check(spark, tmp_path, tmp_path / "last.toml", max_bad_share=0.5)
    assert (kept.problems, kept.files[0].refused[0]) == ((), ("duplicate_pair", 1, "1,1,5"))
    refused = check(spark, tmp_path, tmp_path / "refuse.toml", max_bad_share=0.5)
    assert "ratings.duplicates" in refused.problems[0]


def test_optional_files_may_be_missing_and_others_not(spark, tmp_path, capsys):
    (tmp_path / "r.csv").write_text("user,item,rating\n1,1,5\n2,1,3\n")
    (tmp_path / "d.toml").write_text(f'{SMALL}[items]\npath = "i.csv"\nid = "item"\noptional = true\n')
    report = check(spark, tmp_path, tmp_path / "d.toml")
    assert (report.missing, report.problems) == (("i.csv",), ())
    conclude(report)
    said = capsys.readouterr().out
    assert "not there" in said
    assert said.endswith("prepare would take these files\n")
    (tmp_path / "d.toml").write_text(f'{SMALL}[items]\npath = "i.csv"\nid = "item"\n')
    with pytest.raises(InputError, match=r"i\.csv does not exist"):
        check(spark, tmp_path, tmp_path / "d.toml")


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_proposed_passes_the_check(spark, shape, tmp_path):
    directory = SHAPES[shape](tmp_path)
    description = tmp_path / "proposed.toml"
    main(["--input", str(directory), "--write", str(description)])
    assert description.read_text() == propose_dataset(directory, 10_000)
    report = check(spark, directory, description)
    assert report.problems == ()
    assert [role for file in report.files for role in file.roles if role.not_understood] == []
    reasons = {refused.reason for file in report.files for refused in file.refused}
    assert reasons == ({"unscored"} if shape == "parquet" else set())


@pytest.mark.parametrize("shape", ["colons", "typed_header", "json", "implicit"])
def test_prepare_takes_what_is_proposed(spark, shape, tmp_path):
    (tmp_path / "raw").mkdir()
    description = tmp_path / "proposed.toml"
    main(["--input", str(SHAPES[shape](tmp_path / "raw")), "--write", str(description)])
    settings = {"input": str(tmp_path / "raw"), "output": str(tmp_path / "out"), "dataset": str(description)}
    manifest = prepare(spark, PrepareConfig.model_validate(settings))
    assert (manifest.ratings.read, manifest.ratings.quarantined) == (USERS * ITEMS // 2, {})
    assert (manifest.users.rows, manifest.items.rows) == (USERS, ITEMS)
    assert manifest.ratings.scale.implicit == (shape == "implicit")
