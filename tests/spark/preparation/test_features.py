import numpy as np
import pytest
from pyspark.sql import functions as F
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tests.builders import TEN_POINTS
from widedeep.config.prepare import FeatureConfig
from widedeep.spark.preparation.numeric_columns import fit_numeric, raw_name, scaled
from widedeep.spark.preparation.rating_statistics import (
    fit_rank_regression,
    rating_statistics,
    with_ranks,
    with_statistics,
)
from widedeep.spark.preparation.text_parsers import (
    calendar_year,
    identifier,
    minutes,
    number,
    timestamp_year,
    value_list,
)
from widedeep.spark.preparation.vocabularies import category_id_list, category_ids, fit_vocabularies


def parsed(spark, parse, texts):
    frame = spark.createDataFrame([(n, t) for n, t in enumerate(texts)], "n int, text string")
    return [r["x"] for r in frame.select("n", parse(F.col("text")).alias("x")).orderBy("n").collect()]


def test_durations_in_minutes(spark):
    found = parsed(spark, minutes, ["24 min per ep", "1 hr 55 min", "2 hr", "30 sec per ep", "0 min", "Unknown", None])
    assert found == [24.0, 115.0, 120.0, 0.5, None, None, None]


def test_dates_in_years(spark):
    found = parsed(spark, calendar_year, ["Oct 20, 1999", "Oct 1999", "1999", "?", "Not available", None])
    wrong = parsed(spark, calendar_year, ["Feb 30, 2000", "Okt 3, 1999", "Oct 20 1999", "20 Oct, 1999", "anF 1999"])
    assert found == pytest.approx([1999 + 292 / 366, 1999 + 273 / 366, 1999.0, None, None, None])
    assert wrong == [None] * 5


def test_iso_dates_with_an_offset_in_years(spark):
    found = parsed(spark, timestamp_year, ["2004-11-05T00:00:00+00:00", "", "yesterday"])
    assert found == [pytest.approx(2004 + 309 / 366), None, None]


def test_multi_values_are_sorted_and_distinct(spark):
    found = parsed(spark, value_list, ["Sci-Fi, Action, Sci-Fi", "UNKNOWN", "", "Drama"])
    assert found == [["Action", "Sci-Fi"], [], [], ["Drama"]]


@pytest.fixture(scope="module")
def table(spark):
    """Six entities, the last two without training ratings: nothing may be fitted on them."""
    rows = [(0, 3, "3", "a"), (1, 1, "UNKNOWN", "b"), (2, 5, "9", "b"), (3, 2, "many", None)]
    rows += [(4, 0, "1000", "c"), (5, 0, None, "a")]
    frame = spark.createDataFrame(rows, "key int, train_ratings int, raw string, kind string")
    return frame.withColumn(raw_name("X"), F.col("raw")).withColumn("x", number(F.col("raw")))


@pytest.mark.parametrize(
    ("scale", "scaler"), [("minmax", MinMaxScaler()), ("standard", StandardScaler())], ids=["minmax", "standard"]
)
@pytest.mark.parametrize(("impute", "fill"), [("mean", 6.0), ("median", 6.0)])
def test_imputation_and_scaling_as_sklearn_does_on_the_trained_entities(table, scale, scaler, impute, fill):
    fitted = fit_numeric(table, ["x"], FeatureConfig(impute=impute, scale=scale), {"x": "X"}).columns["x"]
    assert (fitted.fill, fitted.missing, fitted.unparsed) == (fill, 3, 1)
    scaler.fit(np.array([[3.0], [fill], [9.0], [fill]]))
    expected = scaler.transform(np.array([[3.0], [fill], [9.0], [fill], [1000.0], [fill]]))[:, 0]
    rows = table.select("key", scaled("x", fitted)).orderBy("key").collect()
    assert [r["x"] for r in rows] == pytest.approx(expected.tolist(), rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "fills"),
    [
        ({}, (4.0, 4.0)),
        ({"impute": "mean"}, (6.0, 6.0)),
        ({"impute": "median"}, (4.0, 4.0)),
        ({"mean_columns": ["y"]}, (4.0, 6.0)),
    ],
    ids=str,
)
def test_the_mean_and_the_median_differ_and_columns_may_differ_in_them(spark, settings, fills):
    rows = [(1, 3.0), (2, 4.0), (3, 11.0), (4, None), (0, 1000.0)]
    frame = spark.createDataFrame(rows, "train_ratings int, x double").withColumn("y", F.col("x"))
    fitted = fit_numeric(frame, ["x", "y"], FeatureConfig(**settings), {}).columns
    assert (fitted["x"].fill, fitted["y"].fill) == fills
    assert tuple({4.0: "median", 6.0: "mean"}[fill] for fill in fills) == (fitted["x"].impute, fitted["y"].impute)
    filled = frame.select(*(scaled(name, fitted[name]) for name in ("x", "y"))).collect()[3]
    assert tuple(filled) == pytest.approx([(fill - 3) / 8 for fill in fills])


def test_a_constant_column_becomes_zeros(spark, table):
    frame = table.withColumn("x", F.lit(4.0))
    for scale in ("minmax", "standard"):
        fitted = fit_numeric(frame, ["x"], FeatureConfig(scale=scale), {}).columns["x"]
        assert {r["x"] for r in frame.select(scaled("x", fitted)).collect()} == {0.0}


def test_categories_know_missing_and_untrained_values(table):
    vocabulary = fit_vocabularies(table, ["kind"], [], {}, 1)["kind"]
    assert vocabulary == ("", "<other>", "b", "a")  # c is of an untrained entity
    ids = [r["kind"] for r in table.orderBy("key").select(category_ids("kind", vocabulary)).collect()]
    assert ids == [3, 2, 2, 0, 1, 3]
    assert fit_vocabularies(table, ["kind"], [], {"kind": 1}, 1) == {"kind": ("", "<other>", "b")}


def test_multi_hot_ids_leave_unknown_values_out(spark):
    rows = [(1, ["a", "b"]), (2, ["b"]), (0, ["b", "z"]), (3, [])]
    frame = spark.createDataFrame(rows, "train_ratings int, g array<string>")
    frame = frame.withColumn("kind", F.lit("once"))
    assert fit_vocabularies(frame, ["kind"], ["g"], {}, 1) == {
        "kind": ("", "<other>", "once"),
        "g": ("b", "a"),
    }
    assert fit_vocabularies(frame, ["kind"], ["g"], {}, 2)["g"] == ("b",)
    assert fit_vocabularies(frame, ["kind"], ["g"], {"g": 1}, 1)["g"] == ("b",)
    ids = frame.orderBy("train_ratings").select(category_id_list("g", ("b", "a"))).collect()
    assert [r["g"] for r in ids] == [[0], [0, 1], [0], []]


def test_statistics_damped_means_and_ranks_by_hand(spark):
    train = spark.createDataFrame([(0, 10.0), (0, 8.0), (1, 4.0), (2, 6.0), (2, 6.0)], "item int, rating float")
    items = spark.createDataFrame([(0,), (1,), (2,), (3,)], "item int")
    statistics = rating_statistics(train, "item", mean=6.8, prior=2.0, scale=TEN_POINTS)
    rows = with_ranks(with_statistics(items, statistics, "item", 6.8), 2).orderBy("item").collect()
    assert [r["train_ratings"] for r in rows] == [2, 1, 2, 0]
    assert [r["train_mean"] for r in rows] == pytest.approx([9.0, 4.0, 6.0, 6.8])
    assert [r["damped_mean"] for r in rows] == pytest.approx([31.6 / 4, 17.6 / 3, 25.6 / 4, 6.8])
    assert [r["popularity"] for r in rows] == [1, 3, 2, 4]
    assert [r["rank"] for r in rows] == [1, None, 2, None]


def test_rank_regression_is_least_squares(spark):
    rng = np.random.default_rng(1)
    popularity = np.arange(1.0, 201.0)
    rank = 0.7 * popularity + 12 + rng.normal(0, 5, 200)
    rows = [(float(p), float(r), 3) for p, r in zip(popularity, rank, strict=True)]
    rows += [(201.0, None, 3), (1.0, 1e6, 0)]  # not ranked; not trained
    fitted = fit_rank_regression(spark.createDataFrame(rows, "popularity double, rank double, train_ratings int"))
    reference = LinearRegression().fit(popularity[:, None], rank)
    assert fitted == pytest.approx({"slope": reference.coef_[0], "intercept": reference.intercept_}, rel=1e-6)


NUMBERS = {"7": 7, "26.0": 26, " 7 ": 7, "+5": 5, "-1": -1, "1e3": 1000, ".5": 0.5, "5.": 5, "00012": 12, "1E-2": 0.01}
DAMAGED = (
    "8d",
    "8f",
    "8D",
    "0x1p3",
    "0x10",
    "7\0",
    "\x007",
    "7\x01",
    "1_000",
    "1,000",
    "--1",
    "1e",
    "e3",
    ".",
    "",
    "7 8",
)
NONE = ("NaN", "nan", "Infinity", "-inf", "1e400", "UNKNOWN")


def test_numbers_have_one_grammar(spark):
    """Java's own takes a suffix, hexadecimal digits and zero bytes, all of which are signs of damage."""
    texts = [*NUMBERS, *DAMAGED, *NONE]
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    found = frame.select("text", number(F.col("text")).alias("number"), identifier(F.col("text")).alias("id")).collect()
    assert {row["text"]: row["number"] for row in found if row["number"] is not None} == NUMBERS
    ids = {text: int(value) for text, value in NUMBERS.items() if value >= 0 and value == int(value)}
    assert {row["text"]: row["id"] for row in found if row["id"] is not None} == ids


def test_identifiers_are_exact_up_to_what_a_double_holds(spark):
    texts = {str(2**53 - 1): 2**53 - 1, str(2**53): None, "9007199254740991.0": 2**53 - 1, "99999999999999999999": None}
    frame = spark.createDataFrame([(text,) for text in texts], "text string")
    found = {row["text"]: row["id"] for row in frame.select("text", identifier(F.col("text")).alias("id")).collect()}
    assert found == texts
