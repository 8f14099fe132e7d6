import time

import numpy as np
import pytest
import torch

from tests.unit.training.test_optimizer import BATCH, new_model, settings, train_state
from widedeep.parallel.world import ALONE
from widedeep.training.limit import MachineLimit, gemm_rate


def counted(work, ratings: int = 4, ranks: int = 1) -> MachineLimit:
    limit = MachineLimit(ALONE.device, ranks)
    with limit.counting(ratings):
        work()
    return limit


def test_the_operations_of_a_step_by_hand():
    """Layers of 3 x 4 (twice: user, item), 4 x 1, and 2 x 1 whose inputs are features and need no gradient."""
    state = train_state(new_model(settings()), settings())
    limit = counted(lambda: state.train_step(BATCH), len(BATCH))
    assert limit._flops_per_rating == 2 * (12 + 12 + 4 + 2) * 2 + 2 * (12 + 12 + 4)


def test_only_the_first_step_is_counted():
    left = torch.ones(2, 3)
    limit = counted(lambda: left @ left.t())
    with limit.counting(4):
        left @ left.t()
    assert limit._flops_per_rating == 2 * 2 * 3 * 2 / 4


def test_the_share_by_hand():
    """Half of the device's rate is a share of a half; on two ranks each does half of the samples."""
    square = torch.ones(100, 100)
    one, two = counted(lambda: square @ square, 10), counted(lambda: square @ square, 10, ranks=2)
    assert one.share(1e9) is not None
    two._rate = one._rate
    assert one.share(one._rate / 2 / 2e5) == pytest.approx(0.5)
    assert two.share(one._rate / 2 / 2e5) == pytest.approx(0.25)
    assert one.share(one._rate / 200 / 2e5) is None  # half a percent tells nothing


def test_what_has_sparse_products_or_none_has_no_share():
    sparse = torch.eye(50).to_sparse_csr()
    assert counted(lambda: sparse @ torch.ones(50, 50)).share(1e9) is None
    assert counted(lambda: torch.ones(50) + 1).share(1e9) is None
    assert counted(lambda: torch.eye(50) @ torch.ones(50, 50)).share(1e9) is not None


def test_the_rate_is_that_of_another_library_and_draws_nothing():
    before = torch.get_rng_state()
    rate = gemm_rate(ALONE.device, 0.2, 512, 256, 384)
    assert torch.equal(torch.get_rng_state(), before)
    left, right, times = np.ones((512, 256), np.float32), np.ones((256, 384), np.float32), []
    for _ in range(50):
        begun = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - begun)
    other = 2 * 512 * 256 * 384 / np.median(times)
    assert other / 30 < rate < 30 * other  # there may be other load, and other numbers of threads


def test_the_rate_of_the_device_is_measured_where_a_share_is_asked_for():
    """As many operations as the device can do are a share of about 1."""
    square = torch.ones(100, 100)
    rate = gemm_rate(ALONE.device, 0.1, 1024, 1024, 1024)
    share = counted(lambda: square @ square, 10).share(rate / 2e5)
    assert share is not None
    assert 1 / 30 < share < 30  # there may be other load
