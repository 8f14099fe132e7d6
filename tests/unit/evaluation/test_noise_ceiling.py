import math

import pytest

from tests.builders import TEN_POINTS
from tests.training import ROOT
from widedeep.common.command import load_config
from widedeep.config.prepare import PrepareConfig
from widedeep.evaluation.noise_ceiling import noise_rmse, r2_ceiling, suspicion


def made_metrics(rmse, sd=1.66, ratings=40_000):
    return {"rmse": rmse, "r2": 1 - (rmse / sd) ** 2, "ratings": ratings}


def kinds(*args, **settings):
    return [found.kind for found in suspicion(*args, **{"noise": noise_rmse(TEN_POINTS), **settings})]


def test_the_ceiling_by_hand():
    # Two ratings differ by 0.557 on a scale 4 wide: each errs by 0.39386, which is 0.88618 on one 9 wide.
    assert noise_rmse(TEN_POINTS) == pytest.approx(0.88618, abs=1e-5)
    assert r2_ceiling(1.66, noise_rmse(TEN_POINTS)) == pytest.approx(1 - (0.88618 / 1.66) ** 2, abs=1e-5)
    assert (
        r2_ceiling(4.0, noise_rmse(TEN_POINTS)) == 0.924
    )  # the reliability is the ceiling of ratings that spread wider


def test_what_models_reach_is_not_suspected():
    assert suspicion(made_metrics(1.10), noise_rmse(TEN_POINTS)) == ()


def test_an_error_below_peoples_own_noise_is():
    assert kinds(made_metrics(0.80)) == ["ceiling"]
    assert kinds(made_metrics(0.88)) == []  # by less than chance and the margin of luck allow: 0.886 * (1 - 0.0106)
    assert kinds({"rmse": 0.07, "r2": 0.44, "ratings": 20_000}) == ["ceiling"]  # an error in some other unit
    assert kinds({"rmse": 0.0, "r2": 1.0, "ratings": 10}) == ["ceiling"]


def test_a_known_noise_takes_the_place_of_peoples():
    assert kinds(made_metrics(0.5), noise=0.4) == []
    assert kinds(made_metrics(1.0), noise=1.1) == ["ceiling"]


def test_leaky_columns_are_named():
    (found,) = suspicion(made_metrics(1.1), noise_rmse(TEN_POINTS), leaky_columns=("Score", "Mean Score"))
    assert found.kind == "leaky_columns"
    assert "Score, Mean Score" in found.why


def test_nothing_is_said_without_test_ratings():
    assert suspicion({"rmse": math.nan, "r2": math.nan, "ratings": 0}, noise_rmse(TEN_POINTS)) == ()


@pytest.mark.parametrize("file", sorted((ROOT / "conf" / "prepare").glob("*.toml")), ids=lambda file: file.stem)
def test_published_preparations_are_understood(file):
    config = load_config(PrepareConfig, ["--config", str(file)], "prepare.py")
    published = {
        "wide_deep_published": (100_000, 1.0, "random", 0.2, "drop"),
        "wide_deep_features_published": (None, 0.5, "stratified", 0.15, "drop"),
        "wide_deep_cross_published": (None, 1.0, "random", 0.2, "drop"),
        "genre_hybrid_published": (None, 1.0, "random", 0.1, "zero"),
    }
    split = config.split
    imputed = {
        "wide_deep_published": ("mean", ()),
        "wide_deep_features_published": ("median", ("duration",)),
    }
    features = config.features
    assert imputed.get(file.stem, ("median", ())) == (features.impute, features.mean_columns)
    assert published[file.stem] == (split.sample_rows, split.sample, split.kind, split.test, config.ratings.unscored)
