import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyspark.ml.recommendation import ALS

from tests.builders import MAL
from widedeep.baselines.biases import bias_predictor, fit_bias_grid, residuals
from widedeep.baselines.factors import factor_predictor
from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.baselines import BaselinesConfig
from widedeep.data.rating_matrices import Splits, load_splits
from widedeep.recommendations import recommendations_of
from widedeep.schema.manifest import read_manifest
from widedeep.schema.recommendations import list_schema
from widedeep.spark.baseline_fits.als import fit_als, subtract_biases, train_ratings
from widedeep.spark.baseline_fits.baselines import show_summary
from widedeep.spark.baseline_fits.outputs import local_prepared
from widedeep.spark.baseline_fits.pipeline import run_baselines
from widedeep.spark.baseline_fits.registry import BASELINES, config_class
from widedeep.spark.baseline_fits.results import BaselineResult
from widedeep.spark.filesystem import Files

# One setting each, or two where the choice is looked at.
GRIDS = {
    "bias": {"user_priors": (2.0,), "item_priors": (1.0, 1000.0)},
    "user_knn": {
        "list_exponents": (0.5,),
        "list_shrinkages": (0.0,),
        "list_neighbours": (50,),
        "rating_similarities": ("cosine",),
        "rating_shrinkages": (10.0,),
        "rating_neighbours": (300,),
        "rating_dampings": (0.5,),
    },
    "item_knn": {
        "list_exponents": (0.5,),
        "list_shrinkages": (0.0,),
        "list_neighbours": (20,),
        "rating_similarities": ("cosine",),
        "rating_shrinkages": (20.0,),
        "rating_neighbours": (20,),
        "rating_dampings": (0.1,),
    },
    "als": {"ranks": (4,), "regularisations": (0.1,), "iterations": 3},
    "mf": {"ranks": (4,), "regularisations": (0.15,), "iterations": 3},
    "implicit_als": {"ranks": (4,), "regularisations": (0.1,), "unobserved": (0.5,), "iterations": 3},
    "bpr_mf": {"ranks": (4,), "regularisations": (0.02,), "popularities": (0.5,), "epochs": (5,)},
    "slim": {"neighbours": (30,), "l1": (0.5,), "l2": (5.0,)},
    "ease": {"l2": (20.0,)},
    "edlae": {"l2": (20.0,), "dropouts": (0.2,)},
}
PREDICTING = {"global_mean", "bias", "user_knn", "item_knn", "als", "mf"}
NAMES = [baseline.name for baseline in BASELINES]
LISTING = set(NAMES) - {"global_mean"}


def config_of(prepared: Path, output: Path, **settings) -> BaselinesConfig:
    return config_class().model_validate({"data": str(prepared), "output": str(output), **GRIDS, **settings})


@pytest.fixture(scope="module")
def splits(prepared) -> Splits:
    return load_splits(prepared, read_manifest(prepared))


@pytest.fixture(scope="module")
def systems(spark, prepared, tmp_path_factory):
    """All baselines and their results."""
    output = tmp_path_factory.mktemp("systems") / "systems"
    return output, run_baselines(spark, config_of(prepared, output))


def read(directory: Path) -> pd.DataFrame:
    files = json.loads((directory / "_manifest.json").read_text())["files"]
    return pd.concat([pq.read_table(directory / file["path"]).to_pandas() for file in files], ignore_index=True)


def pairs(splits: Splits, *names: str) -> set[tuple[int, int]]:
    return {(u, i) for name in names for u, i in zip(*(c.tolist() for c in splits.pairs(name)[:2]), strict=True)}


def test_each_baseline_writes_what_it_can(systems):
    output, results = systems
    assert list(results) == NAMES
    for name in NAMES:
        assert (output / name / "predictions").exists() == (name in PREDICTING)
        assert (output / name / "recommendations").exists() == (name in LISTING)
        result = BaselineResult.model_validate_json((output / name / "tuning.json").read_text())
        assert result == results[name]
        assert (result.ratings is not None, result.lists is not None) == (name in PREDICTING, name in LISTING)


@pytest.mark.parametrize("name", sorted(PREDICTING))
def test_every_test_rating_is_predicted_once(prepared, splits, systems, name):
    found = read(systems[0] / name / "predictions")
    assert found.dtypes.astype(str).to_dict() == {
        "user": "int32",
        "item": "int32",
        "rating": "float32",
        "predicted": "float32",
    }
    expected = pd.DataFrame(dict(zip(("user", "item", "rating"), splits.pairs("test"), strict=True)))
    order = ["user", "item"]
    left, right = (frame.sort_values(order, ignore_index=True) for frame in (found, expected))
    assert left[["user", "item", "rating"]].equals(right)
    assert np.isfinite(found["predicted"]).all()
    manifest = json.loads((systems[0] / name / "predictions" / "_manifest.json").read_text())
    assert (manifest["rows"], manifest["data_digest"]) == (len(expected), read_manifest(prepared).digest)


@pytest.mark.parametrize("name", sorted(LISTING))
def test_users_with_a_liked_test_anime_get_a_list(prepared, splits, systems, name):
    directory = systems[0] / name / "recommendations"
    found = read(directory)
    assert list(found.columns) == list_schema(MAL.ids).names
    users = pq.read_table(prepared / "users", columns=["user", "user_id"]).to_pandas()
    items = pq.read_table(prepared / "items", columns=["item", "item_id", "title"]).to_pandas()
    user, _, rating = splits.pairs("test")
    expected = users.set_index("user")["user_id"][np.unique(user[rating >= 8])]
    assert found["user_id"].unique().tolist() == expected.tolist()
    assert found.groupby("user_id")["rank"].apply(list).map(lambda r: r == list(range(1, 21))).all()
    assert found.groupby("user_id")["affinity"].apply(lambda s: s.is_monotonic_decreasing).all()
    assert found["predicted_rating"].between(1, 10).all()
    known = found.merge(users, on="user_id").merge(
        items, left_on="anime_id", right_on="item_id", suffixes=("", "_known")
    )
    assert (known["title"] == known["title_known"]).all()
    assert not set(zip(known["user"], known["item"], strict=True)) & pairs(splits, "train", "valid")
    assert recommendations_of(directory, str(expected.iloc[0]))[0][0]["rank"] == 1


def test_the_test_error_of_each_baseline_is_that_of_a_method_that_works(systems):
    rmse = {}
    for name in PREDICTING:
        frame = read(systems[0] / name / "predictions")
        rmse[name] = float(np.sqrt(((frame["predicted"].clip(1, 10) - frame["rating"]) ** 2).mean()))
    assert rmse["bias"] < 0.9 * rmse["global_mean"]
    assert all(rmse[name] < rmse["global_mean"] for name in PREDICTING - {"global_mean"})


def test_the_settings_kept_are_the_best_on_valid(systems):
    result = systems[1]["bias"]
    metrics = {trial.settings["item_prior"]: trial.metrics for trial in result.trials}
    assert set(metrics) == {1.0, 1000.0}
    assert result.ratings.metrics["rmse"] == min(m["rmse"] for m in metrics.values())
    assert result.lists.metrics["ndcg_at_10"] == max(m["ndcg_at_10"] for m in metrics.values())
    # A prior of 1000 ratings leaves nearly no difference between anime.
    assert metrics[1.0]["rmse"] < metrics[1000.0]["rmse"]


def test_a_finished_baseline_is_skipped_and_another_one_refused(spark, prepared, systems, tmp_path, monkeypatch):
    output = tmp_path / "systems"
    config = config_of(prepared, output, only="popularity")
    run_baselines(spark, config)
    stamps = {file: file.stat().st_mtime_ns for file in output.rglob("*") if file.is_file()}
    said = []
    monkeypatch.setattr(log, "info", lambda text, *values: said.append(text % values))
    results = run_baselines(spark, config)
    assert results["popularity"].lists is not None
    assert said == ["popularity is finished already; --resume never runs it again"]
    assert {file: file.stat().st_mtime_ns for file in output.rglob("*") if file.is_file()} == stamps
    with pytest.raises(InputError, match="popularity holds a baseline that differs in top_n"):
        run_baselines(spark, config_of(prepared, output, only="popularity", top_n=5))
    run_baselines(spark, config_of(prepared, output, only="popularity", top_n=5, resume="never"))
    assert read(output / "popularity" / "recommendations")["rank"].max() == 5
    # Cut off before its end, it is run again.
    (output / "popularity" / "tuning.json").unlink()
    run_baselines(spark, config)
    assert read(output / "popularity" / "recommendations")["rank"].max() == 20


def test_too_many_anime_are_refused_before_anything_is_fitted(spark, prepared, tmp_path):
    config = config_of(prepared, tmp_path / "systems", only="popularity,ease", memory_gb=1e-4)
    with pytest.raises(InputError, match=r"memory_gb: ease need about .* raise --memory-gb"):
        run_baselines(spark, config)
    assert not (tmp_path / "systems").exists()


def test_the_summary_names_every_system(systems, capsys):
    show_summary(systems[1], "somewhere")
    said = capsys.readouterr().out
    for name, result in systems[1].items():
        assert name in said
        for trial, metric in ((result.ratings, "rmse"), (result.lists, "ndcg_at_10")):
            if trial:
                assert f"{trial.metrics[metric]:.4f}" in said


def test_prepared_data_elsewhere_is_fetched(spark, prepared, splits):
    # Hadoop's own view of a directory as a file system of its own.
    spark.sparkContext._jsc.hadoopConfiguration().set("fs.viewfs.mounttable.far.link./data", prepared.as_uri())
    here = local_prepared(Files(spark), "viewfs://far/data", read_manifest(prepared))
    assert here != prepared
    found = load_splits(here, read_manifest(prepared))
    for name in ("train", "valid", "test"):
        assert all(map(np.array_equal, found.pairs(name), splits.pairs(name)))
    for name in (str(prepared), prepared.as_uri()):
        assert local_prepared(Files(spark), name, read_manifest(prepared)) == prepared


# --- Spark's factors -----------------------------------------------------------------------------


def test_factors_predict_what_the_model_of_spark_does(spark, prepared, splits):
    ratings = train_ratings(str(prepared)).cache()
    settings = {"rank": 3, "maxIter": 2, "regParam": 0.1, "seed": 1}
    factors = fit_als(ratings, splits, **settings)
    model = ALS(userCol="user", itemCol="item", ratingCol="rating", coldStartStrategy="nan", **settings).fit(ratings)
    test = spark.read.parquet(f"{prepared}/ratings").where("split = 'test'").select("user", "item", "rating")
    expected = model.transform(test).toPandas()
    predict = factor_predictor(factors, lambda user, item: np.zeros(len(user)))
    found = predict(expected["user"].to_numpy(), expected["item"].to_numpy())
    unknown = expected["prediction"].isna().to_numpy()  # users or anime without training ratings
    assert found[unknown] == pytest.approx(0)
    assert found[~unknown] == pytest.approx(expected["prediction"][~unknown].to_numpy(), abs=1e-3)
    assert factors.rated.tolist() == splits.rated.tolist()


def test_spark_subtracts_the_same_biases(prepared, splits):
    ((_, fit),) = fit_bias_grid(splits, [(2.0, 1.0)])
    ratings = train_ratings(str(prepared))
    rest = subtract_biases(ratings, fit).toPandas().sort_values(["user", "item"])
    user, item, _ = splits.pairs("train")
    order = np.lexsort((item, user))
    assert rest["user"].tolist() == user[order].tolist()
    assert rest["rating"].to_numpy() == pytest.approx(residuals(splits, bias_predictor(fit))[order], abs=1e-5)
