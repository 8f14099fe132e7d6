"""The sparse weights of histories against matrix products, and that a user's fold has not seen the user."""

import numpy as np
import pytest
import torch

from widedeep.data.sparse_weights import nearest_by_cosine, slim_weights
from widedeep.models.history.sparse import SparseCrosses, fit_sparse
from widedeep.models.history.wide import Bags

USERS, ITEMS, FOLDS, L1, L2 = 40, 12, 3, 0.3, 1.0
ROWS = ITEMS + 1  # and that of unrated items


def histories(seed: int = 0) -> np.ndarray:
    """Preferences, 0 for none, [USERS, ROWS]; nobody has rated the last row."""
    random = np.random.default_rng(seed)
    matrix = np.where(random.random((USERS, ROWS)) < 0.4, random.uniform(0.1, 2.0, (USERS, ROWS)), 0)
    matrix[:, -1] = 0
    return matrix.astype(np.float32)


def fitted(matrix: np.ndarray, kept: int = ITEMS) -> SparseCrosses:
    user, item = np.nonzero(matrix)
    crosses = SparseCrosses(ROWS, FOLDS, kept)
    crosses.load_state_dict(fit_sparse(user, item, matrix[user, item], (USERS, ROWS), FOLDS, kept, L1, L2))
    return crosses


def weights(matrix: np.ndarray) -> np.ndarray:
    """SLIM's weights B of some users' preferences, [ROWS, ROWS]."""
    gram = matrix.T @ matrix
    near, weight = slim_weights(gram, nearest_by_cosine(gram, ITEMS), L1, L2)
    found = np.zeros_like(gram)
    np.put_along_axis(found, near.T, weight.T, axis=0)
    return found


def bags(matrix: np.ndarray) -> Bags:
    user, item = np.nonzero(matrix)
    start = np.append(0, np.bincount(user, minlength=len(matrix)).cumsum())
    return Bags(torch.from_numpy(start), torch.from_numpy(item), torch.from_numpy(matrix[user, item]))


def close(found: torch.Tensor, expected: np.ndarray) -> bool:
    return np.allclose(found.numpy(), expected, atol=1e-3)


def test_scores_are_products_with_the_weights_of_everybody():
    matrix = histories()
    crosses, past = fitted(matrix), bags(matrix[:7])
    residual = torch.randn(len(past.item), generator=torch.Generator().manual_seed(0))
    found = crosses.scores(past, residual)
    residuals = np.zeros((7, ROWS), np.float32)
    residuals[np.nonzero(matrix[:7])] = residual.numpy()
    everybody = weights(matrix)
    assert (everybody > 0).mean() > 0.2
    assert close(found.preference, matrix[:7] @ everybody)
    assert close(found.residual, residuals @ everybody)


def test_in_training_weights_have_not_seen_the_users_fold():
    matrix, users = histories(), np.array([4, 0, 11, 5])
    past = bags(matrix[users])
    found = fitted(matrix).scores(past, past.weight, without=torch.from_numpy(users)).preference
    for place, user in enumerate(users):
        others = np.arange(USERS) % FOLDS != user % FOLDS
        assert close(found[place], matrix[user] @ weights(matrix[others]))


def test_what_a_user_has_rated_does_not_change_the_weights_of_training():
    matrix = histories()
    changed = matrix.copy()
    changed[5] = np.where(matrix[5] > 0, 0, 1.7)
    changed[5, -1] = 0
    past, user = bags(matrix[5:6]), torch.tensor([5])
    before, after = (fitted(m).scores(past, past.weight, without=user).preference for m in (matrix, changed))
    torch.testing.assert_close(before, after, atol=1e-4, rtol=0)
    assert (fitted(matrix).scores(past, past.weight).preference - after).abs().max() > 0.01


def test_contributions_add_up_to_the_scores():
    matrix = histories()
    crosses, past = fitted(matrix), bags(matrix[:3])
    longest = int(past.start.diff().max())
    row, weight = torch.full((3, longest), ITEMS), torch.zeros(3, longest)
    for user in range(3):
        mine = slice(int(past.start[user]), int(past.start[user + 1]))
        count = mine.stop - mine.start
        row[user, :count], weight[user, :count] = past.item[mine], past.weight[mine]
    target = torch.arange(ROWS).expand(3, -1)
    parts = crosses.contributions(row, weight, target)
    torch.testing.assert_close(parts.sum(2), crosses.scores(past, past.weight).preference)
    assert close(parts[0], weights(matrix)[row[0]].T * weight[0].numpy())


def test_the_largest_weights_are_kept():
    matrix = histories()
    kept = fitted(matrix, kept=2).weight[-1]
    assert kept.shape == (ROWS, 2)
    assert close(kept[:-1], -np.sort(-weights(matrix), axis=0)[:2].T[:-1])


@pytest.mark.parametrize("known", [True, False])
def test_where_no_weights_are_kept_there_are_none(known):
    matrix = histories()
    crosses, past = fitted(matrix, kept=0), bags(matrix[:4])
    found = crosses.scores(past, past.weight, without=torch.arange(4) if known else None)
    assert found.preference.shape == found.residual.shape == (4, ROWS)
    assert not found.preference.any()
    assert not crosses.contributions(torch.tensor([[1]]), torch.ones(1, 1), torch.tensor([[2]])).any()
