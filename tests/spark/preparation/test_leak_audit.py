"""The audit of a prepared dump whose leaks are known: Score and Mean Score are computed from all ratings."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from tests.spark.dumps import ANIME, GOOD, write_dump
from tests.spark.preparation.test_prepare import ratings_of
from widedeep.config.prepare import PrepareConfig
from widedeep.schema.manifest import read_manifest
from widedeep.spark.preparation.prepare import prepare


@pytest.fixture(scope="module")
def audit(prepared):
    return read_manifest(prepared).audit


def by_name(features):
    return {feature.name: feature for feature in features}


def test_every_feature_and_every_leaky_column_is_audited(prepared, audit):
    manifest = read_manifest(prepared)
    assert audit.split == "valid"
    for name in ("items", "users"):
        kinds = ("statistic", "numeric", "category", "multi_hot")
        wanted = {column for kind in kinds for column in getattr(manifest, name).of_kind(kind)}
        found = by_name(getattr(audit, name))
        assert {column for column, feature in found.items() if feature.used} == wanted
        unused = {feature.source for feature in found.values() if not feature.used}
        assert unused == ({"Score", "Rank", "Scored By"} if name == "items" else {"Mean Score"})
        assert {f.source for f in found.values() if f.ratings_in_it == "all"} == unused
    assert {f.name for f in audit.items if f.ratings_in_it == "train"} == {
        "train_ratings",
        "train_mean",
        "score",
        "popularity",
        "rank",
    }


def test_a_mean_over_all_ratings_is_found_and_nothing_else_is(audit):
    found = by_name(audit.users)
    assert found["dump_mean_score"].leaks
    assert found["dump_mean_score"].slope > 1.5
    assert found["dump_mean_score"].held_out_r2 > found["mean_score"].held_out_r2
    suspects = {f.name for f in (*audit.items, *audit.users) if f.leaks}
    assert suspects <= {"dump_mean_score", "dump_score", "dump_rank"}


def test_what_was_fitted_on_train_is_better_on_train(audit):
    for feature in (by_name(audit.items)["train_mean"], by_name(audit.users)["train_mean"]):
        assert feature.train_r2 > feature.held_out_r2 + 0.02
    leak = by_name(audit.users)["dump_mean_score"]
    assert leak.held_out_r2 == pytest.approx(leak.train_r2, abs=0.03)


def test_a_category_alone_by_pandas(prepared, audit):
    """The type's shrunk mean of training ratings, as the prediction for valid ratings."""
    items = pd.read_parquet(prepared / "items", columns=["item", "type"])
    train, valid = (ratings_of(prepared, split).merge(items) for split in ("train", "valid"))
    mean = train["rating"].mean()
    of_type = train.groupby("type")["rating"].agg(["sum", "count"])
    shrunk = (of_type["sum"] + 10 * mean) / (of_type["count"] + 10)
    predicted = valid["type"].map(shrunk).fillna(mean)
    assert by_name(audit.items)["type"].held_out_r2 == pytest.approx(r2_score(valid["rating"], predicted), abs=1e-5)


def test_no_audit_where_nothing_is_held_out_or_none_is_asked_for(spark, tmp_path):
    raw = write_dump(tmp_path / "raw", ratings=GOOD, anime=ANIME[:3])
    for settings in ({"split": {"train": 1.0, "valid": 0.0, "test": 0.0}}, {"audit": False}):
        config = {"input": str(raw), "output": str(tmp_path / "out"), "overwrite": True, **settings}
        assert prepare(spark, PrepareConfig.model_validate(config)).audit is None


def test_few_ratings_are_audited_without_a_slope(spark, tmp_path):
    raw = write_dump(tmp_path / "raw", ratings=GOOD, anime=ANIME[:3])
    split = {"train": 0.6, "valid": 0.2, "test": 0.2}
    config = {"input": str(raw), "output": str(tmp_path / "out"), "seed": 3, "split": split}
    audit = prepare(spark, PrepareConfig.model_validate(config)).audit
    assert audit is not None
    assert not any(f.leaks or f.slope for f in (*audit.items, *audit.users))
    assert all(f.train_r2 is None or np.isfinite(f.train_r2) for f in audit.items)
