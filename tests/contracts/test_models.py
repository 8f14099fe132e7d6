"""What every architecture of the registry must do, whatever it computes."""

import pyarrow as pa
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from tests.builders import COLD, PLAYS, write_prepared
from tests.training import command, train
from widedeep.common.errors import InputError
from widedeep.data.batches import Batch
from widedeep.data.feature_tables import Tables
from widedeep.data.histories import UserHistories
from widedeep.models import REGISTRY, ModelConfig, Recommender
from widedeep.models.artifact import load_artifact, save_artifact
from widedeep.models.base import Histories, Scores
from widedeep.models.tiled_mlp import TILE_ITEMS
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.parallel.world import World
from widedeep.scoring.scorer import Scorer
from widedeep.scoring.user_lists import ListPlan, score_batches
from widedeep.training.negatives import NegativeSampler
from widedeep.training.settings import TrainConfig
from widedeep.training.step import TrainState

USERS, ITEMS = 20, 2 * TILE_ITEMS + 37  # several tiles, the last of them not full
VARIANTS: dict[str, dict] = {
    "wide_deep": {"embedding_dim": 4, "hidden": (16, 8), "batch_norm": True},
    "wide_deep_features": {"hidden": (16, 8, 4), "batch_norm": True},
    "wide_deep_features of items": {"wide_users": (), "deep_users": (), "hidden": (8,)},
    "wide_deep_cross": {"pair_buckets": 50, "hidden": (16, 8), "deep_numeric": ("score", "rank")},
    "wide_deep_cross, wide only": {
        "wide_only": True,
        "crosses": ("gender*genres", "studios*location", "type*studios", "gender*location", "producers*genres"),
    },
    "wide_deep_cross, deep only": {"deep_only": True, "hidden": (16, 8)},
    "wide_deep_cross without pairs": {"pair_buckets": 0, "wide_users": (), "crosses": (), "hidden": (8,)},
    "wide_deep_cross, pairs alone": {
        **{"wide_only": True, "pair_buckets": 999},
        **{"wide_users": (), "wide_items": (), "crosses": ()},
    },
    "genre_hybrid": {"embedding_dim": 4, "hidden": (16, 8), "batch_norm": True},
    "genre_hybrid without": {"embedding_dim": 4, "hidden": (16,), "genres": False},
    "ncf": {"gmf_dim": 6, "mlp_dim": 4, "hidden": (16, 8), "batch_norm": True},
    "ncf, squared": {
        "gmf_dim": 6,
        "mlp_dim": 4,
        "hidden": (16, 8),
    },
    "recommender_net": {"embedding_dim": 6},
    "recommender_net, dense": {
        "embedding_dim": 6,
        "dense": (8, 5),
    },
    "lightgcn": {"embedding_dim": 8, "layers": 2, "embedding_sd": 0.5},
    "lightgcn with content": {
        **{"embedding_dim": 8, "embedding_sd": 0.5, "embedding_dropout": 0.1},
        **{"columns": ("genres", "type"), "cold_items": 0.1},
    },
    # Its affinities of items that are no candidates only order them: here all rated items are candidates.
    "wide_deep_history": {
        **{"embedding_dim": 4, "heads": 2, "attention_hidden": 4, "hidden": (8,), "titles": 4},
        **{"candidates": ITEMS, "trained_candidates": 60, "ridge": 20.0},
    },
    "autoencoder": {"embedding_dim": 8},
    "autoencoder, deep and of what was rated": {"embedding_dim": 4, "hidden": (16, 8), "inputs": "implicit"},
    "autoencoder, variational": {"embedding_dim": 4, "hidden": (16,), "variational": True},
    "autoencoder, variational without hidden layers": {"embedding_dim": 6, "variational": True},
    "wide_deep_history, people of like taste": {
        **{"embedding_dim": 4, "heads": 2, "attention_hidden": 4, "hidden": (8,), "titles": 4},
        **{"candidates": ITEMS, "trained_candidates": 60, "ridge": 20.0, "user_neighbours": 5},
    },
}
# An architecture without a variant is tried with its defaults.
VARIANTS |= {name: {} for name in REGISTRY if name not in VARIANTS}


def config_of(variant: str):
    name = variant.split(",")[0].split()[0]
    return TypeAdapter(ModelConfig).validate_python({"name": name, **VARIANTS[variant]})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "prepared"
    manifest = write_prepared(path, users=USERS, items=ITEMS, ratings=12_000, features=True)
    return manifest, Tables(path, manifest)


@pytest.fixture(params=VARIANTS)
def model(request, data) -> Recommender:
    """A model none of whose weights and statistics has a value that could hide a mistake."""
    config = config_of(request.param)
    torch.manual_seed(0)
    model = REGISTRY[config.name].from_tables(config, data[1])
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.copy_(torch.randn(len(module.running_mean)))
                module.running_var.copy_(torch.rand(len(module.running_var)) + 0.5)
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    return model.eval()


def everything() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(USERS, dtype=torch.int32), torch.arange(ITEMS, dtype=torch.int32)


@torch.no_grad()
def one_by_one(model: Recommender) -> Scores:
    """Both answers of `forward` for all pairs, [USERS, ITEMS] each."""
    user, item = everything()
    scores = model(user.repeat_interleave(ITEMS), item.repeat(USERS))
    return Scores(*(answer.view(USERS, ITEMS) for answer in scores))


@torch.no_grad()
def test_blocks_chosen_pairs_and_encodings_score_as_forward_does(model):
    (expected, ratings), (user, item) = one_by_one(model), everything()
    assert expected.isfinite().all()
    assert expected.std() > 0.05
    users, items = model.encode_users(user), model.encode_items(item)
    block = torch.full((USERS, ITEMS), torch.nan)
    model.score_block(users, items, block)
    torch.testing.assert_close(block, expected, rtol=1e-5, atol=1e-5)
    chosen = torch.randint(ITEMS, (USERS, 7), generator=torch.Generator().manual_seed(3))
    scores = torch.full((USERS, 7), torch.nan)
    model.score_chosen(users, items, chosen, scores)
    torch.testing.assert_close(scores, expected.gather(1, chosen), rtol=1e-5, atol=1e-5)
    pairs = model.score_pairs(users[:, None], items[None])
    torch.testing.assert_close(pairs, expected, rtol=1e-5, atol=1e-5)
    rated = torch.full((USERS, 7), torch.nan)
    model.rate_chosen(users, items, chosen, rated)
    torch.testing.assert_close(rated, ratings.gather(1, chosen), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.rate_pairs(users[:, None], items[None]), ratings, rtol=1e-5, atol=1e-5)
    assert torch.equal(ratings, expected) == model.affinity_is_rating
    few = torch.full((1, 1), torch.nan)
    model.score_block(users[-1:], items[-1:], few)
    torch.testing.assert_close(few, expected[-1:, -1:], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_an_artifact_holds_the_same_bits_and_scores_the_same(model, data, tmp_path):
    manifest, tables = data
    save_artifact(tmp_path / "model.safetensors", model, manifest, tables)
    loaded = load_artifact(tmp_path / "model.safetensors")
    assert loaded.config == model.config
    assert loaded.model.cold_users_alike == model.cold_users_alike
    stored = loaded.model.state_dict()
    assert all(torch.equal(stored[name], value) for name, value in model.state_dict().items())
    # Rounding may differ: the tensors are mapped into memory, where they are aligned in another way.
    for result, expected in zip(one_by_one(loaded.model), one_by_one(model), strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6 * expected.abs().max().item())


@torch.no_grad()
def test_cold_users_and_items_score_finitely_and_equally_if_the_model_says_so(model, data):
    assert (data[1].users.values("train_ratings")[-COLD:] == 0).all()
    assert (data[1].items.values("train_ratings")[-COLD:] == 0).all()
    model.fill_cold_rows()
    for predicted in one_by_one(model):
        assert predicted[-COLD:].isfinite().all()
        assert predicted[:, -COLD:].isfinite().all()
        if model.cold_users_alike:
            torch.testing.assert_close(predicted[-1], predicted[-2])
        else:
            assert (predicted[-1] - predicted[-2]).abs().max() > 1e-3  # their features differ


@torch.no_grad()
def test_histories_are_encoded_if_said_and_their_padding_does_not_matter(model):
    short = Histories(torch.tensor([[3, 5], [4, -1], [-1, -1]]).int(), torch.tensor([[9.0, 2.0], [8.0, 0.0], [0, 0]]))
    if not model.encodes_histories:
        with pytest.raises(NotImplementedError):
            model.encode_histories(short)
        return
    encoded = model.encode_histories(short)
    assert encoded.isfinite().all()
    assert encoded.shape == (3, model.encode_users(everything()[0]).shape[1])
    longer = Histories(nn.functional.pad(short.items, (0, 6), value=-1), nn.functional.pad(short.ratings, (0, 6)))
    torch.testing.assert_close(model.encode_histories(longer), encoded)
    assert not torch.equal(encoded[0], encoded[1])


@torch.no_grad()
def test_explanations_add_up_and_name_items_of_the_history_if_said(model, data):
    users, items = model.encode_users(everything()[0]), model.encode_items(everything()[1])
    chosen = torch.randint(ITEMS, (USERS, 6), generator=torch.Generator().manual_seed(4))
    if not model.explains:
        with pytest.raises(NotImplementedError):
            model.explain_chosen(users, items, chosen)
        return
    found = model.explain_chosen(users, items, chosen)
    total = found.wide + found.content + found.deep
    torch.testing.assert_close(total, model.score_pairs(users[:, None], items[chosen]), rtol=1e-4, atol=1e-4)
    there, shares = found.items >= 0, found.shares
    assert 0.1 < there.float().mean() < 1
    assert (shares[there] > 0).all()
    assert not shares[~there].any()
    assert (shares.diff(dim=2) <= 0).all()
    assert (shares.sum(2) <= 1 + 1e-5).all()
    assert not found.ratings[~there].any()
    rated = set(zip(*(column.tolist() for column in data[1].train_ratings()), strict=True))
    named = there.nonzero()[:, 0], found.items[there], found.ratings[there]
    assert set(zip(*(column.tolist() for column in named), strict=True)) <= rated
    for part, alone in zip(found, model.explain_chosen(users[7:8], items, chosen[7:8]), strict=True):
        torch.testing.assert_close(part[7:8], alone, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def training_batch(data):
    """What a step of a model gets: `pairs` ratings, or the histories of `users` (None: of all users)."""
    histories = data[1].user_histories()

    def batch(model: Recommender, pairs: int, users: int | None = None) -> Batch | UserHistories:
        return (
            histories.select(torch.arange(len(histories))[:users]) if model.learns_from_histories else batch_of(pairs)
        )

    return batch


@pytest.fixture(scope="module")
def state_of(data):
    """Begin a training of a model, with settings as keywords."""
    popularity = data[1].items.values("train_ratings")

    def begin(model: Recommender, **settings) -> TrainState:
        config, world = TrainConfig.model_validate(settings), World(0, 1, torch.device("cpu"))
        return TrainState(model, config, world, 60, NegativeSampler(popularity, config.ranking, 0, world))

    return begin


def batch_of(pairs: int) -> Batch:
    """Return ratings of trained users and items."""
    random = torch.Generator().manual_seed(1)
    user = torch.randint(USERS - COLD, (pairs,), generator=random).int()
    item = torch.randint(ITEMS - COLD, (pairs,), generator=random).int()
    return Batch(user, item, torch.randint(1, 11, (pairs,), generator=random).float())


@pytest.mark.parametrize("loss", [None, "joint", "joint_bpr"])
def test_a_batch_of_one_row_can_be_trained_on(model, state_of, training_batch, loss):
    state_of(model, loss=loss, optim={"name": "sgd", "lr": 0.1}).train_step(training_batch(model, 1, 1))
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert all(answer.isfinite().all() for answer in one_by_one(model.eval()))


def test_a_gradient_reaches_every_parameter_and_every_row_used(model, state_of, training_batch):
    model.train()
    state_of(model).apply(training_batch(model, 3000)).loss.backward()
    tables = [module for module in model.modules() if isinstance(module, RowEmbedding)]
    for table in tables:
        assert sum(len(rows) for rows, _ in table.gathered) % 3000 == 0
        for rows, values in table.gathered:
            trained = rows < len(table.weight) - 1  # the last row also pads histories
            assert trained.any()
            assert (values.grad[trained].abs().sum(1) > 0).all()
    # Batch norm takes the mean away, and with it the bias of the layer before.
    batch_norm = any(isinstance(module, nn.BatchNorm1d) for module in model.modules())
    of_no_effect = {"user_part.bias", "deep.2.bias", "deep.5.bias"} if batch_norm else set()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.numel() and name not in of_no_effect:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def loss_of_first_step(state: TrainState, batch: Batch | UserHistories) -> float:
    """The loss of a batch with what the first step draws: always the same negatives, or held-out ratings."""
    done, state.progress.step = state.progress.step, 0
    state.model.eval()
    loss = state.apply(batch).loss.item()
    state.progress.step = done
    return loss


@pytest.mark.parametrize("loss", [None, "bpr", "softmax", "joint", "joint_bpr"])
def test_training_lowers_the_loss(model, state_of, training_batch, loss):
    state, batch = state_of(model, loss=loss, epochs=100, optim={"lr": 0.05}), training_batch(model, 500, 4)
    torch.manual_seed(0)
    losses = []
    for _ in range(60):
        state.train_step(batch)
        losses.append(loss_of_first_step(state, batch))
    assert losses[-1] < 0.9 * losses[0]


@torch.no_grad()
def test_negatives_score_as_pairs_do(model):
    if model.learns_from_histories:
        return  # it has candidates instead
    expected, batch = one_by_one(model), batch_of(40)
    negatives = torch.randint(ITEMS, (40, 5), generator=torch.Generator().manual_seed(2)).int()
    scores = model(batch.user, batch.item, negatives)
    items = torch.cat([batch.item[:, None], negatives], dim=1)
    torch.testing.assert_close(scores.affinity, expected.affinity[batch.user[:, None], items], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scores.rating, expected.rating[batch.user, batch.item], rtol=1e-5, atol=1e-5)


def test_negatives_train_their_rows(model):
    """A step on negatives looks up each table once for users and once for items, on any rank as often as on others."""
    if model.learns_from_histories:
        return  # it has candidates instead
    batch, negatives = batch_of(40), torch.arange(120, dtype=torch.int32).view(40, 3)
    model.train()(batch.user, batch.item, negatives).affinity.sum().backward()
    for table in (module for module in model.modules() if isinstance(module, RowEmbedding)):
        assert len(table.gathered) == 1
        assert table.gathered[0][1].grad is not None


@torch.no_grad()
def test_users_and_items_have_vectors(model):
    user, item = everything()
    for vectors, indexes in ((model.user_vectors, user), (model.item_vectors, item)):
        result = vectors(indexes)
        assert len(result) == len(indexes)
        assert result.isfinite().all()
        torch.testing.assert_close(vectors(indexes[3:5]), result[3:5])


@pytest.mark.parametrize("name", REGISTRY)
@torch.no_grad()
def test_the_first_predictions_are_near_the_mean_rating(name, data):
    """Or near the biases, of models that know them before training."""
    torch.manual_seed(0)
    model = REGISTRY[name].from_tables(TypeAdapter(ModelConfig).validate_python({"name": name}), data[1])
    predicted, mean = one_by_one(model.eval()).rating, data[0].ratings.train_mean
    assert (predicted.mean() - mean).abs() < 0.3
    assert (predicted - mean).abs().max() < (5.0 if model.learns_from_histories else 2.0)


@pytest.mark.parametrize("name", REGISTRY)
def test_data_without_ratings_and_with_texts_for_ids_train_the_ranking(name, tmp_path):
    write_prepared(tmp_path / "prepared", ratings=3000, features=True, dataset=PLAYS)
    train(command(tmp_path / "prepared", tmp_path / "run", model__name=name, epochs=1, ranking_users=50))
    artifact = load_artifact(tmp_path / "run" / "model.safetensors")
    assert not artifact.model.rates
    assert artifact.scale.implicit
    assert artifact.user_id.tolist()[:2] == ["u1000", "u1001"]
    assert artifact.item_id.tolist()[-1] == "é5060"
    seen = pa.array([[0, 1]] * 2, pa.list_(pa.int32()))
    users = {"user": pa.array([3, 149], pa.int32()), "user_id": pa.array(artifact.user_id[[3, 149]])}
    users |= {"train_ratings": pa.array(artifact.user_ratings[[3, 149]]), "seen": seen}
    plan = ListPlan(pa.array([""] * 61), 5)
    scorer = Scorer(artifact.model, 61)
    (lists,) = score_batches(artifact, scorer, pa.table(users).to_batches(), plan)
    assert lists["user_id"].to_pylist() == ["u1003"] * 5 + ["u1149"] * 5
    assert set(lists["item_id"].to_pylist()) <= set(artifact.item_id[2:].tolist())
    assert lists["predicted_rating"].null_count == 10


@pytest.mark.parametrize("loss", ["mse", "joint"])
def test_data_without_ratings_refuse_a_loss_that_needs_them(loss, tmp_path):
    write_prepared(tmp_path / "prepared", ratings=500, dataset=PLAYS)
    with pytest.raises(InputError, match=f"loss: {loss} needs ratings, .* choose bpr or softmax"):
        train(command(tmp_path / "prepared", tmp_path / "run", loss=loss))


def test_a_sigmoid_reaches_over_the_scale_of_the_data(tmp_path):
    manifest = write_prepared(tmp_path, users=30, items=20, ratings=400, lowest=0)
    tables, none = Tables(tmp_path, manifest), torch.zeros(1, dtype=torch.int32)
    for variant in ("ncf", "recommender_net"):
        config = config_of(variant)
        model = REGISTRY[config.name].from_tables(config, tables)
        save_artifact(tmp_path / "model", model, manifest, tables)
        artifact = load_artifact(tmp_path / "model")
        assert artifact.scale.lowest == 0
        for total, rating in ((-50.0, 0.0), (0.0, 5.0), (50.0, 10.0)):
            with torch.no_grad():
                model.last.weight.zero_()
                model.last.bias.fill_(total)
                if variant == "ncf":
                    model.product.zero_()
            assert model(none, none).rating.item() == pytest.approx(rating, abs=1e-5)
