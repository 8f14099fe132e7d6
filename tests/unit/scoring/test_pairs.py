import numpy as np
import pytest
import torch

from widedeep.data.feature_tables import Tables
from widedeep.models import REGISTRY
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.scoring.pairs import PAIRS_PER_BLOCK, predict_pairs


@pytest.fixture(scope="module")
def model(small):
    torch.manual_seed(0)
    config = WideDeepConfig(embedding_dim=4, hidden=(8,), embedding_sd=1.0)
    return REGISTRY[config.name].from_tables(config, Tables(small.path, small.manifest)).eval()


def test_predictions_are_those_of_forward(model):
    random = np.random.default_rng(0)
    count = PAIRS_PER_BLOCK + 100  # two blocks
    users, items = random.integers(0, 150, count).astype(np.int32), random.integers(0, 61, count).astype(np.int32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(users), torch.from_numpy(items)).rating.numpy()
    found = predict_pairs(model, users, items)
    assert found.dtype == np.float32
    assert expected.std() > 0.1
    assert found == pytest.approx(expected, abs=1e-5)


def test_no_pairs_no_predictions(model):
    assert predict_pairs(model, np.empty(0, np.int32), np.empty(0, np.int32)).shape == (0,)
