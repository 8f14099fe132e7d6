"""Each method against a library, or against its definition written out with loops over dense matrices."""

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import ElasticNet, Ridge
from sklearn.metrics import mean_squared_error
from sklearn.metrics.pairwise import cosine_similarity

from tests.builders import TEN_POINTS
from tests.rating_splits import (
    ITEMS,
    USERS,
    assert_valid_chooses,
    context_of,
    dense,
    everyone,
    random_splits,
    splits_of,
)
from widedeep.baselines import user_knn
from widedeep.baselines.biases import bias_predictor, bias_ranker, fit_bias_grid
from widedeep.baselines.ease import Ease, ease_weights
from widedeep.baselines.edlae import Edlae
from widedeep.baselines.factors import Factors, factor_predictor, factor_ranker
from widedeep.baselines.item_knn import ItemKnn, nearest_items, weighted_mean
from widedeep.baselines.similarity import residual_similarity, set_similarity
from widedeep.baselines.simple import popularity_ranker, with_popular_for_cold
from widedeep.baselines.slim import Slim
from widedeep.baselines.tuning import Candidate, Evaluator, grid_edges, recommend, tune
from widedeep.baselines.user_knn import UserKnn
from widedeep.data import sparse_weights
from widedeep.data.matrix_products import dense_product, sparse_from_top_k, top_k_columns
from widedeep.data.rating_matrices import Splits, load_splits, preference


@pytest.fixture(scope="module")
def splits() -> Splits:
    return random_splits()


# --- products ------------------------------------------------------------------------------------


def test_dense_product_is_numpys(monkeypatch):
    monkeypatch.setattr("widedeep.data.matrix_products.ROWS_PER_BLOCK", 7)
    random = np.random.default_rng(0)
    left, right = (random.random((n, 30)) * (random.random((n, 30)) < 0.3) for n in (23, 16))
    found = dense_product(sp.csr_matrix(left.astype(np.float32)), sp.csr_matrix(right.astype(np.float32)))
    assert np.allclose(found, left @ right.T, atol=1e-5)
    assert found.dtype == np.float32  # one for each pair of items: float64 would take twice the memory


def test_top_k_columns_and_their_sparse_matrix_by_hand():
    weights = np.array([[0.0, 3.0, 1.0, 2.0], [5.0, 0.0, 4.0, 1.0]])
    columns = top_k_columns(weights, 2)
    assert columns.tolist() == [[1, 3], [0, 2]]
    assert top_k_columns(weights, 9).tolist()[0][0] == 1
    sparse = sparse_from_top_k(columns, np.take_along_axis(weights, columns, axis=1), 4)
    assert sparse.toarray().tolist() == [[0, 3, 0, 2], [5, 0, 4, 0]]
    assert sparse_from_top_k(np.empty((2, 0), np.int64), np.empty((2, 0)), 4).toarray().tolist() == [[0] * 4] * 2


# --- what all share ------------------------------------------------------------------------------


def test_preference_by_hand():
    assert preference(np.array([1.0, 3.0, 4.0, 7.0, 9.0, 10.0]), TEN_POINTS).tolist() == [
        0.1,
        0.1,
        0.25,
        1.0,
        1.5,
        1.75,
    ]


def test_splits_hold_the_ratings_of_the_prepared_directory(small):
    found = load_splits(small.path, small.manifest)
    for split in ("train", "valid", "test"):
        assert np.array_equal(np.stack(found.pairs(split), axis=1), small.ratings(split))
    train = small.ratings("train")
    assert found.rated.tolist() == sorted(set(train[:, 1].astype(int).tolist()))
    liked = found.matrix("test", least=8)
    assert liked.nnz == (small.ratings("test")[:, 2] >= 8).sum()


def test_lists_leave_out_what_was_seen_and_what_cannot_be_scored():
    seen = sp.csr_matrix(np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]]))
    scores = np.array([[9, 2, 5, -np.inf], [1, 1, 0, -np.inf], [1, 2, 3, -np.inf]], np.float32)
    ((users, items, best),) = recommend(lambda users: scores[users].copy(), np.arange(3), seen, 2)
    assert users.tolist() == [0, 1, 2]
    assert items.tolist() == [[2, 1], [0, 1], [0, -1]]
    assert best[0].tolist() == [5, 2]


def test_the_evaluator_measures_as_worked_out_by_hand():
    train = [(0, 0, 9), (1, 1, 5), (2, 0, 7)]
    valid = [(0, 1, 8), (0, 2, 3), (1, 0, 10), (1, 3, 9), (2, 1, 4)]
    evaluator = Evaluator(splits_of(train, valid, users=3, items=4), 10, 0)
    # Errors 0, 11 clipped to 10 - 3, 4, 3, -2.
    found = evaluator.rating_metrics(lambda user, item: np.array([8.0, 11.0, 6.0, 6.0, 6.0]))
    assert found == {"rmse": pytest.approx(math.sqrt((0 + 49 + 16 + 9 + 4) / 5)), "ratings": 5}
    # Users 0 and 1 like something. 0: candidates 1, 2, 3, the liked 1 is first. 1: candidates 0, 2, 3; in the order
    # 3, 2, 0 both liked are in places 1 and 3.
    scores = np.array([[9, 4, 3, 2], [1, 9, 2, 3], [0, 0, 0, 0]], np.float32)
    quality = evaluator.ranking_metrics(lambda users: scores[users].copy())
    assert quality["ndcg_at_10"] == pytest.approx((1 + (1 + 0.5) / (1 + 1 / math.log2(3))) / 2)
    assert (quality["recall_at_20"], quality["users"]) == (1.0, 2)


def test_the_best_candidates_are_kept_ratings_by_error_and_lists_by_gain():
    train, valid = [(0, 0, 9), (1, 1, 5)], [(0, 1, 8), (1, 0, 10)]
    evaluator = Evaluator(splits_of(train, valid, users=2, items=3), 10, 0)

    def rate(value):
        return lambda user, item: np.full(len(user), value)

    def rank(last):
        return lambda users: np.array([[0, 1, last]] * len(users), np.float32)

    candidates = [
        Candidate({"n": n}, rate(v), rank(last))
        for n, v, last in ((0, 2.0, 0.5), (1, 9.0, 3), (2, 9.0, 3), (3, 4.0, -1))
    ]
    tuned = tune("x", iter(candidates), evaluator)
    # User 1's candidates are 0 and 2: only the last candidate puts the liked 0 first.
    assert (tuned.ratings.settings, tuned.lists.settings) == ({"n": 1}, {"n": 3})
    assert [trial.settings["n"] for trial in tuned.trials] == [0, 1, 2, 3]
    assert tuned.trials[1].metrics["rmse"] == pytest.approx(1.0)


def test_without_valid_ratings_the_first_candidate_is_taken():
    evaluator = Evaluator(splits_of([(0, 0, 9)], users=1, items=2), 10, 0)
    candidates = [Candidate({"n": n}, lambda user, item: np.full(len(user), 5.0)) for n in (0, 1)]
    tuned = tune("x", iter(candidates), evaluator)
    assert tuned.ratings.settings == {"n": 0}
    assert math.isnan(tuned.trials[0].metrics["rmse"])
    assert tuned.lists is None


def test_a_number_is_better_than_none_and_the_edges_of_a_grid_are_told():
    evaluator = Evaluator(splits_of([(0, 0, 9)], [(0, 1, 8)], users=1, items=2), 10, 0)
    candidates = [
        Candidate({"k": k, "kind": "x"}, lambda user, item, value=value: np.full(len(user), value))
        for k, value in ((1, np.nan), (2, 7.0), (3, 7.5), (4, np.nan))
    ]
    tuned = tune("x", iter(candidates), evaluator)
    assert tuned.ratings.settings == {"k": 3, "kind": "x"}
    assert grid_edges({"k": 3, "kind": "x"}, tuned.trials) == []
    assert grid_edges({"k": 4, "kind": "x"}, tuned.trials) == ["k 4 is the highest"]
    assert grid_edges({"k": 1, "kind": "x"}, tuned.trials) == ["k 1 is the lowest"]


# --- simple --------------------------------------------------------------------------------------


def test_biases_predict_and_rank():
    splits = splits_of([(0, 0, 9), (0, 1, 5), (1, 0, 8)], users=3, items=3)
    ((settings, fit),) = fit_bias_grid(splits, [(2.0, 1.0)])
    assert settings == {"user_prior": 2.0, "item_prior": 1.0}
    # The lowest sum of squared errors, plus 2 for each user's and 1 for each item's squared bias, around the mean 22/3:
    # users 0, 1 and items 0, 1; user 2 and item 2 have no ratings, so no bias.
    rated = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]])
    u0, u1, i0, i1 = np.linalg.solve(rated.T @ rated + np.diag([2, 2, 1, 1]), rated.T @ (np.array([9, 5, 8]) - 22 / 3))
    everybody, everything = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)
    expected = 22 / 3 + np.add.outer([u0, u1, 0], [i0, i1, 0])
    assert bias_predictor(fit)(everybody, everything) == pytest.approx(expected.ravel(), abs=1e-3)
    assert bias_ranker(fit)(np.arange(3)) == pytest.approx(expected, abs=1e-3)


def test_popularity_is_a_share_of_the_users_and_serves_those_without_history():
    splits = splits_of([(0, 0, 9), (0, 1, 5), (1, 0, 4), (2, 1, 8), (3, 1, 7)], users=5, items=3)
    assert popularity_ranker(splits, 0)(np.array([0])).tolist() == [[0.5, 0.75, 0.0]]
    assert popularity_ranker(splits, 8)(np.array([4, 0])).tolist() == [[0.25, 0.25, 0.0]] * 2
    ranker = with_popular_for_cold(splits, lambda users: np.full((len(users), 3), 9, np.float32))
    assert ranker(np.array([4, 1])).tolist() == [[0.5, 0.75, 0.0], [9, 9, 9]]


# --- neighbourhoods ------------------------------------------------------------------------------


def test_the_plain_similarity_is_sklearns_cosine(splits):
    columns = splits.history[:, splits.rated].T.tocsr()
    sizes = np.diff(columns.indptr)
    found = set_similarity(dense_product(columns, columns), sizes, sizes, 0.5, 0.0)
    assert np.allclose(found, cosine_similarity(columns.toarray()), atol=1e-6)


def test_the_asymmetric_similarity_by_hand():
    found = set_similarity(np.array([[2.0]]), np.array([4]), np.array([16]), 0.75, 1.0)
    assert found[0, 0] == pytest.approx(2 / (4**0.25 * 16**0.75 + 1))


def test_no_item_is_its_own_neighbour():
    common = np.array([[3, 1, 2], [1, 4, 0], [2, 0, 2]], np.float32)
    closest, weights = nearest_items(common, np.array([3, 4, 2]), 0.5, 0.0, 1)
    assert closest[:, 0].tolist() == [2, 0, 0]
    assert weights[:, 0] == pytest.approx([2 / 6**0.5, 1 / 12**0.5, 2 / 6**0.5])


def test_item_lists_are_sums_of_similarities(splits):
    knn = ItemKnn(list_exponents=(0.8,), list_shrinkages=(2.0,), list_neighbours=(ITEMS,))
    plain, weighted = list(knn.list_candidates(splits))
    history, opinions = dense(splits) > 0, dense(splits, preference(splits.pairs("train")[2], TEN_POINTS))
    sizes = history.sum(0)
    for candidate, past in ((plain, history), (weighted, opinions)):
        assert candidate.settings["weighted_history"] == (past is opinions)
        found = candidate.ranker(everyone(splits))
        for i in splits.rated:
            expected = sum(
                past[:, j] * (history[:, i] & history[:, j]).sum() / (sizes[i] ** 0.2 * sizes[j] ** 0.8 + 2)
                for j in splits.rated
                if j != i
            )
            assert found[:, i] == pytest.approx(expected, abs=1e-5)
        assert (found[:, -2:] == -np.inf).all()


def test_user_lists_are_sums_of_opinions(splits, monkeypatch):
    monkeypatch.setattr(user_knn, "USERS_AT_ONCE", 7)
    knn = UserKnn(list_exponents=(0.7,), list_shrinkages=(2.0,), list_neighbours=(USERS,))
    _, weighted = list(knn.list_candidates(splits))
    history, opinions = dense(splits) > 0, dense(splits, preference(splits.pairs("train")[2], TEN_POINTS))
    sizes = history.sum(1)
    found = weighted.ranker(everyone(splits))
    for u in range(USERS):
        expected = sum(
            opinions[v] * (history[u] & history[v]).sum() / (sizes[u] ** 0.3 * sizes[v] ** 0.7 + 2)
            for v in range(USERS)
            if v != u
        )
        assert found[u] == pytest.approx(expected, abs=1e-5)


def test_only_the_nearest_users_vote():
    rows = [(0, 0, 7), (0, 1, 7), (1, 0, 7), (1, 1, 7), (1, 2, 7), (2, 1, 7), (2, 3, 7), (2, 4, 7), (3, 4, 7)]
    splits = splits_of(rows, users=4, items=5)
    knn = UserKnn(list_exponents=(0.5,), list_shrinkages=(0.0,), list_neighbours=(1, 2))
    one, _, two, _ = [candidate.ranker(np.array([0]))[0] for candidate in knn.list_candidates(splits)]
    # User 1 has cosine 2 / 6^0.5 with user 0, user 2 has 1 / 6^0.5, user 3 none.
    assert one == pytest.approx(np.array([2, 2, 2, 0, 0]) / 6**0.5)
    assert two == pytest.approx(np.array([2, 3, 2, 1, 1]) / 6**0.5)


def test_correlations_are_sklearns_over_common_raters_and_over_all():
    random = np.random.default_rng(5)
    there = random.random((6, 40)) < 0.6
    rest = random.normal(0, 1, (6, 40)) * there
    common = there.astype(float) @ there.T
    for kind in ("pearson", "cosine"):
        left = (rest**2) @ there.T if kind == "pearson" else (rest**2).sum(1)[:, None]
        found = residual_similarity(rest @ rest.T, common, left, left.T, 10.0)
        for a in range(6):
            for b in range(6):
                both = there[a] & there[b] if kind == "pearson" else np.full(40, True)
                expected = cosine_similarity(rest[a, both][None], rest[b, both][None])[0, 0]
                assert found[a, b] == pytest.approx(expected * common[a, b] / (common[a, b] + 10), abs=1e-6)


def test_a_weighted_mean_by_hand():
    weights, values = np.array([[0.5, -0.25, 0.1]]), np.array([2.0, 1.0, -3.0])
    assert weighted_mean(weights, values, 3, 0.15) == pytest.approx([(1.0 - 0.25 - 0.3) / (0.85 + 0.15)])
    assert weighted_mean(weights, values, 2, 0.25) == pytest.approx([(1.0 - 0.25) / (0.75 + 0.25)])


def base(user, item):
    return 6.0 + 0.01 * user - 0.02 * item


# With one common rating a Pearson correlation is 1 or -1, so that many tie for the last place: all are neighbours.
@pytest.mark.parametrize(("kind", "k"), [("cosine", 3), ("pearson", ITEMS)])
def test_item_predictions_are_those_of_the_definition(splits, kind, k):
    shrinkage, damping = 5.0, 0.3
    knn = ItemKnn(
        rating_similarities=(kind,), rating_shrinkages=(shrinkage,), rating_neighbours=(k,), rating_dampings=(damping,)
    )
    (candidate,) = knn.rating_candidates(splits, base)
    history, rest = residuals_of(splits)
    similar = correlations(rest.T, history.T, kind, shrinkage)
    user, item, _ = splits.pairs("valid")
    expected = []
    for u, i in zip(user, item, strict=True):
        near = sorted(np.flatnonzero(history[u]), key=lambda j: -abs(similar[i, j]))[:k]
        total = sum(similar[i, j] * rest[u, j] for j in near) if history[:, i].any() else 0
        expected.append(base(u, i) + total / (sum(abs(similar[i, j]) for j in near) + damping))
    assert candidate.predictor(user, item) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("kind", "k"), [("cosine", 6), ("pearson", USERS)])
def test_user_predictions_are_those_of_the_definition(splits, kind, k, monkeypatch):
    monkeypatch.setattr(user_knn, "USERS_PER_BLOCK", 8)
    shrinkage, damping = 5.0, 0.3
    knn = UserKnn(
        rating_similarities=(kind,), rating_shrinkages=(shrinkage,), rating_neighbours=(k,), rating_dampings=(damping,)
    )
    (candidate,) = knn.rating_candidates(splits, base)
    history, rest = residuals_of(splits)
    similar = correlations(rest, history, kind, shrinkage)
    user, item, _ = splits.pairs("valid")
    expected = []
    for u, i in zip(user, item, strict=True):
        near = sorted((v for v in range(USERS) if v != u), key=lambda v: -similar[u, v])[:k]
        near = [v for v in near if similar[u, v] > 0 and history[v, i]]
        total = sum(similar[u, v] * rest[v, i] for v in near)
        expected.append(base(u, i) + total / (sum(similar[u, v] for v in near) + damping))
    assert candidate.predictor(user, item) == pytest.approx(expected, abs=1e-5)


def residuals_of(splits: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Where there are ratings, and what `base` leaves of them."""
    user, item, rating = splits.pairs("train")
    return dense(splits) > 0, dense(splits, rating - base(user, item))


def correlations(rest: np.ndarray, there: np.ndarray, kind: str, shrinkage: float) -> np.ndarray:
    """Of all pairs of rows."""
    rows = len(rest)
    found = np.zeros((rows, rows))
    for a in range(rows):
        for b in range(rows):
            both = there[a] & there[b]
            left, right = (rest[row][both if kind == "pearson" else slice(None)] for row in (a, b))
            scale = np.sqrt((left**2).sum() * (right**2).sum())
            if both.any() and scale:
                found[a, b] = rest[a] @ rest[b] / scale * both.sum() / (both.sum() + shrinkage)
    return found


# --- SLIM, EASE, EDLAE and factors ----------------------------------------------------------------------------


def test_slim_is_the_elastic_net_of_each_item_on_the_items_of_largest_cosine(splits, monkeypatch):
    monkeypatch.setattr(sparse_weights, "ITEMS_PER_BLOCK", 7)
    monkeypatch.setattr(sparse_weights, "TOLERANCE", 1e-7)
    matrix = dense(splits, preference(splits.pairs("train")[2], TEN_POINTS))[:, splits.rated]
    rows, items = matrix.shape
    candidates = list(Slim(neighbours=(5, 99), l1=(0.7,), l2=(2.0,)).candidates(context_of(splits)))
    fitted = [c for c in candidates if c.settings["weighted_fit"]]
    assert [c.settings["k"] for c in fitted] == [5, 99]
    for candidate in fitted:
        expected = np.zeros((items, items))
        for item in range(items):
            cosine = cosine_similarity(matrix.T)[item]
            cosine[item] = -1
            near = np.argsort(-cosine)[: min(candidate.settings["k"], items - 1)]
            # scikit-learn divides the squared error by the number of rows.
            net = ElasticNet(
                alpha=2.7 / rows, l1_ratio=0.7 / 2.7, positive=True, fit_intercept=False, tol=1e-10, max_iter=10_000
            ).fit(matrix[:, near], matrix[:, item])
            expected[near, item] = net.coef_
        assert 0 < (expected > 0).mean() < 0.5
        found = candidate.ranker(everyone(splits))
        assert np.allclose(found[:, splits.rated], matrix @ expected, atol=1e-4)
        assert (found[:, -2:] == -np.inf).all()


def test_the_valid_split_chooses_the_settings_of_slim(splits):
    assert_valid_chooses(Slim(neighbours=(3, 20), l1=(0.1, 2.0), l2=(1.0,)), splits)


def test_ease_is_ridge_regression_of_each_item_on_the_others(splits):
    history = (dense(splits) > 0)[:, splits.rated].astype(float)
    found = ease_weights((history.T @ history).astype(np.float32), 3.0)
    assert found.dtype == np.float32
    assert (found.diagonal() == 0).all()
    for item in range(history.shape[1]):
        others = np.delete(history, item, axis=1)
        ridge = Ridge(alpha=3.0, fit_intercept=False).fit(others, history[:, item])
        assert np.delete(found[:, item], item) == pytest.approx(ridge.coef_, abs=1e-5)


def test_ease_scores_plain_and_weighted_histories(splits):
    candidates = list(Ease(l2=(3.0,)).candidates(context_of(splits)))
    kinds = [(candidate.settings["weighted_fit"], candidate.settings["weighted_history"]) for candidate in candidates]
    assert kinds == [(False, False), (False, True), (True, True)]
    matrices = [dense(splits, v)[:, splits.rated] for v in (1, preference(splits.pairs("train")[2], TEN_POINTS))]
    for (fitted, scored), candidate in zip(kinds, candidates, strict=True):
        weights = ease_weights((matrices[fitted].T @ matrices[fitted]).astype(np.float32), 3.0)
        found = candidate.ranker(everyone(splits))
        assert np.allclose(found[:, splits.rated], matrices[scored] @ weights, atol=1e-5)
        assert (found[:, -2:] == -np.inf).all()


def penalty_of(dropout: float, l2: float, gram: np.ndarray) -> np.ndarray:
    ((settings, penalty),) = Edlae(dropouts=(dropout,), l2=(l2,)).penalties(gram.diagonal())
    assert settings == {"dropout": dropout, "l2": l2}
    return np.asarray(penalty)


def test_edlae_reconstructs_what_dropout_removed_on_average_over_all_removals():
    dropout, l2 = 0.3, 0.5
    history = np.array([[1, 1, 0, 1], [1, 0, 1.5, 1], [0, 1, 1, 0], [1, 0.5, 0, 0], [0, 0, 1, 1]])
    gram = (history.T @ history).astype(np.float32)
    found = ease_weights(gram, penalty_of(dropout, l2, gram))
    assert (found.diagonal() == 0).all()
    kept = np.array(list(itertools.product((0, 1), repeat=3)))  # all removals from the entries of the other 3 items
    likely = np.prod(np.where(kept, 1 - dropout, dropout), axis=1)
    for item in range(4):
        others = np.delete(history, item, axis=1)
        # Least squares: a row for each user and removal, then one for the penalty of each weight. A removal leaves
        # 1 - dropout of a history, while the full history is scored: B is the solution times that.
        rows = (others[:, None] * kept * np.sqrt(likely)[:, None]).reshape(-1, 3) / (1 - dropout)
        goal = np.outer(history[:, item], np.sqrt(likely)).ravel()
        rows, goal = np.vstack([rows, math.sqrt(l2) * np.eye(3)]), np.append(goal, np.zeros(3))
        assert np.delete(found[:, item], item) == pytest.approx(np.linalg.lstsq(rows, goal)[0], abs=1e-5)


def test_edlae_penalises_weights_from_much_rated_items(splits):
    matrix = dense(splits, preference(splits.pairs("train")[2], TEN_POINTS))[:, splits.rated]
    gram = (matrix.T @ matrix).astype(np.float32)
    found = ease_weights(gram, penalty_of(0.25, 3.0, gram))
    for item in range(len(gram)):
        others = np.delete(matrix, item, axis=1)
        ridge = np.sqrt((others**2).sum(0) / 3 + 3.0)  # 0.25 / (1 - 0.25) is a third
        rows, goal = np.vstack([others, np.diag(ridge)]), np.append(matrix[:, item], np.zeros(len(ridge)))
        assert np.delete(found[:, item], item) == pytest.approx(np.linalg.lstsq(rows, goal)[0], abs=1e-5)


def test_edlae_without_dropout_is_ease(splits):
    context = context_of(splits)
    expected = list(Ease(l2=(3.0, 30.0)).candidates(context))
    found = list(Edlae(l2=(3.0, 30.0), dropouts=(0.0,)).candidates(context))
    assert [c.settings for c in found] == [{"dropout": 0.0, **c.settings} for c in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours.ranker(everyone(splits)), theirs.ranker(everyone(splits)))


def test_the_valid_split_chooses_the_settings_of_edlae(splits):
    edlae = Edlae(l2=(0.5, 50.0), dropouts=(0.0, 0.9))
    candidates = edlae.candidates(context_of(splits))
    assert {(c.settings["dropout"], c.settings["l2"]) for c in candidates} == {(0, 0.5), (0, 50), (0.9, 0.5), (0.9, 50)}
    assert_valid_chooses(edlae, splits)


def test_factors_predict_and_rank(monkeypatch):
    monkeypatch.setattr("widedeep.baselines.factors.PAIRS_PER_BLOCK", 2)
    factors = Factors(
        np.array([[1, 2], [0, -1]], np.float32), np.array([[3, 1], [0, 0], [1, 1]], np.float32), np.array([0, 2])
    )
    predict = factor_predictor(factors, lambda user, item: user + 10.0)
    assert predict(np.array([0, 1, 1]), np.array([0, 2, 1])).tolist() == [15, 10, 11]
    assert factor_ranker(factors)(np.array([0, 1])).tolist() == [[5, -np.inf, 3], [-1, -np.inf, -1]]
    assert factor_ranker(factors, np.array([0.5, 0, 4]))(np.array([1])).tolist() == [[-0.5, -np.inf, 3]]


def test_the_metrics_of_the_evaluator_are_sklearns(splits):
    evaluator = Evaluator(splits, USERS, 0)
    _, item, rating = splits.pairs("valid")
    found = evaluator.rating_metrics(lambda user, item: 5.0 + 0.1 * item)
    assert found["rmse"] == pytest.approx(math.sqrt(mean_squared_error(rating, 5.0 + 0.1 * item)), rel=1e-6)
