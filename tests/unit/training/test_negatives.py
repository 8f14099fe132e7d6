import numpy as np
import pytest
import torch

from widedeep.config.train import RankingConfig
from widedeep.parallel.world import World
from widedeep.training.negatives import Negatives, NegativeSampler

RATINGS = np.array([0, 9, 1, 0, 4, 0])  # of six items, three of them cold, the first and the last too
ITEM = torch.tensor([1, 2, 4, 4], dtype=torch.int32)


def draw(step: int = 0, rank: int = 0, seed: int = 0, **settings) -> Negatives:
    world = World(rank, 2, torch.device("cpu"))
    return NegativeSampler(RATINGS, RankingConfig(**settings), seed, world).draw(ITEM, step)


@pytest.mark.parametrize(
    ("popularity", "expected"),
    [(0.0, [1 / 3, 1 / 3, 1 / 3]), (0.5, [3 / 6, 1 / 6, 2 / 6]), (1.0, [9 / 14, 1 / 14, 4 / 14])],
)
def test_items_with_ratings_are_drawn_by_a_power_of_their_popularity(popularity, expected):
    negatives = draw(popularity=popularity, negatives=50_000)
    counts = torch.bincount(negatives.item.flatten().long(), minlength=6) / negatives.item.numel()
    assert counts[[0, 3, 5]].tolist() == [0, 0, 0]
    assert counts[[1, 2, 4]].tolist() == pytest.approx(expected, abs=0.01)
    log_q = np.log(np.array([0, expected[0], expected[1], 0, expected[2], 0]) + 1e-30)
    items = torch.cat([ITEM[:, None], negatives.item], dim=1)
    np.testing.assert_allclose(negatives.log_q, log_q[items.numpy()], rtol=1e-5)


def test_each_rating_has_negatives_of_its_own():
    negatives = draw(negatives=20)
    assert negatives.item.dtype == torch.int32
    assert len({tuple(row) for row in negatives.item.tolist()}) == len(ITEM)


def test_the_same_step_draws_the_same_and_no_other_does():
    first = draw(step=7).item
    assert torch.equal(first, draw(step=7).item)
    for other in (draw(step=8), draw(step=7, rank=1), draw(step=7, seed=1)):
        assert not torch.equal(first, other.item)


def test_drawing_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    draw()
    assert torch.equal(torch.get_rng_state(), before)
