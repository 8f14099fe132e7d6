import numpy as np
import pytest
import torch

from tests.builders import TEN_POINTS
from widedeep.models import WideDeep
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.scoring.scorer import USERS_PER_BLOCK, Scorer
from widedeep.scoring.top_n import top_unseen

NOTHING = np.empty(0, np.int64)


def brute_force(scores: np.ndarray, seen: list[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort by affinity, then by item index; -1 and -inf where nothing is left."""
    best, where = np.full((len(scores), n), -np.inf, np.float32), np.full((len(scores), n), -1)
    for row, (values, hidden) in enumerate(zip(scores, seen, strict=True)):
        left = sorted(set(range(len(values))) - set(hidden.tolist()), key=lambda i: (-values[i], i))[:n]
        best[row, : len(left)], where[row, : len(left)] = values[left], left
    return best, where


@pytest.mark.parametrize("levels", [1, 3, 40, 10**6], ids=lambda n: f"{n}_levels")
@pytest.mark.parametrize("n", [1, 10, 300])
def test_the_best_unseen_as_by_sorting_also_with_ties(levels, n):
    random = np.random.default_rng(levels)
    scores = (random.integers(0, levels, (40, 300)) - levels // 2).astype(np.float32)
    seen = [random.choice(300, random.integers(0, 300), replace=False) for _ in range(40)]
    best, where = top_unseen(torch.from_numpy(scores.copy()), seen, n)
    expected_best, expected = brute_force(scores, seen, n)
    assert np.array_equal(where.numpy(), expected)
    assert np.array_equal(best.numpy(), expected_best)


def test_who_has_seen_all_gets_nothing():
    best, where = top_unseen(torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]]), [np.arange(3), np.array([0, 1])], 2)
    assert where.tolist() == [[-1, -1], [2, -1]]
    assert best.tolist() == [[-np.inf, -np.inf], [2.0, -np.inf]]


@pytest.fixture(scope="module")
def model() -> WideDeep:
    torch.manual_seed(0)
    shape = {
        "users": 2 * USERS_PER_BLOCK + 5,
        "items": 50,
        "user_rows": 2 * USERS_PER_BLOCK + 5,
        "item_rows": 50,
        "wide": 1,
    }
    config = WideDeepConfig(embedding_dim=4, hidden=(8,), embedding_sd=1.0)
    model = WideDeep(config, shape, TEN_POINTS).eval()
    model.user_row.copy_(torch.arange(2 * USERS_PER_BLOCK + 5))
    model.item_row.copy_(torch.arange(50))
    return model


def test_users_whose_array_has_changed_are_encoded_anew(model):
    """The scorer keeps the encodings of the last users."""
    scorer, users = Scorer(model, 50), np.arange(4, dtype=np.int32)
    first = scorer.affinities(users)
    users += 7
    changed = scorer.affinities(users)
    assert torch.equal(changed, Scorer(model, 50).affinities(np.arange(7, 11, dtype=np.int32)))
    assert not torch.equal(changed, first)


def test_blocks_of_users_as_one_by_one(model):
    random = np.random.default_rng(0)
    users = random.permutation(2 * USERS_PER_BLOCK + 5).astype(np.int32)
    seen = [random.choice(50, random.integers(0, 45), replace=False) for _ in users]
    items, scores, _ = Scorer(model, 50).top(users, seen, 10)
    with torch.no_grad():
        pairs = torch.from_numpy(users).repeat_interleave(50), torch.arange(50, dtype=torch.int32).repeat(len(users))
        plain = model(*pairs).affinity.view(len(users), 50).numpy()
    expected_scores, expected = brute_force(plain, seen, 10)
    assert np.array_equal(items, expected)
    assert np.allclose(scores, expected_scores, atol=1e-5)


def test_more_are_asked_for_than_there_are(model):
    items, scores, _ = Scorer(model, 50).top(np.array([7], np.int32), [NOTHING], 80)
    assert sorted(items[0].tolist()) == list(range(50))
    assert (np.diff(scores[0]) <= 0).all()


def test_no_users(model):
    items, scores, _ = Scorer(model, 50).top(np.empty(0, np.int32), [], 10)
    assert items.shape == scores.shape == (0, 10)
