import numpy as np
import pytest
import torch
from torch import nn

from tests.builders import COLD, TEN_POINTS
from widedeep.data.batches import Batch
from widedeep.data.feature_tables import Tables, embedding_rows
from widedeep.models import WideDeep
from widedeep.models.tiled_mlp import TILE_ITEMS, TILE_PAIRS
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.parallel.world import World
from widedeep.training.settings import TrainConfig
from widedeep.training.step import TrainState

USERS, ITEMS = 8 * TILE_PAIRS // TILE_ITEMS + 5, 2 * TILE_ITEMS + 37  # no multiples of the tile
SHAPE = {"users": USERS, "items": ITEMS, "user_rows": USERS, "item_rows": ITEMS, "wide": 5}


def build(**settings) -> WideDeep:
    """A model none of whose weights and statistics has a value that could hide a mistake."""
    torch.manual_seed(0)
    model = WideDeep(
        WideDeepConfig(embedding_dim=4, **{"hidden": (16, 8), "embedding_sd": 1.0, **settings}), SHAPE, TEN_POINTS
    )
    model.user_row.copy_(torch.arange(USERS))
    model.item_row.copy_(torch.arange(ITEMS))
    model.item_wide.copy_(torch.randn(ITEMS, 5))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                for values in (module.weight, module.bias, module.running_mean):
                    values.copy_(torch.randn(len(values)))
                module.running_var.copy_(torch.rand(len(module.running_var)) + 0.5)
        model.wide.weight.copy_(torch.randn(1, 5))
    return model.eval()


def indexes(count: int, size: int) -> torch.Tensor:
    return torch.randint(size, (count,), generator=torch.Generator().manual_seed(size)).to(torch.int32)


def all_pairs() -> tuple[torch.Tensor, torch.Tensor]:
    user, item = torch.meshgrid(torch.arange(USERS), torch.arange(ITEMS), indexing="ij")
    return user.flatten().to(torch.int32), item.flatten().to(torch.int32)


def moved_by_a_step(model: WideDeep, pairs: int) -> dict[str, torch.Tensor]:
    """Return how far a step of plain gradient descent on some pairs moves each parameter."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    config = TrainConfig.model_validate({"optim": {"name": "sgd", "lr": 0.1}})
    rating = torch.linspace(1, 10, pairs)
    state = TrainState(model, config, World(0, 1, torch.device("cpu")), steps=1)
    state.train_step(Batch(indexes(pairs, USERS), indexes(pairs, ITEMS), rating))
    return {name: parameter.detach() - before[name] for name, parameter in model.named_parameters()}


def test_the_split_first_layer_is_one_linear_layer_over_the_concatenation():
    model, user, item = build(), indexes(50, USERS), indexes(50, ITEMS)
    first = nn.Linear(8, 16)
    with torch.no_grad():
        first.weight.copy_(torch.cat([model.user_part.weight, model.item_part.weight], dim=1))
        first.bias.copy_(model.user_part.bias)
    plain = nn.Sequential(first, nn.ReLU(), model.deep[1], nn.ReLU(), model.last)
    both = torch.cat([model.user_embedding.weight[user], model.item_embedding.weight[item]], dim=1)
    expected = plain(both)[:, 0] + (model.item_wide[item] * model.wide.weight).sum(1)
    torch.testing.assert_close(model(user, item).rating, expected)


def test_it_starts_as_one_linear_layer_would():
    """PyTorch draws a layer's weights from ±1/√(inputs): the inputs are both embeddings, not one."""
    torch.manual_seed(0)
    model = WideDeep(WideDeepConfig(embedding_dim=50, hidden=(200,)), SHAPE, TEN_POINTS)
    for part in (model.user_part, model.item_part):
        assert part.weight.abs().max().item() == pytest.approx(1 / 10, rel=1e-2)
    assert not torch.equal(model.user_part.weight, model.item_part.weight)


@pytest.mark.parametrize("hidden", [(16,), (16, 8), (16, 8, 5)], ids=len)
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@torch.no_grad()
def test_a_block_scores_as_its_pairs_do(hidden, batch_norm, dropout):
    model = build(hidden=hidden, batch_norm=batch_norm, dropout=dropout, embedding_dropout=dropout)
    users, items = (torch.arange(n, dtype=torch.int32) for n in (USERS, ITEMS))
    block = torch.full((USERS, ITEMS), torch.nan)
    model.score_block(model.encode_users(users), model.encode_items(items), block)
    one_by_one = model(*all_pairs()).rating.view(USERS, ITEMS)
    torch.testing.assert_close(block, one_by_one, rtol=1e-5, atol=1e-5)
    assert one_by_one.std() > 0.5


@pytest.mark.parametrize("chosen", [1, 7, 1500])
@torch.no_grad()
def test_chosen_items_score_as_their_pairs_do(chosen):
    model = build(batch_norm=True)
    users, items = (torch.arange(n, dtype=torch.int32) for n in (USERS, ITEMS))
    indexes = torch.randint(ITEMS, (USERS, chosen), generator=torch.Generator().manual_seed(3))
    scores = torch.full((USERS, chosen), torch.nan)
    model.score_chosen(model.encode_users(users), model.encode_items(items), indexes, scores)
    one_by_one = model(*all_pairs()).rating.view(USERS, ITEMS)
    torch.testing.assert_close(scores, one_by_one.gather(1, indexes), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("users", "items"), [(1, 1), (1, ITEMS), (USERS, 1)])
@torch.no_grad()
def test_a_block_may_be_one_row_or_one_column(users, items):
    model = build(batch_norm=True)
    user, item = torch.arange(users, dtype=torch.int32), torch.arange(items, dtype=torch.int32)
    block = torch.empty(users, items)
    model.score_block(model.encode_users(user), model.encode_items(item), block)
    expected = model(user.repeat_interleave(items), item.repeat(users)).rating.view(users, items)
    torch.testing.assert_close(block, expected, rtol=1e-5, atol=1e-5)


def gradients(model: WideDeep) -> dict[str, torch.Tensor]:
    """Return the gradient of each parameter by name; for tables, that of the gathered rows."""
    tables = {f"{name}.weight": module for name, module in model.named_modules() if isinstance(module, RowEmbedding)}
    return {
        name: tables[name].gathered[0][1].grad if name in tables else parameter.grad
        for name, parameter in model.named_parameters()
    }


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_batch_of_one_row_can_be_scored_and_trained_on(batch_norm):
    """The last batch of an epoch may be one row."""
    model = build(batch_norm=batch_norm)
    assert model(indexes(1, USERS), indexes(1, ITEMS)).rating.shape == (1,)
    moves = moved_by_a_step(model, 1)
    assert all(move.isfinite().all() for move in moves.values())
    assert moves["last.weight"].abs().sum() > 0


@torch.no_grad()
def test_a_batch_of_one_row_is_answered_in_training_as_it_is_afterwards():
    """Nothing can be said of the spread of one row, so it has that of the batches before."""
    model, pair = build(batch_norm=True), (indexes(1, USERS), indexes(1, ITEMS))
    expected = model(*pair).rating
    torch.testing.assert_close(model.train()(*pair).rating, expected)


def test_dropout_is_at_work_while_training_only():
    model, pair = build(dropout=0.5), (indexes(20, USERS), indexes(20, ITEMS))
    assert torch.equal(model(*pair).rating, model(*pair).rating)
    model.train()
    assert not torch.equal(model(*pair).rating, model(*pair).rating)


@torch.no_grad()
def test_embedding_dropout_sets_its_share_of_both_sides_to_zero_while_training_only():
    model = build(embedding_dropout=0.25)
    for embed, size in ((model.embed_users, USERS), (model.embed_items, ITEMS)):
        index = indexes(2000, size)
        whole = embed(index)
        assert whole.abs().min() > 0
        model.train()
        dropped = embed(index)
        model.eval()
        zero = dropped == 0
        assert zero.float().mean().item() == pytest.approx(0.25, abs=0.03)
        torch.testing.assert_close(dropped[~zero], whole[~zero] / 0.75)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_gradient_reaches_every_parameter(batch_norm):
    model = build(batch_norm=batch_norm)
    for name, move in moved_by_a_step(model, 500).items():
        # Batch norm takes the mean away, and with it the bias of the layer before.
        if not (batch_norm and name in ("user_part.bias", "deep.2.bias")):
            assert move.abs().max() > 1e-4, name


@pytest.fixture
def untrained(small) -> WideDeep:
    torch.manual_seed(0)
    return WideDeep.from_tables(WideDeepConfig(), Tables(small.path, small.manifest)).eval()


def test_wide_features_are_the_columns_and_the_vocabulary(small, untrained):
    tables = Tables(small.path, small.manifest).items
    expected = np.zeros((61, 6), np.float32)
    for column, name in enumerate(("score", "popularity", "rank")):
        expected[:, column] = tables.values(name)
    for row, category_ids in enumerate(tables.values("genres")):
        expected[row, 3 + category_ids] = 1.0
    assert np.array_equal(untrained.item_wide.numpy(), expected)
    assert 0 < expected[:, 3:].mean() < 1


def test_the_first_prediction_is_near_the_mean_rating(small, untrained):
    rows = torch.from_numpy(small.ratings("train"))
    predicted = untrained(rows[:, 0].int(), rows[:, 1].int()).rating.detach()
    assert (predicted - rows[:, 2].mean()).abs().max() < 0.5


def test_embedding_rows_by_hand():
    rows, count = embedding_rows(np.array([3, 0, 1, 0, 9]))
    assert rows.tolist() == [0, 3, 1, 3, 2]
    assert count == 3


@torch.no_grad()
def test_cold_users_and_items_are_scored_as_the_mean_of_the_others(small, untrained):
    user, item = small.manifest.users.rows, small.manifest.items.rows
    seen = {side: set(small.ratings("train")[:, column].astype(int)) for column, side in enumerate(("user", "item"))}
    assert not seen["user"] & set(range(user - COLD, user))
    untrained.fill_cold_rows()
    means = []
    for rows, table, side in (
        (untrained.user_row, untrained.user_embedding.weight, "user"),
        (untrained.item_row, untrained.item_embedding.weight, "item"),
    ):
        shared = rows[-COLD:].unique()
        assert shared.tolist() == [len(seen[side])]
        means.append(table[: len(seen[side])].mean(0))
        torch.testing.assert_close(table[shared[0]], means[-1])
    hidden = untrained.user_part(means[0]) + untrained.item_part(means[1])
    expected = untrained.last(untrained.deep(hidden)) + untrained.wide(untrained.item_wide[item - 1])
    pair = (torch.tensor([index - 1], dtype=torch.int32) for index in (user, item))
    predicted = untrained(*pair).rating
    torch.testing.assert_close(predicted, expected)
