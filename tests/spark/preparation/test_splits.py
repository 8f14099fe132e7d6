import pytest
from pyspark.sql import functions as F

from widedeep.config.prepare import SplitConfig
from widedeep.spark.preparation.splits import assign_split


@pytest.fixture(scope="module")
def ratings(spark):
    """200 users x 50 anime, with two strata columns."""
    frame = spark.range(10_000).select(
        (F.col("id") / 50).cast("bigint").alias("user_id"), (F.col("id") % 50).alias("item_id")
    )
    frame = frame.withColumn("type", F.when(F.col("item_id") < 3, "Movie").otherwise("TV"))
    return frame.withColumn("gender", F.when(F.col("user_id") % 7 == 0, F.lit("Female"))).cache()


def counts(frame, *by):
    return {tuple(r[c] for c in (*by, "split")): r["count"] for r in frame.groupBy(*by, "split").count().collect()}


def split(ratings, seed=0, **settings):
    return assign_split(ratings, SplitConfig(**settings), seed)


def test_random_shares(ratings):
    found = counts(split(ratings))
    for name, share in {"train": 0.8, "valid": 0.1, "test": 0.1}.items():
        expected = 10_000 * share
        assert abs(found[(name,)] - expected) < 4 * (expected * (1 - share)) ** 0.5


def test_the_split_depends_on_the_pair_and_the_seed_alone(ratings):
    once = {tuple(r) for r in split(ratings).select("user_id", "item_id", "split").collect()}
    again = split(ratings.repartition(13).orderBy(F.rand(3)), seed=0)
    assert {tuple(r) for r in again.select("user_id", "item_id", "split").collect()} == once
    other = {tuple(r) for r in split(ratings, seed=1).select("user_id", "item_id", "split").collect()}
    assert len(once & other) < 0.8 * len(once)


def test_per_user_gives_each_user_the_shares(ratings):
    found = counts(split(ratings, kind="per_user", train=0.7, valid=0.1, test=0.2), "user_id")
    assert all(found[(u, "train")] == 35 and found[(u, "valid")] == 5 and found[(u, "test")] == 10 for u in range(200))


@pytest.mark.parametrize(("kind", "key"), [("cold_item", "item_id"), ("cold_user", "user_id")])
def test_cold_splits_share_no_entity(ratings, kind, key):
    frame = split(ratings, kind=kind, train=0.6, valid=0.2, test=0.2)
    per_entity = frame.groupBy(key).agg(F.count_distinct("split").alias("n"))
    assert per_entity.agg(F.max("n")).first()[0] == 1
    assert {s for (s,) in counts(frame)} == {"train", "valid", "test"}


def test_strata_keep_their_proportions_to_a_rating(ratings):
    frame = split(ratings, kind="stratified", sample=0.5, train=0.7, valid=0.15, test=0.15)
    found = counts(frame, "type", "gender")
    totals = counts(ratings.withColumn("split", F.lit("all")), "type", "gender")
    assert len(totals) == 4
    for (kind, gender, _), total in totals.items():
        kept = round(total * 0.5)
        assert abs(found[(kind, gender, None)] - (total - kept)) <= 1
        for name, share in {"train": 0.7, "valid": 0.15, "test": 0.15}.items():
            assert abs(found[(kind, gender, name)] - kept * share) <= 1


def test_sampling_keeps_the_share_and_says_nothing_about_the_split(ratings):
    found = counts(split(ratings, sample=0.3))
    kept = 10_000 - found[(None,)]
    assert abs(kept - 3000) < 200
    assert abs(found[("train",)] / kept - 0.8) < 0.04


@pytest.mark.parametrize("kind", ["random", "per_user", "cold_item"])
def test_a_sample_of_rows_is_exact_and_the_same_whatever_the_order(ratings, kind):
    def kept(frame):
        found = split(frame, kind=kind, sample_rows=1234).where("split IS NOT NULL")
        return {(r["user_id"], r["item_id"]) for r in found.select("user_id", "item_id").collect()}

    once = kept(ratings)
    assert len(once) == 1234
    assert kept(ratings.repartition(7).orderBy(F.rand(5))) == once
    # The rows of a share are those of a row count: both take the lowest hashes.
    by_share = split(ratings, kind=kind, sample=0.1).where("split IS NOT NULL").select("user_id", "item_id").collect()
    pairs = {tuple(r) for r in by_share}
    assert 900 < len(pairs) < 1100
    assert pairs < once


def test_a_sample_of_more_rows_than_there_are_is_all_of_them(ratings):
    assert split(ratings, sample_rows=10_000).where("split IS NULL").isEmpty()
    assert split(ratings, sample_rows=1e9).where("split IS NULL").isEmpty()


def test_a_stratified_sample_of_rows_keeps_the_proportions(ratings):
    found = counts(split(ratings, kind="stratified", sample_rows=1000, train=0.8, valid=0.1, test=0.1), "type")
    totals = counts(ratings.withColumn("split", F.lit("all")), "type")
    for kind in ("Movie", "TV"):
        kept = sum(found[(kind, name)] for name in ("train", "valid", "test"))
        assert kept == pytest.approx(totals[(kind, "all")] / 10, abs=2)  # two genders, each rounded


def test_two_sizes_of_a_sample_are_refused():
    with pytest.raises(ValueError, match="give one"):
        SplitConfig(sample=0.5, sample_rows=10)


def test_no_test_split(ratings):
    assert {s for (s,) in counts(split(ratings, train=0.9, valid=0.1, test=0.0))} == {"train", "valid"}
