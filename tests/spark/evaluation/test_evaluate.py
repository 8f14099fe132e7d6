import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import ttest_rel
from sklearn.metrics import average_precision_score, mean_absolute_error, mean_squared_error, ndcg_score, r2_score

from tests.builders import MAL, TEN_POINTS, describe, save_manifest, write_prepared
from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.config.evaluate import EvaluateConfig
from widedeep.evaluation.ranking_metrics import mean_ranking_metrics
from widedeep.evaluation.rating_errors import RatingErrors
from widedeep.evaluation.significance import compare_rmse
from widedeep.parallel.world import World
from widedeep.reporting.evaluation_summary import print_comparison, print_evaluations
from widedeep.schema.evaluation import Evaluation
from widedeep.schema.manifest import digest_of, read_manifest
from widedeep.schema.predictions import PredictionManifest
from widedeep.schema.recommendations import RecommendationManifest
from widedeep.spark.evaluation.evaluate import evaluate_systems
from widedeep.spark.evaluation.ratings import bucket

USERS, ITEMS = 150, 61
BUCKETS = {"0": (0, 0), "1-5": (1, 5), "6-20": (6, 20), "21-100": (21, 100), ">100": (101, 10**9)}


class Data(NamedTuple):
    """A prepared directory and its content, read by pandas."""

    path: Path
    digest: str
    ratings: pd.DataFrame  # user, item, rating, split
    users: pd.DataFrame
    items: pd.DataFrame

    def of(self, *splits: str) -> pd.DataFrame:
        return self.ratings[self.ratings["split"].isin(splits)].drop(columns="split")

    def liked(self) -> dict[int, set[int]]:
        test = self.of("test")
        return test[test["rating"] >= 8].groupby("user")["item"].agg(set).to_dict()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Data:
    path = tmp_path_factory.mktemp("evaluate") / "prepared"
    manifest = write_prepared(path, USERS, ITEMS)
    parts = [
        pq.ParquetFile(path / file.path).read().to_pandas().assign(split=split)
        for split, files in manifest.ratings.shards.items()
        for file in files
    ]
    users, items = (
        pq.ParquetFile(path / f"{name}/part-00000.parquet").read().to_pandas() for name in ("users", "items")
    )
    return Data(path, manifest.digest, pd.concat(parts, ignore_index=True), users, items)


def write(directory: Path, frame: pd.DataFrame, **note) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(directory / "part-00000.parquet", index=False)
    (directory / "_manifest.json").write_text(json.dumps(note))


def random_lists(data: Data, seed: int, quality: float) -> dict[int, list[int]]:
    """Lists of 0 to 25 unseen items; every eighth user has none. Liked items tend to the front by `quality`."""
    random = np.random.default_rng(seed)
    seen, liked = data.of("train", "valid").groupby("user")["item"].agg(set).to_dict(), data.liked()
    lists = {}
    for user in range(USERS):
        key = random.random(ITEMS) + quality * np.isin(np.arange(ITEMS), list(liked.get(user, ())))
        order = [item for item in np.argsort(-key).tolist() if item not in seen.get(user, ())]
        lists[user] = order[: random.integers(0, 26)] if user % 8 else []
    return lists


def recommendations(data: Data, lists: dict[int, list[int]]) -> pd.DataFrame:
    rows = [(user, rank, item) for user, items in lists.items() for rank, item in enumerate(items, 1)]
    user, rank, item = np.array(rows).T
    return pd.DataFrame(
        {
            "user_id": data.users["user_id"].to_numpy()[user],
            "rank": rank.astype(np.int32),
            "anime_id": data.items["item_id"].to_numpy()[item],
            "score": np.float32(0),
        }
    )


def predictions(data: Data, seed: int, noise: float) -> pd.DataFrame:
    test = data.of("test")
    error = np.random.default_rng(seed).normal(0, noise, len(test))
    return test.assign(predicted=(test["rating"] * 0.7 + 2.5 + error).astype(np.float32))


@pytest.fixture(scope="module")
def systems(data, tmp_path_factory) -> Path:
    """Three systems: good and bad ones that do both, and one that only ranks."""
    path = tmp_path_factory.mktemp("systems") / "systems"
    for name, seed, quality, noise in (("good", 1, 1.0, 1.2), ("bad", 2, 0.0, 2.0)):
        write(path / name / "predictions", predictions(data, seed, noise), data_digest=data.digest)
        write(path / name / "recommendations", recommendations(data, random_lists(data, seed, quality)))
    write(path / "ranks" / "recommendations", recommendations(data, random_lists(data, 3, 0.2)))
    (path / "notes").mkdir()
    return path


def evaluate(spark, data: Data, **settings):
    return evaluate_systems(spark, EvaluateConfig.model_validate({"data": str(data.path), **settings}))


@pytest.fixture(scope="module")
def result(spark, data, systems):
    found = evaluate(spark, data, systems=str(systems), against="bad")
    assert found.failures == []
    return found


# --- ratings -----------------------------------------------------------------------------------


def test_errors_are_sklearns(data, result):
    frame = predictions(data, 1, 1.2)
    truth, clipped = frame["rating"].to_numpy(float), frame["predicted"].clip(1, 10).to_numpy(float)
    assert (frame["predicted"] != clipped).sum() > 10
    figures = result.evaluations["good"].rating
    everything = np.ones(len(frame), bool)
    for found, at in [(figures.overall, everything), *by_bucket(data, frame, figures)]:
        assert found.ratings == at.sum()
        if at.any():
            assert found.rmse == pytest.approx(math.sqrt(mean_squared_error(truth[at], clipped[at])), rel=1e-6)
            assert found.mae == pytest.approx(mean_absolute_error(truth[at], clipped[at]), rel=1e-6)
            assert found.r2 == pytest.approx(r2_score(truth[at], clipped[at]), rel=1e-6)
        else:
            assert (found.rmse, found.mae, found.r2) == (None, None, None)


def by_bucket(data: Data, frame: pd.DataFrame, figures):
    """Errors of each bucket and the ratings that belong to it, counted anew."""
    used = 0
    for side, found in (("user", figures.by_user_ratings), ("item", figures.by_item_ratings)):
        counts = frame[side].map(data.of("train")[side].value_counts()).fillna(0).to_numpy()
        for name, (low, high) in BUCKETS.items():
            at = (low <= counts) & (counts <= high)
            used += at.any()
            yield found[name], at
    assert used >= 5


def test_errors_are_those_of_training(data, result):
    frame = predictions(data, 1, 1.2)
    errors = RatingErrors(torch.device("cpu"), TEN_POINTS)
    errors.add(*(torch.from_numpy(frame[name].to_numpy()) for name in ("predicted", "rating")))
    found = result.evaluations["good"].rating.overall
    expected = errors.result(World(0, 1, torch.device("cpu")))
    assert found.model_dump() == pytest.approx(expected, rel=1e-6)


def test_calibration_is_pandas(data, result):
    frame = predictions(data, 1, 1.2).assign(clipped=lambda f: f["predicted"].clip(1, 10).astype(float))
    edges = np.arange(1, 10.5, 0.5)
    edges[-1] += 1e-9
    cut = pd.cut(frame["clipped"], edges, right=False, labels=edges[:-1])
    expected = frame.groupby(cut, observed=True).agg(n=("rating", "size"), p=("clipped", "mean"), r=("rating", "mean"))
    found = result.evaluations["good"].rating
    assert [b.low for b in found.calibration] == expected.index.tolist()
    assert [b.ratings for b in found.calibration] == expected["n"].tolist()
    assert [b.mean_predicted for b in found.calibration] == pytest.approx(expected["p"].tolist(), rel=1e-6)
    assert [b.mean_rating for b in found.calibration] == pytest.approx(expected["r"].tolist(), rel=1e-6)
    off = np.average((expected["p"] - expected["r"]).abs(), weights=expected["n"])
    assert found.calibration_error == pytest.approx(off, rel=1e-5)


def test_buckets_by_hand(spark):
    counts = {0: "0", 1: "1-5", 5: "1-5", 6: "6-20", 20: "6-20", 21: "21-100", 100: "21-100", 101: ">100", 9999: ">100"}
    frame = spark.createDataFrame([(count,) for count in counts], "n int").select("n", bucket("n").alias("name"))
    assert {row["n"]: row["name"] for row in frame.collect()} == counts


def test_squared_errors_are_kept(data, systems, result):
    found = pd.read_parquet(systems / "good" / "evaluation" / "ratings").sort_values(["user", "item"])
    expected = predictions(data, 1, 1.2).sort_values(["user", "item"])
    assert found["user"].tolist() == expected["user"].tolist()
    errors = (expected["predicted"].clip(1, 10) - expected["rating"]).to_numpy(float) ** 2
    assert found["squared_error"].to_numpy() == pytest.approx(errors, abs=1e-5)


# --- lists -------------------------------------------------------------------------------------


def per_user(systems: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(systems / name / "evaluation" / "users").set_index("user").sort_index()


def reference(shown: list[int], liked: set[int]) -> dict[str, float]:
    """A user's figures by scikit-learn and NumPy."""
    top = shown[:10]
    hits = np.array([item in liked for item in top], bool)
    # scikit-learn averages over ties: so the items that are not shown are put after as many empty places.
    scores = np.r_[-np.arange(len(top)), np.full(10, -50.0), np.full(len(liked), -99.0)]
    rest = np.arange(len(liked)) < len(liked.difference(top))
    gains = np.r_[hits, np.zeros(10), rest]
    precision = average_precision_score(hits, -np.arange(len(top))) if hits.any() else 0.0
    return {
        "relevant": len(liked),
        "listed": min(20, len(shown)),
        "ndcg_at_10": ndcg_score(gains[None].astype(float), scores[None], k=10),
        "recall_at_20": len(liked & set(shown[:20])) / len(liked),
        "map_at_10": precision * hits.sum() / min(10, len(liked)),
        "mrr_at_10": 1 / (hits.argmax() + 1) if hits.any() else 0.0,
        "hit_rate_at_10": float(hits.any()),
    }


@pytest.mark.parametrize(("name", "seed", "quality"), [("good", 1, 1.0), ("ranks", 3, 0.2)])
def test_users_figures_are_sklearns(data, systems, result, name, seed, quality):
    lists, liked = random_lists(data, seed, quality), data.liked()
    found = per_user(systems, name)
    expected = pd.DataFrame({user: reference(lists[user], liked[user]) for user in sorted(liked)}).T
    assert found.index.tolist() == expected.index.tolist()
    for column in expected:
        assert found[column].tolist() == pytest.approx(expected[column].tolist()), column
    assert (expected["listed"] == 0).sum() > 5
    figures = result.evaluations[name].ranking
    assert (figures.users, figures.users_with_list) == (len(expected), (expected["listed"] > 0).sum())
    for column in expected.columns[2:]:
        mean = getattr(figures, column)
        assert mean.mean == pytest.approx(expected[column].mean())
        assert mean.standard_error == pytest.approx(expected[column].sem())
        assert mean.users == len(expected)


def test_figures_are_those_of_training(data, result):
    expected = mean_ranking_metrics(random_lists(data, 1, 1.0), data.liked(), ITEMS)
    found = result.evaluations["good"].ranking
    assert found.ndcg_at_10.mean == pytest.approx(expected["ndcg_at_10"])
    assert found.recall_at_20.mean == pytest.approx(expected["recall_at_20"])
    assert found.coverage_at_10 == pytest.approx(expected["coverage_at_10"])
    assert found.users == expected["users"]


def test_what_lists_show_is_numpys(data, systems, result):
    lists, liked, train = random_lists(data, 3, 0.2), data.liked(), data.of("train")
    ratings = np.bincount(train["item"], minlength=ITEMS)
    bits = -np.log2(np.maximum(ratings, 1) / train["user"].nunique())
    assert (ratings == 0).sum() == 3  # the cold items count as rated once
    genres = np.zeros((ITEMS, 3))
    for item, genre_ids in enumerate(data.items["genres"]):
        genres[item, genre_ids] = 1
    shown = {user: lists[user][:10] for user in liked if lists[user]}
    found = per_user(systems, "ranks")
    assert found["novelty_at_10"].dropna().to_dict() == pytest.approx({u: bits[top].mean() for u, top in shown.items()})
    # Distances of all pairs that have genres.
    known = {user: [item for item in top if genres[item].any()] for user, top in shown.items()}
    assert sum(len(known[user]) < len(top) for user, top in shown.items()) > 10
    distances = {user: pdist(genres[top], "cosine").mean() for user, top in known.items() if len(top) > 1}
    assert found["diversity_at_10"].dropna().to_dict() == pytest.approx(distances)
    exposures = np.bincount(np.concatenate([np.array(top) for top in shown.values()]), minlength=ITEMS)
    figures = result.evaluations["ranks"].ranking
    assert figures.novelty_at_10.users == len(shown)
    assert figures.diversity_at_10.mean == pytest.approx(np.mean(list(distances.values())))
    assert figures.coverage_at_10 == pytest.approx((exposures > 0).mean())
    gini = np.abs(exposures[:, None] - exposures[None]).mean() / (2 * exposures.mean())
    assert figures.gini_at_10 == pytest.approx(gini)


# --- comparisons -------------------------------------------------------------------------------


def test_systems_are_compared_user_by_user(data, systems, result):
    compared = result.comparison.systems
    assert sorted(compared) == ["good", "ranks"]
    assert json.loads((systems / "against_bad.json").read_text()) == result.comparison.model_dump()
    assert compared["ranks"].rmse is None
    found, test = compared["good"].ndcg_at_10, ttest_rel(*(per_user(systems, n)["ndcg_at_10"] for n in ("good", "bad")))
    assert found.p_value == pytest.approx(test.pvalue)
    interval = test.confidence_interval()
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.low > 0
    sums = []
    for seed, noise in ((1, 1.2), (2, 2.0)):
        frame = predictions(data, seed, noise)
        frame["squared"] = (frame["predicted"].clip(1, 10).astype(float) - frame["rating"]) ** 2
        sums.append(frame.groupby("user")["squared"].agg(["sum", "size"]))
    expected = compare_rmse(sums[0]["sum"].to_numpy(), sums[1]["sum"].to_numpy(), sums[0]["size"].to_numpy(float))
    assert compared["good"].rmse.model_dump() == pytest.approx(expected.model_dump(), rel=1e-5)
    assert compared["good"].rmse.high < 0


def test_the_summary_shows_systems_best_first(result, capsys):
    print_evaluations(result.evaluations)
    print_comparison(result.comparison)
    said = capsys.readouterr().out
    good, bad = (result.evaluations[name] for name in ("good", "bad"))
    assert said.index(f"{good.rating.overall.rmse:.4f}") < said.index(f"{bad.rating.overall.rmse:.4f}")
    assert said.index(f"{good.ranking.ndcg_at_10.mean:.4f}") < said.index(f"{bad.ranking.ndcg_at_10.mean:.4f}")
    assert f"{result.comparison.systems['good'].rmse.difference:+.4f}" in said


def test_comparing_with_an_unknown_system_is_refused(spark, data, systems):
    with pytest.raises(InputError, match=r"holds no system best: it holds \['bad', 'good', 'ranks'\]"):
        evaluate(spark, data, systems=str(systems), against="best")


# --- resuming ----------------------------------------------------------------------------------


def test_only_what_has_changed_is_evaluated_again(spark, data, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(log, "info", lambda text, *values: said.append(text % values))
    frame = predictions(data, 1, 1.2)
    for name in ("a", "b"):
        write(tmp_path / name / "predictions", frame, digest=data.digest)
    first = evaluate(spark, data, systems=str(tmp_path)).evaluations
    # As an evaluation of b that was killed before its end would have left it.
    (tmp_path / "b" / "evaluation.json").unlink()
    (tmp_path / "b" / "evaluation.staging").mkdir()
    (tmp_path / "b" / "evaluation.staging" / "rest").write_text("half")
    said.clear()
    again = evaluate(spark, data, systems=str(tmp_path)).evaluations
    assert [line.split()[:2] for line in said] == [["a", "is"], ["evaluating", "b"]]
    assert again == first
    assert not (tmp_path / "b" / "evaluation.staging").exists()
    write(tmp_path / "a" / "predictions", frame.assign(predicted=np.float32(7)), written="anew")
    said.clear()
    changed = evaluate(spark, data, systems=str(tmp_path)).evaluations
    assert [line.split()[:2] for line in said] == [["evaluating", "a"], ["b", "is"]]
    truth = frame["rating"].to_numpy(float)
    assert changed["a"].rating.overall.rmse == pytest.approx(math.sqrt(((truth - 7) ** 2).mean()))
    kept = Evaluation.model_validate_json((tmp_path / "a" / "evaluation.json").read_text())
    assert kept == changed["a"]


# --- what is refused ---------------------------------------------------------------------------


def broken_lists(data: Data) -> dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]]:
    """What is wrong -> how to break good lists, and what is said of it."""
    seen = data.of("valid").iloc[0]
    user_id = int(data.users["user_id"][seen["user"]])
    anime_id = int(data.items["item_id"][seen["item"]])
    rated = pd.DataFrame({"user_id": [user_id], "rank": [1], "anime_id": [anime_id]})

    def with_rated(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([frame[frame["user_id"] != user_id], rated.astype(frame.dtypes[rated.columns].to_dict())])

    owner = int(data.users["user_id"][1])
    order = f"the list of user_id {owner} holds an item twice or has other ranks"
    return {
        "rated": (with_rated, f"item_id {anime_id} is recommended to user_id {user_id}, who rated it in the valid"),
        "unknown": (
            lambda f: f.assign(anime_id=f["anime_id"].replace(f["anime_id"].iloc[0], 1)),
            "item_id 1 is not in",
        ),
        "stranger": (lambda f: f.assign(user_id=f["user_id"].replace(owner, 7)), "user_id 7 is not in"),
        "gap": (lambda f: f[(f["user_id"] != owner) | (f["rank"] != 1)], order),
        "twice": (lambda f: f.assign(anime_id=f["anime_id"].mask(f["user_id"] == owner, 5058)), order),
        "columns": (lambda f: f.drop(columns="rank"), "has no column rank"),
    }


def broken_predictions(data: Data) -> dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]]:
    first = data.of("test").sort_values(["user", "item"]).iloc[0]
    pair = f"the prediction of user index {first['user']:.0f}, item index {first['item']:.0f}"
    of_pair = {"user": int(first["user"]), "item": int(first["item"])}

    def at(frame: pd.DataFrame) -> pd.Series:
        return (frame["user"] == of_pair["user"]) & (frame["item"] == of_pair["item"])

    count = len(data.of("test"))
    return {
        "missing": (lambda f: f[~at(f)], f"{pair} is missing (1 of"),
        "nan": (lambda f: f.assign(predicted=f["predicted"].mask(at(f), math.inf)), f"{pair} is not a finite number"),
        "other": (lambda f: f.assign(rating=f["rating"].mask(at(f), 11)), f"{pair} goes with another rating"),
        "more": (lambda f: pd.concat([f, f[at(f)]]), f"has {count + 1:,} rows, the test split of"),
    }


def test_broken_systems_are_named_and_do_not_stop_others(spark, data, tmp_path):
    good_lists = random_lists(data, 1, 0.0)
    good_lists[1] = [
        item for item in range(ITEMS) if item not in set(data.of("train", "valid").query("user == 1")["item"])
    ]
    wanted = {}
    for name, (breaks, message) in broken_lists(data).items():
        write(tmp_path / name / "recommendations", breaks(recommendations(data, good_lists)))
        wanted[name] = message
    for name, (breaks, message) in broken_predictions(data).items():
        write(tmp_path / name / "predictions", breaks(predictions(data, 1, 1.0)))
        wanted[name] = message
    for name, note, message in (
        ("made-of-others", {"data_digest": "0" * 64}, "data_digest 000000000000 is not that of"),
        ("hidden", {"config": {"exclude": ["train", "valid", "test"]}}, "config.exclude names test"),
    ):
        write(tmp_path / name / "recommendations", recommendations(data, good_lists), **note)
        wanted[name] = message
    (tmp_path / "unfinished" / "predictions").mkdir(parents=True)
    wanted["unfinished"] = "holds no _manifest.json: it was not written to the end"
    write(tmp_path / "whole" / "predictions", predictions(data, 1, 1.0))
    result = evaluate(spark, data, systems=str(tmp_path))
    assert list(result.evaluations) == ["whole"]
    assert [line.split(":")[0] for line in result.failures] == sorted(wanted)
    for line in result.failures:
        assert wanted[line.split(":")[0]] in line
    assert [path.parent.name for path in tmp_path.glob("*/evaluation.json")] == ["whole"]


def test_outputs_of_two_models_are_no_system(spark, data, tmp_path):
    """As after a job that was killed between predictions and lists: one is of the new model, one of the old."""
    for name, model in (("mixed", "b" * 64), ("whole", "a" * 64)):
        write(tmp_path / name / "recommendations", recommendations(data, random_lists(data, 1, 0.0)))
        write(tmp_path / name / "predictions", predictions(data, 1, 1.0))
        facts = {"config": {}, "data_digest": data.digest, "files": ()}
        lists = RecommendationManifest(**facts, model="a" * 64, ids=MAL.ids, users=1, rows=1, distinct_items=1)
        predicted = PredictionManifest(**facts, model=model, rows=1)
        (tmp_path / name / "recommendations" / "_manifest.json").write_text(lists.seal())
        (tmp_path / name / "predictions" / "_manifest.json").write_text(predicted.seal())
    result = evaluate(spark, data, systems=str(tmp_path))
    assert list(result.evaluations) == ["whole"]
    assert len(result.failures) == 1
    assert "are of different models, so they are no system" in result.failures[0]


def test_nothing_to_evaluate_is_refused(spark, data, tmp_path):
    with pytest.raises(InputError, match="holds no directory with recommendations or predictions"):
        evaluate(spark, data, systems=str(tmp_path))
    with pytest.raises(InputError, match="holds no directory with recommendations or predictions"):
        evaluate(spark, data, systems=str(tmp_path / "nowhere"))


def test_a_single_system(spark, data, systems, result, tmp_path):
    settings = {"predictions": str(systems / "good" / "predictions"), "output": str(tmp_path / "out")}
    found = evaluate(spark, data, **settings).evaluations
    assert list(found) == ["out"]
    assert found["out"].rating == result.evaluations["good"].rating
    assert found["out"].ranking is None
    assert Evaluation.model_validate_json((tmp_path / "out" / "evaluation.json").read_text()) == found["out"]


def test_predictions_are_clipped_to_the_scale_of_the_data(spark, tmp_path):
    manifest = write_prepared(tmp_path / "prepared", USERS, ITEMS, lowest=0)
    frames = [
        pq.ParquetFile(tmp_path / "prepared" / f.path).read().to_pandas() for f in manifest.ratings.shards["test"]
    ]
    test = pd.concat(frames, ignore_index=True)
    predicted = np.random.default_rng(0).normal(3, 6, len(test)).astype(np.float32)
    write(tmp_path / "system" / "predictions", test.assign(predicted=predicted), data_digest=manifest.digest)
    settings = {"data": str(tmp_path / "prepared"), "predictions": str(tmp_path / "system" / "predictions")}
    config = EvaluateConfig.model_validate({**settings, "output": str(tmp_path / "system")})
    found = evaluate_systems(spark, config).evaluations["system"].rating
    assert found.overall.rmse == pytest.approx(math.sqrt(mean_squared_error(test["rating"], predicted.clip(0, 10))))
    first = found.calibration[0]
    assert (first.low, first.high, first.ratings) == (0, 0.5, (predicted < 0.5).sum())


def test_data_without_genres_have_no_diversity(spark, data, systems, result, tmp_path):
    prepared = tmp_path / "prepared"
    shutil.copytree(data.path, prepared)
    data.items.drop(columns="genres").to_parquet(prepared / "items" / "part-00000.parquet", index=False)
    manifest = read_manifest(prepared)
    files = (describe(prepared, "items/part-00000.parquet"),)
    items = manifest.items.model_copy(update={"files": files, "vocabularies": {}})
    digest = digest_of(*manifest.ratings.shards.values(), files, manifest.users.files)
    save_manifest(prepared, manifest.model_copy(update={"items": items, "digest": digest}))
    settings = {"recommendations": str(systems / "good" / "recommendations"), "output": str(tmp_path / "good")}
    config = EvaluateConfig.model_validate({"data": str(prepared), **settings})
    found = evaluate_systems(spark, config).evaluations["good"].ranking
    assert found.diversity_at_10.model_dump() == {"mean": None, "standard_error": None, "users": 0}
    assert found.model_copy(update={"diversity_at_10": None}) == result.evaluations["good"].ranking.model_copy(
        update={"diversity_at_10": None}
    )
