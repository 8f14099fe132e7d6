import numpy as np
import pytest
import torch

from tests.builders import read_split, write_prepared
from widedeep.config.train import LoaderConfig
from widedeep.data.resident_loader import ResidentLoader
from widedeep.evaluation import reference_models
from widedeep.evaluation.reference_models import STRENGTHS, fit_biases, measure_reference_models
from widedeep.parallel.world import World

ALONE = World(0, 1, torch.device("cpu"))
USERS, ITEMS = 25, 18


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference_models")
    manifest = write_prepared(path, users=USERS, items=ITEMS, ratings=300)
    loader = ResidentLoader(path, manifest, ALONE, LoaderConfig(reader="pyarrow"), batch_size=50, seed=0)
    rows = {split: read_split(path, manifest, split) for split in ("train", "valid", "test")}
    return loader, manifest.ratings.train_mean, rows


def ridge(rows: np.ndarray, mean: float, user_prior: float, item_prior: float) -> np.ndarray:
    """[users + items] biases: least squares over one-hot columns, the priors as rows of their own."""
    ones = np.zeros((len(rows), USERS + ITEMS))
    ones[np.arange(len(rows)), rows[:, 0].astype(int)] = 1
    ones[np.arange(len(rows)), USERS + rows[:, 1].astype(int)] = 1
    prior = np.diag(np.sqrt([user_prior] * USERS + [item_prior] * ITEMS))
    target = np.concatenate([rows[:, 2] - mean, np.zeros(USERS + ITEMS)])
    return np.linalg.lstsq(np.vstack([ones, prior]), target, rcond=None)[0]


def rmse(rows: np.ndarray, mean: float, biases: np.ndarray) -> float:
    predicted = mean + biases[rows[:, 0].astype(int)] + biases[USERS + rows[:, 1].astype(int)]
    return float(np.sqrt(np.mean((np.clip(predicted, 1, 10) - rows[:, 2]) ** 2)))


def test_biases_are_those_of_ridge_regression(data, monkeypatch):
    monkeypatch.setattr(reference_models, "SWEEPS", 200)
    loader, mean, rows = data
    for fit, strength in zip(fit_biases(loader, ALONE, USERS, ITEMS, mean), STRENGTHS, strict=True):
        expected = ridge(rows["train"], mean, *strength)
        assert np.allclose(torch.cat([fit.user, fit.item]).numpy(), expected, atol=1e-9)


def test_a_few_sweeps_are_close_to_it(data):
    loader, mean, rows = data
    for fit, strength in zip(fit_biases(loader, ALONE, USERS, ITEMS, mean), STRENGTHS, strict=True):
        found = torch.cat([fit.user, fit.item]).numpy()
        expected = rmse(rows["test"], mean, ridge(rows["train"], mean, *strength))
        assert rmse(rows["test"], mean, found) == pytest.approx(expected, rel=2e-3)


def test_the_strength_is_chosen_on_valid_and_measured_on_test(data, monkeypatch):
    monkeypatch.setattr(reference_models, "SWEEPS", 200)
    loader, mean, rows = data
    fits = {strength: ridge(rows["train"], mean, *strength) for strength in STRENGTHS}
    best = min(fits, key=lambda strength: rmse(rows["valid"], mean, fits[strength]))
    found, biases = measure_reference_models(loader, ALONE, USERS, ITEMS, mean)
    assert (found["bias"]["user_prior"], found["bias"]["item_prior"]) == best
    assert found["bias"]["rmse"] == pytest.approx(rmse(rows["test"], mean, fits[best]), rel=1e-9)
    assert found["global_mean"]["rmse"] == pytest.approx(rmse(rows["test"], mean, np.zeros(USERS + ITEMS)), rel=1e-9)
    assert found["bias"]["ratings"] == found["global_mean"]["ratings"] == len(rows["test"])
    assert np.allclose(torch.cat([biases.user, biases.item]).numpy(), fits[best], atol=1e-9)
