"""What a GPU computes is what the CPU computes, but for rounding. Skipped where there is none."""

import shutil

import numpy as np
import pytest
import torch

from tests.builders import write_prepared
from tests.training import command, metrics, train
from widedeep.models import REGISTRY
from widedeep.models.artifact import load_artifact
from widedeep.scoring.pairs import predict_pairs
from widedeep.scoring.scorer import Scorer
from widedeep.training.checkpoints import newest_first

USERS, ITEMS = 300, 80


@pytest.fixture(scope="module")
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no GPU: what is said of GPUs is not tested here")
    return torch.device("cuda", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    write_prepared(folder / "prepared", users=USERS, items=ITEMS, ratings=9000, selective=2.0, features=True)
    return folder


@pytest.fixture(params=REGISTRY)
def name(request) -> str:
    """An architecture."""
    return request.param


@pytest.fixture
def pair(name, gpu, folder) -> tuple[dict, dict]:
    """Metrics of two trainings of an architecture, on the CPU and on the GPU."""
    runs = {device: folder / f"{name}-{device}" for device in ("cpu", gpu.type)}
    for device, run in runs.items():
        flags = {"model__name": name, "device": device, "epochs": 2, "ranking_users": 200}
        if not (run / "metrics.json").exists():
            train(command(folder / "prepared", run, **flags))
    return metrics(runs["cpu"]), metrics(runs[gpu.type])


def test_a_training_learns_what_it_learns_on_the_cpu(pair):
    on_cpu, on_gpu = pair
    assert on_gpu["train"]["samples"] == on_cpu["train"]["samples"]
    # Initial weights and dropout are drawn by another generator there.
    if on_cpu["rates"]:
        assert on_gpu["test"]["rmse"] == pytest.approx(on_cpu["test"]["rmse"], rel=0.03)
    ndcg = [found["ranking"]["model"]["ndcg_at_10"] for found in pair]
    assert ndcg[1] == pytest.approx(ndcg[0], abs=0.05)


def test_ratings_and_lists_of_a_model_are_those_of_the_cpu(name, pair, gpu, folder):
    artifact = load_artifact(folder / f"{name}-cpu" / "model.safetensors")
    users = np.arange(USERS, dtype=np.int32)
    seen = [np.arange(user % 7) for user in range(USERS)]
    pairs = np.repeat(users, 5), np.tile(np.arange(5, dtype=np.int32), USERS)
    expected = Scorer(artifact.model, ITEMS).top(users, seen, 10)
    ratings = predict_pairs(artifact.model, *pairs)
    model = artifact.model.to(gpu)
    found = Scorer(model, ITEMS, gpu).top(users, seen, 10)
    np.testing.assert_allclose(found.affinities, expected.affinities, rtol=1e-3, atol=1e-3)
    assert (found.items == expected.items).mean() > 0.99  # near ties may change places
    np.testing.assert_allclose(predict_pairs(model, *pairs, gpu), ratings, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["wide_deep", "wide_deep_history"], indirect=True)
@pytest.mark.parametrize("goes_on", ["cpu", "cuda"])
def test_a_training_goes_on_from_a_checkpoint_of_the_gpu(name, goes_on, gpu, folder):
    """On the GPU as if it had not stopped; on the CPU, too, as far as rounding and its generator allow."""
    flags = {"model__name": name, "epochs": 3, "ranking_users": 0}
    run = folder / f"stopped-{name}-{goes_on}"
    whole = train(command(folder / "prepared", run, device=gpu.type, **flags))
    (run / "metrics.json").unlink()
    shutil.rmtree(newest_first(run / "checkpoints")[0])
    again = train(command(folder / "prepared", run, device=goes_on, **flags))
    assert again["train"]["epochs"] == whole["train"]["epochs"] == 3
    assert again["test"]["rmse"] == pytest.approx(whole["test"]["rmse"], rel=1e-3 if goes_on == "cuda" else 0.03)
