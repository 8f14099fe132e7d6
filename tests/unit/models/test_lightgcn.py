"""LightGCN against the dense matrices of its paper, written down in NumPy."""

import numpy as np
import pytest
import torch

from tests.builders import COLD, write_prepared
from widedeep.config.train import OptimConfig
from widedeep.data.feature_tables import Tables
from widedeep.models.artifact import load_artifact, save_artifact
from widedeep.models.base import Histories
from widedeep.models.lightgcn import LightGCN, LightGCNConfig
from widedeep.parallel.world import ALONE
from widedeep.schema.manifest import Manifest
from widedeep.training.optimizer import Optimizer

USERS, ITEMS, GENRES, TYPES = 30, 20, 3, 4
COLUMNS = ("genres", "type")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Manifest, Tables]:
    path = tmp_path_factory.mktemp("graph") / "prepared"
    manifest = write_prepared(path, users=USERS, items=ITEMS, ratings=300, features=True)
    return manifest, Tables(path, manifest)


@pytest.fixture
def tables(data) -> Tables:
    return data[1]


def build(tables: Tables, **settings) -> LightGCN:
    torch.manual_seed(0)
    return LightGCN.from_tables(LightGCNConfig(embedding_dim=6, embedding_sd=1.0, **settings), tables)


def matrix_of_ratings(tables: Tables, without: set[tuple[int, int]] = frozenset()) -> np.ndarray:
    """[U, I] float64: a rating of 7 (one below liked) counts 1, each point a quarter, from 0.1 to 2."""
    matrix = np.zeros((USERS, ITEMS))
    for user, item, rating in zip(*tables.train_ratings(), strict=True):
        if (user, item) not in without:
            matrix[user, item] = min(2.0, max(0.1, 1 + (rating - 7) / 4))
    return matrix


def adjacency(tables: Tables, columns: tuple[str, ...], ratings: np.ndarray) -> np.ndarray:
    """[N, N] float64: users, items, then the values of each column."""
    blocks = [ratings]
    for name in columns:
        values = np.zeros((ITEMS, {"genres": GENRES, "type": TYPES}[name]))
        for item, of_item in enumerate(tables.items.strings(name)):
            values[item, of_item] = 1.0
        blocks.append(values)
    nodes = USERS + ITEMS + sum(block.shape[1] for block in blocks[1:])
    whole = np.zeros((nodes, nodes))
    whole[:USERS, USERS : USERS + ITEMS] = ratings
    if columns:
        whole[USERS : USERS + ITEMS, USERS + ITEMS :] = np.hstack(blocks[1:])
    return whole + whole.T


def propagated(whole: np.ndarray, embedding: torch.Tensor, layers: int) -> np.ndarray:
    """The mean of the embeddings times the powers of D^-1/2 A D^-1/2 (equations 7 and 8 of the paper)."""
    degree = whole.sum(1)
    root = np.diag(np.where(degree > 0, degree, np.inf) ** -0.5)
    normal, layer = root @ whole @ root, embedding.detach().double().numpy()
    return np.mean([np.linalg.matrix_power(normal, k) @ layer for k in range(layers + 1)], axis=0)


def known_embedding(model: LightGCN, tables: Tables) -> torch.Tensor:
    """The embeddings, zeros for users and items without training ratings."""
    counts = [side.values("train_ratings") for side in (tables.users, tables.items)]
    known = np.concatenate([*counts, np.ones(model.nodes - USERS - ITEMS)]) > 0
    assert (~known).sum() >= 2 * COLD
    return model.embedding * torch.from_numpy(known)[:, None]


@pytest.mark.parametrize(("columns", "layers"), [((), 1), ((), 3), (COLUMNS, 2)])
def test_vectors_are_those_of_the_normalised_adjacency_matrix(tables, columns, layers):
    model = build(tables, columns=columns, layers=layers).eval()
    whole = adjacency(tables, columns, matrix_of_ratings(tables))
    expected = propagated(whole, known_embedding(model, tables), layers)[: USERS + ITEMS]
    alone = whole.sum(1)[: USERS + ITEMS] == 0
    assert alone[:USERS].sum() >= COLD
    np.testing.assert_allclose(model.vectors[~alone], expected[~alone], rtol=1e-4, atol=1e-5)
    for side, rated in ((slice(USERS), tables.users), (slice(USERS, None), tables.items)):
        mean = expected[side][rated.values("train_ratings") > 0].mean(0)
        strangers = model.vectors[side][alone[side]]
        np.testing.assert_allclose(strangers, np.broadcast_to(mean, strangers.shape), rtol=1e-4, atol=1e-5)
    user, item = torch.tensor([4, 7]).int(), torch.tensor([2, 9]).int()
    dots = (expected[[4, 7]] * expected[[USERS + 2, USERS + 9]]).sum(1)
    np.testing.assert_allclose(model(user, item).rating.detach(), tables.train_mean + dots, rtol=1e-4)


def test_content_gives_vectors_to_items_that_nobody_has_rated(tables):
    with_content, without = build(tables, columns=("genres", "type")).eval(), build(tables).eval()
    cold = torch.arange(ITEMS - COLD, ITEMS).int()
    assert (without.item_vectors(cold) == without.item_vectors(cold)[0]).all()
    types, vectors = tables.items.strings("type")[-COLD:], with_content.item_vectors(cold)
    assert len(set(types)) > 1
    assert (vectors[0] - vectors[1]).abs().max() > 1e-3


def pairs_of(tables: Tables, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first training ratings, one of them twice, and a pair that is none of them."""
    user, item, _ = tables.train_ratings()
    rated = set(zip(user.tolist(), item.tolist(), strict=True))
    other = next(i for i in range(ITEMS) if (user[0], i) not in rated)
    return (
        torch.tensor([*user[:count], user[0], user[0]]).int(),
        torch.tensor([*item[:count], item[0], other]).int(),
    )


@pytest.mark.parametrize("columns", [(), COLUMNS])
def test_the_pairs_of_a_step_are_not_in_its_graph(tables, columns):
    model = build(tables, columns=columns).train()
    user, item = pairs_of(tables, 40)
    held = set(zip(user.tolist(), item.tolist(), strict=True))
    whole = adjacency(tables, columns, matrix_of_ratings(tables, held))
    vectors = propagated(whole, known_embedding(model, tables), 3)
    expected = tables.train_mean + (vectors[user] * vectors[USERS + item]).sum(1)
    np.testing.assert_allclose(model(user, item).affinity.detach(), expected, rtol=1e-4)
    seen = model.eval()(user, item).affinity.detach().numpy()
    assert np.abs(seen - expected).max() > 0.01  # the whole graph gives others


def test_the_rating_of_a_pair_does_not_matter_to_its_own_answer(tables, monkeypatch):
    user, item = pairs_of(tables, 5)
    answers = []
    for change in (0.0, 3.0):
        columns = tuple(column.copy() for column in tables.train_ratings())
        columns[2][:5] += change
        with monkeypatch.context() as patched:
            patched.setattr(tables, "train_ratings", lambda columns=columns: columns)
            answers.append(build(tables).train()(user, item).affinity.detach())
    torch.testing.assert_close(*answers)


def test_rated_items_in_the_graph_are_no_negatives(tables):
    model, (user, item) = build(tables).train(), pairs_of(tables, 3)
    negatives = torch.arange(ITEMS).int().expand(len(user), ITEMS)
    scores = model(user, item, negatives)
    held = set(zip(user.tolist(), item.tolist(), strict=True))
    left = matrix_of_ratings(tables, held)[user] > 0
    assert left.any()
    assert (scores.affinity[:, 1:].isneginf().numpy() == left).all()
    assert scores.rating.isfinite().all()
    assert model.eval()(user, item, negatives).affinity.isfinite().all()


def test_the_gradient_is_that_of_the_dense_product(tables):
    model = build(tables, columns=COLUMNS, layers=2).train()
    user, item = pairs_of(tables, 10)
    weight = torch.linspace(-1, 1, len(user))
    (model(user, item).affinity * weight).sum().backward()
    held = set(zip(user.tolist(), item.tolist(), strict=True))
    whole = torch.from_numpy(adjacency(tables, COLUMNS, matrix_of_ratings(tables, held))).float()
    root = whole.sum(1).clamp(min=1e-12).rsqrt() * (whole.sum(1) > 0)
    normal = root[:, None] * whole * root
    dense = model.embedding.detach().clone().requires_grad_()
    layer = dense * model.seen
    vectors = (layer + normal @ layer + normal @ normal @ layer) / 3
    ((vectors[user.long()] * vectors[USERS + item.long()]).sum(1) * weight).sum().backward()
    torch.testing.assert_close(model.embedding.grad, dense.grad, rtol=1e-3, atol=1e-5)


def test_a_step_treats_some_items_as_if_unrated(tables):
    model = build(tables, columns=COLUMNS, cold_items=1.0).train()
    user, item = pairs_of(tables, 10)
    with torch.no_grad():
        model.embedding[: USERS + ITEMS] += 100.0  # of no effect: users have no neighbours, items are known by values
    whole = adjacency(tables, COLUMNS, np.zeros((USERS, ITEMS)))
    embedding = known_embedding(model, tables).detach()
    embedding[USERS : USERS + ITEMS] = 0.0
    vectors = propagated(whole, embedding, 3)
    expected = tables.train_mean + (vectors[user] * vectors[USERS + item]).sum(1)
    np.testing.assert_allclose(model(user, item).affinity.detach(), expected, rtol=1e-3)


def test_a_person_is_a_user_without_an_embedding(tables):
    model = build(tables, columns=COLUMNS).eval()
    histories = tables.histories(longest=ITEMS)
    people = model.encode_histories(Histories(*histories))
    rated = tables.users.values("train_ratings") > 0
    expected = model.vectors[:USERS] - model.embedding[:USERS] / 4
    torch.testing.assert_close(people[rated], expected[rated], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(people[~rated], model.vectors[:USERS][~rated])


def test_the_mean_of_all_users_is_only_computed_for_people_without_ratings(tables):
    model = build(tables).eval()
    for items, averages in (([3, 8], False), ([3, -1], False), ([-1, -1], True)):
        history = Histories(torch.tensor([items]).int(), torch.tensor([[9.0, 2.0]]))
        with torch.profiler.profile() as profile:
            model.encode_histories(history)
        assert ("aten::mean" in {event.key for event in profile.key_averages()}) == averages


@pytest.mark.parametrize(("setting", "share"), [("embedding_decay", 0.95), ("weight_decay", 1.0)])
def test_embeddings_decay_by_their_own_setting(tables, setting, share):
    model = build(tables)
    before, model.embedding.grad = model.embedding.detach().clone(), torch.zeros_like(model.embedding)
    Optimizer(model, OptimConfig.model_validate({"name": "sgd", setting: 0.5}), ALONE).step(0.1)
    torch.testing.assert_close(model.embedding.detach(), share * before)


@torch.no_grad()
def test_vectors_never_lag_behind_the_embeddings(data, tmp_path):
    manifest, tables = data
    model, everyone = build(tables).eval(), torch.arange(USERS).int()
    before = model.encode_users(everyone)
    model.train()
    model.embedding += 1.0
    with torch.inference_mode():
        model.eval()
    after = model.encode_users(everyone)
    assert (after - before).abs().min() > 0.01
    model.train().eval()
    save_artifact(tmp_path / "model.safetensors", model, manifest, tables)
    loaded = load_artifact(tmp_path / "model.safetensors").model
    assert loaded.ratings is None
    assert torch.equal(loaded.eval().encode_users(everyone), after)
