"""Each architecture against the formula it is named after, written down plainly."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import cosine_similarity, relu

from tests.builders import write_prepared
from widedeep.common.errors import InputError
from widedeep.data.feature_tables import Tables
from widedeep.models import NCF, GenreHybrid, RecommenderNet, WideDeepCross, WideDeepFeatures
from widedeep.models.crosses import pair_buckets
from widedeep.models.feature_inputs import standardise
from widedeep.models.genre_hybrid import GenreHybridConfig
from widedeep.models.ncf import NCFConfig
from widedeep.models.recommender_net import RecommenderNetConfig
from widedeep.models.wide_deep_cross import WideDeepCrossConfig
from widedeep.models.wide_deep_features import WideDeepFeaturesConfig

USERS, ITEMS = 150, 61
USER = torch.arange(40, dtype=torch.int32)
ITEM = torch.arange(40, dtype=torch.int32) + 15


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Tables:
    path = tmp_path_factory.mktemp("architectures") / "prepared"
    return Tables(path, write_prepared(path, users=USERS, items=ITEMS, features=True))


def build(kind, config, tables):
    """Return a model with random weights, so that no special value hides a mistake."""
    torch.manual_seed(0)
    model = kind.from_tables(config, tables).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.3 * torch.randn(parameter.shape)
    return model


def embedded(model, side: str) -> torch.Tensor:
    """Return the embeddings of the users or items of the test's pairs."""
    table, rows, indexes = {
        "user": (model.user_embedding, model.user_row, USER),
        "item": (model.item_embedding, model.item_row, ITEM),
    }[side]
    return torch.stack([table.weight[rows[index]] for index in indexes.tolist()])


def tower(model, inputs: torch.Tensor) -> torch.Tensor:
    """The MLP over inputs side by side, but for its last layer: [B, inputs] -> [B, widths[-1]]."""
    weight = torch.cat([model.user_part.weight, model.item_part.weight], dim=1)
    hidden = relu(inputs @ weight.T + model.user_part.bias)
    for layer in model.deep:
        if isinstance(layer, torch.nn.Linear):
            hidden = relu(hidden @ layer.weight.T + layer.bias)
    return hidden


def sigmoid_rating(total: torch.Tensor) -> torch.Tensor:
    return 1 + 9 / (1 + torch.exp(-total))


def mean_of_values(tables_side, name: str, weights: torch.Tensor, indexes) -> torch.Tensor:
    """Return the mean weights of each row's values, zeros without values: [B, width]."""
    column = tables_side.strings(name)
    rows = []
    for index in indexes.tolist():
        category_ids = column[index] if isinstance(column[index], list) else [column[index]]
        rows.append(weights[category_ids].mean(0) if category_ids else torch.zeros(weights.shape[1]))
    return torch.stack(rows)


def test_ncf_is_one_layer_over_product_and_mlp(tables):
    model = build(NCF, NCFConfig(gmf_dim=5, mlp_dim=3, hidden=(8, 4)), tables)
    user, item = embedded(model, "user"), embedded(model, "item")
    both = torch.cat([user[:, :5] * item[:, :5], tower(model, torch.cat([user[:, 5:], item[:, 5:]], 1))], 1)
    joint = torch.cat([model.product, model.last.weight[0]])
    torch.testing.assert_close(model(USER, ITEM).rating, sigmoid_rating(both @ joint + model.last.bias))


def test_recommender_net_is_a_sigmoid_over_the_cosine(tables):
    model = build(RecommenderNet, RecommenderNetConfig(embedding_dim=5, dense=()), tables)
    cosine = cosine_similarity(embedded(model, "user"), embedded(model, "item"))
    expected = sigmoid_rating(cosine * model.last.weight[0, 0] + model.last.bias)
    torch.testing.assert_close(model(USER, ITEM).rating, expected)
    assert cosine.std() > 0.1


def test_recommender_net_begins_as_a_sigmoid_over_the_cosine_itself(tables):
    model = RecommenderNet.from_tables(RecommenderNetConfig(embedding_dim=5, dense=()), tables).eval()
    cosine = cosine_similarity(embedded(model, "user"), embedded(model, "item"))
    torch.testing.assert_close(model(USER, ITEM).rating, sigmoid_rating(cosine + model.last.bias))


def test_recommender_net_with_a_layer_between(tables):
    model = build(RecommenderNet, RecommenderNetConfig(embedding_dim=5, dense=(7,)), tables)
    cosine = cosine_similarity(embedded(model, "user"), embedded(model, "item"))
    hidden = relu(cosine[:, None] * model.dense[0].weight[:, 0] + model.dense[0].bias)
    torch.testing.assert_close(
        model(USER, ITEM).rating, sigmoid_rating((hidden @ model.last.weight.T)[:, 0] + model.last.bias)
    )


@pytest.mark.parametrize("genres", [True, False])
def test_genre_hybrid_is_a_dot_product_and_an_mlp(tables, genres):
    model = build(GenreHybrid, GenreHybridConfig(embedding_dim=5, hidden=(8, 4), genres=genres), tables)
    user, item = embedded(model, "user"), embedded(model, "item")
    inputs, other = [user, item], item
    if genres:
        means = mean_of_values(tables.items, "genres", model.genres.weight, ITEM)
        inputs, other = [user, item, means], item + means
    deep = tower(model, torch.cat(inputs, 1)) @ model.last.weight[0] + model.last.bias
    torch.testing.assert_close(model(USER, ITEM).rating, (user * other).sum(1) + deep)


def standard(side, numbers, multi_hot=()) -> torch.Tensor:
    """[T, F], by scikit-learn, fitted on the trained rows."""
    values = torch.cat([side.numeric(numbers), *(side.multi_hot(name) for name in multi_hot)], 1).numpy()
    scaler = StandardScaler().fit(values[side.values("train_ratings") > 0])
    return torch.from_numpy(scaler.transform(values)).float()


def test_wide_deep_features_is_one_layer_over_embeddings_and_mlp(tables):
    config = WideDeepFeaturesConfig(embedding_dim=3, hidden=(8, 4))
    model = build(WideDeepFeatures, config, tables)
    users, items = (torch.cat([e], 1) for e in (embedded(model, "user"), embedded(model, "item")))
    for side, names, values, indexes in (
        (tables.users, config.wide_users, model.user_values.values, USER),
        (tables.items, config.wide_items, model.item_values.values, ITEM),
    ):
        parts = [mean_of_values(side, n, v.weight, indexes) for n, v in zip(names, values, strict=True)]
        if side is tables.users:
            users = torch.cat([users, *parts], 1)
        else:
            items = torch.cat([items, *parts], 1)
    numbers = torch.cat(
        [
            standard(tables.users, config.deep_users)[USER],
            standard(tables.items, config.deep_items, config.deep_multi_hot)[ITEM],
        ],
        dim=1,
    )
    joint = torch.cat([model.user_wide.weight, model.item_wide.weight, model.last.weight], 1)[0]
    everything = torch.cat([users, items, tower(model, numbers)], 1)
    torch.testing.assert_close(model(USER, ITEM).rating, everything @ joint + model.last.bias, rtol=1e-4, atol=1e-5)
    assert not model.cold_users_alike


def test_wide_deep_cross_adds_a_weight_for_each_pair_of_values(tables):
    crosses = ("gender*genres", "genres*location", "type*studios", "gender*location")
    config = WideDeepCrossConfig(pair_buckets=40, crosses=crosses, embedding_dim=3, hidden=(8, 4))
    model = build(WideDeepCross, config, tables)
    gender, location = (tables.users.strings(name) for name in ("gender", "location"))
    kind, studios, genres = (tables.items.strings(name) for name in ("type", "studios", "genres"))
    sizes = {name: tables.items.vocabulary_size(name) for name in ("studios",)} | {"location": 5}
    user_wide, item_wide, both = model.user_wide.weights, model.item_wide.weights, model.both_wide.weights
    expected = []
    for user, item in zip(USER.tolist(), ITEM.tolist(), strict=True):
        total = user_wide[0].weight[gender[user]] + user_wide[1].weight[location[user]]
        total = total + user_wide[2].weight[gender[user] * sizes["location"] + location[user]]
        total = total + item_wide[0].weight[kind[item]] + item_wide[1].weight[tables.items.strings("source")[item]]
        for category_ids, weights in (
            (genres[item], item_wide[2].weight),
            ([kind[item] * sizes["studios"] + s for s in studios[item]], item_wide[3].weight),
            (genres[item], both[0].weight[gender[user]][:, None]),
            (genres[item], both[1].weight[location[user]][:, None]),
        ):
            total = total + (weights[category_ids].mean(0) if category_ids else 0.0)
        bucket = bucket_by_hand(int(model.user_row[user]) + 1, int(model.item_row[item]) + 1, 40)
        expected.append(total + model.pair_embedding.weight[bucket])
    columns = zip(config.deep_items, model.item_values.values, strict=True)
    inputs = [standard(tables.users, config.deep_users)[USER]]
    inputs += [mean_of_values(tables.items, name, values.weight, ITEM) for name, values in columns]
    deep = tower(model, torch.cat(inputs, 1)) @ model.last.weight[0] + model.last.bias
    torch.testing.assert_close(model(USER, ITEM).rating, torch.cat(expected) + deep, rtol=1e-4, atol=1e-5)


def test_a_cross_of_unknown_columns_is_refused(tables):
    with pytest.raises(InputError, match=r"model\.crosses: mood\*genres is of no category"):
        WideDeepCross.from_tables(WideDeepCrossConfig(crosses=("mood*genres",)), tables)


def bucket_by_hand(user: int, item: int, buckets: int) -> int:
    """In Python's integers of any size, wrapped around at 64 bits."""

    def wrapped(value: int) -> int:
        return (value + 2**63) % 2**64 - 2**63

    mixed = wrapped(user * 0x1E3779B97F4A7C15 + item * 0x6A09E667F3BCC909)
    mixed = wrapped((mixed ^ (mixed >> 32)) * 0x3B67AE8584CAA73B)
    return (((mixed >> 33) % 2**31) * buckets) >> 31


def test_buckets_by_hand_and_the_last_for_cold_users_and_items():
    user, item = torch.tensor([1, 5, 2**31 - 1, 0, 7]), torch.tensor([1, 9, 12345, 3, 0])
    expected = [bucket_by_hand(*pair, 1000) for pair in zip(user[:3].tolist(), item[:3].tolist(), strict=True)]
    assert pair_buckets(user, item, 1000).tolist() == [*expected, 1000, 1000]


def test_buckets_are_filled_evenly_and_neighbours_differ():
    users, items = torch.arange(1, 301)[:, None], torch.arange(1, 1001)[None]
    buckets = pair_buckets(users, items, 1000)
    assert stats.chisquare(buckets.flatten().bincount(minlength=1000).numpy()).pvalue > 0.001
    for axis in (0, 1):
        together = (buckets.diff(dim=axis) == 0).float().mean().item()
        assert together == pytest.approx(1 / 1000, rel=0.3)


def test_standardise_as_scikit_learn_does():
    random = np.random.default_rng(0)
    values = random.normal(5, 3, (50, 3)).astype(np.float32)
    values[:, 1] = 4.0
    trained = random.random(50) < 0.7
    expected = StandardScaler().fit(values[trained]).transform(values)
    result = standardise(torch.from_numpy(values), torch.from_numpy(trained)).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert (result[:, 1] == 0).all()


def test_category_ids_are_the_lists_padded(tables):
    lists, category_ids = tables.items.strings("producers"), tables.items.category_ids("producers")
    assert category_ids.shape == (ITEMS, 7)
    assert [row[row < 7].tolist() for row in category_ids] == lists
    assert (category_ids.sort(dim=1).values == category_ids).all()  # the padding comes last
    assert {len(row) for row in lists} >= {0, 7}
    assert tables.items.category_ids("type")[:, 0].tolist() == tables.items.strings("type")
    with pytest.raises(InputError, match="items has no categories score"):
        tables.items.category_ids("score")
