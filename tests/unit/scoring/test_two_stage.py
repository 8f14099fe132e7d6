import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.builders import TEN_POINTS
from widedeep.config.score import ScoreConfig
from widedeep.models import Recommender, WideDeep
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.scoring.scorer import USERS_PER_BLOCK, Scorer
from widedeep.scoring.two_stage import Approximation, TwoStageScorer, fit, recall, rough_top, spread_columns

USERS, ITEMS = 2 * USERS_PER_BLOCK + 5, 203  # neither whole blocks nor whole groups


class Product(Recommender):
    """score = user vector . item vector + item mean: a matrix of rank 4, whose best approximation is itself."""

    def __init__(self, users: int = USERS, items: int = ITEMS):
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.users = torch.nn.functional.pad(torch.randn(users, 3, generator=random), (0, 1), value=1.0)
        self.items = torch.randn(items, 4, generator=random)

    def encode_users(self, user: Tensor) -> Tensor:
        return self.users[user.long()]

    def encode_items(self, item: Tensor) -> Tensor:
        return self.items[item.long()]

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        return (users * items).sum(-1)


@pytest.fixture(scope="module")
def model() -> WideDeep:
    """Not trained, so its scores are far from low rank."""
    torch.manual_seed(0)
    shape = {"users": USERS, "items": ITEMS, "user_rows": USERS, "item_rows": ITEMS, "wide": 1}
    model = WideDeep(WideDeepConfig(embedding_dim=8, hidden=(16, 8), embedding_sd=2.0), shape, TEN_POINTS).eval()
    model.user_row.copy_(torch.arange(USERS))
    model.item_row.copy_(torch.arange(ITEMS))
    return model.requires_grad_(False)


def everybody(seed: int = 0, most_seen: int = ITEMS) -> tuple[np.ndarray, list[np.ndarray]]:
    random = np.random.default_rng(seed)
    seen = [random.choice(ITEMS, random.integers(0, most_seen), replace=False) for _ in range(USERS)]
    return np.arange(USERS, dtype=np.int32), seen


def two_stages(model, landmarks: int, candidates: int, items: int = ITEMS) -> TwoStageScorer:
    approximation = fit(Scorer(model, items), np.arange(100, dtype=np.int32), landmarks)
    return TwoStageScorer(model, items, approximation, candidates)


@pytest.mark.parametrize("levels", [2, 10**6], ids=lambda n: f"{n}_levels")
@pytest.mark.parametrize("items", [8, 96, 800, 803])
@pytest.mark.parametrize("count", [1, 7, 8])
def test_rough_top_is_the_top(levels, items, count):
    scores = np.random.default_rng(items).integers(0, levels, (30, items)).astype(np.float32)
    columns = rough_top(torch.from_numpy(scores), count).numpy()
    assert (np.diff(columns, axis=1) > 0).all()
    found = np.sort(np.take_along_axis(scores, columns, 1))
    assert np.array_equal(found, np.sort(scores)[:, -count:])


def test_landmarks_are_the_longest_column_of_each_direction():
    axes = torch.linalg.qr(torch.randn(60, 3, generator=torch.Generator().manual_seed(2))).Q
    # Three directions, with lengths 1 to 3, 10 to 30 and 100 to 300; the same twice adds nothing.
    matrix = torch.cat([axes[:, [k]] * length * 10**k for k in range(3) for length in (1.0, 3.0, 2.0)], dim=1)
    assert spread_columns(matrix, 3).tolist() == [7, 4, 1]
    assert sorted(spread_columns(matrix, 9).tolist()) == list(range(9))


def test_scores_of_low_rank_are_told_by_as_many_landmarks():
    model = Product()
    users, seen = everybody(most_seen=100)
    exact = Scorer(model, ITEMS)
    scores = exact.affinities(users)
    enough, few = (fit(exact, users[:100], landmarks) for landmarks in (3, 2))
    errors = [(scores[:, a.landmarks] @ a.slope + a.intercept - scores).abs().max() for a in (enough, few)]
    assert errors[0] < 1e-2 < 0.5 < errors[1]
    lists = exact.top(users, seen, 10)[0]
    assert recall(lists, TwoStageScorer(model, ITEMS, enough, 12).top(users, seen, 10)[0]) == 1.0
    assert recall(lists, TwoStageScorer(model, ITEMS, few, 12).top(users, seen, 10)[0]) < 0.9


def test_landmarks_that_say_the_same_share_the_slope():
    """Without a ridge some would have large slopes, which others cancel."""
    exact = Scorer(Product(), ITEMS)
    enough, many = (fit(exact, everybody()[0][:100], landmarks).slope.norm(dim=0) for landmarks in (3, 12))
    assert (many < enough.max()).all()


@pytest.mark.parametrize("n", [1, 10, ITEMS + 7])
def test_with_all_items_candidates_the_lists_are_exact(model, n):
    users, seen = everybody()
    items, scores, _ = two_stages(model, 5, ITEMS).top(users, seen, n)
    exact_items, exact_scores, _ = Scorer(model, ITEMS).top(users, seen, n)
    # The two ways round differently: items whose scores are that close may change places.
    assert np.array_equal(np.sort(items), np.sort(exact_items))
    assert np.allclose(scores, exact_scores, atol=1e-5)
    assert recall(exact_items, items) == 1.0


@pytest.mark.parametrize("candidates", [10, 24, 60])
def test_candidates_get_the_models_own_scores_in_order_and_none_was_seen(model, candidates):
    users, seen = everybody(seed=candidates)
    items, scores, _ = two_stages(model, 20, candidates).top(users, seen, 10)
    exact = Scorer(model, ITEMS).affinities(users).numpy()
    for row, hidden in enumerate(seen):
        listed = items[row][items[row] >= 0]
        assert len(listed) == min(10, ITEMS - len(hidden)) == len(set(listed.tolist()))
        assert not set(listed.tolist()) & set(hidden.tolist())
        assert scores[row, : len(listed)] == pytest.approx(exact[row, listed], abs=1e-5)
        assert (np.diff(scores[row, : len(listed)]) <= 0).all()
        assert (scores[row, len(listed) :] == -np.inf).all()


def test_more_candidates_find_more(model):
    users, seen = everybody(most_seen=50)
    exact = Scorer(model, ITEMS).top(users, seen, 10)[0]
    found = [recall(exact, two_stages(model, 20, p).top(users, seen, 10)[0]) for p in (10, 20, 60, ITEMS)]
    assert found == sorted(found)
    assert found[0] < 0.9 < found[-1] == 1.0


@pytest.mark.parametrize("items", [1, 5, 8, 11])
def test_fewer_items_than_all_settings(items):
    model = Product(items=items)
    users, nothing = np.arange(USERS, dtype=np.int32), [np.empty(0, np.int64)] * USERS
    assert np.array_equal(
        two_stages(model, 64, 256, items).top(users, nothing, 10)[0], Scorer(model, items).top(users, nothing, 10)[0]
    )


def test_equal_scores_stand_in_the_order_of_items():
    model = Product()
    model.items[:] = 1.0
    items, _, _ = two_stages(model, 4, ITEMS).top(np.arange(3, dtype=np.int32), [np.array([0, 2])] * 3, 4)
    assert items.tolist() == [[1, 3, 4, 5]] * 3


def test_an_approximation_travels_as_bytes():
    there = fit(Scorer(Product(), ITEMS), np.arange(50, dtype=np.int32), 4)
    back = Approximation.from_bytes(there.to_bytes())
    for name, value in vars(there).items():
        assert torch.equal(getattr(back, name), value)


def test_recall_by_hand():
    exact = np.array([[1, 2, 3], [4, 5, -1], [-1, -1, -1]])
    assert recall(exact, np.array([[3, 9, 1], [5, -1, -1], [-1, -1, -1]])) == pytest.approx(3 / 5)
    assert recall(exact, exact) == 1.0


def test_fewer_candidates_than_places_are_refused():
    with pytest.raises(ValidationError, match=r"candidates \(9\) must be at least top_n \(10\)"):
        ScoreConfig(method="two_stage", candidates=9)
    assert ScoreConfig(candidates=9).method == "exact"


def test_longer_lists_have_more_candidates_unless_told():
    settings = ({}, {"top_n": 32}, {"top_n": 100}, {"top_n": 100, "candidates": 150})
    assert [ScoreConfig(**values).candidates_each for values in settings] == [128, 128, 400, 150]
