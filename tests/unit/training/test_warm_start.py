"""A model that begins with the weights of an older run on older data."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.builders import TEN_POINTS, write_part, write_prepared
from tests.contracts.test_models import VARIANTS, config_of
from tests.training import command, curve, metrics, train
from widedeep.common.command import load_config
from widedeep.common.errors import InputError
from widedeep.data.feature_tables import Tables
from widedeep.models import REGISTRY
from widedeep.models.artifact import load_artifact, save_artifact
from widedeep.parallel.world import ALONE
from widedeep.schema.manifest import Manifest, read_manifest
from widedeep.training.run import TrainingRun
from widedeep.training.settings import TrainConfig
from widedeep.training.step import evaluate
from widedeep.training.warm_start import begin_from, match_labels

USERS, ITEMS = 60, 40


def test_labels_match_wherever_they_stand():
    to, source = match_labels(np.array([7, 5, 9, 3]), [3, 4, 5, 7])
    assert (to.tolist(), source.tolist()) == ([0, 1, 3], [3, 2, 0])
    assert [len(places) for places in match_labels(["a"], ())] == [0, 0]


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    """Two directories of the same data, whose users, items and values are in other orders."""
    folder, random = tmp_path_factory.mktemp("orders"), np.random.default_rng(3)
    write_prepared(folder / "one", users=USERS, items=ITEMS, ratings=1500, features=True)
    write_part(folder / "one", folder / "two", random.permutation(USERS), random.permutation(ITEMS))
    return [Tables(folder / name, read_manifest(folder / name)) for name in ("one", "two")], folder


def tables_and_manifest(folder: Path) -> tuple[Tables, Manifest]:
    manifest = read_manifest(folder)
    return Tables(folder, manifest), manifest


# Pairs alone have only hashed crosses, which start anew.
@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"wide_deep_cross, pairs alone"}))
@torch.no_grad()
def test_the_same_data_in_another_order_gives_the_same_model(dumps, tmp_path, variant):
    (one, two), folder = dumps
    config = config_of(variant)
    if hasattr(config, "titles"):  # all are kept: which of equally similar ones are is a matter of order
        config = config.model_copy(update={"titles": ITEMS})
    torch.manual_seed(0)
    old = REGISTRY[config.name].from_tables(config, one)
    for module in old.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.copy_(torch.randn(len(module.running_mean)))
            module.running_var.copy_(torch.rand(len(module.running_var)) + 0.5)
    for name, parameter in old.named_parameters():
        parameter += 0.2 * torch.randn(parameter.shape)
        if name == "pair_embedding.weight":
            parameter.zero_()  # other data gives pairs other buckets, so they start anew
    for module in old.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx].zero_()  # training leaves it so
    old.fill_cold_rows()
    save_artifact(tmp_path / "model.safetensors", old, read_manifest(folder / "one"), one)
    new = REGISTRY[config.name].from_tables(config, two)
    warm = TrainConfig.model_validate({"model": {"name": config.name}, "warm_start": tmp_path})
    begin_from(warm, new, read_manifest(folder / "two"), two, ALONE)
    new.fill_cold_rows()
    ours, theirs = (pairs_by_id(model.eval(), tables) for model, tables in ((new, two), (old, one)))
    assert theirs.std(dim=(1, 2)).min() > 0.01
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def pairs_by_id(model, tables: Tables) -> torch.Tensor:
    """Both answers for all pairs in the order of the ids, [2, U, I]."""
    user, item = (
        torch.from_numpy(np.argsort(ids)).int()
        for ids in (tables.users.values("user_id"), tables.items.values("item_id"))
    )
    scores = model(user.repeat_interleave(len(item)), item.repeat(len(user)))
    return torch.stack([answer.view(len(user), len(item)) for answer in scores])


@pytest.fixture(scope="module")
def growing(tmp_path_factory) -> Path:
    """An older dump, a newer one that has more users, items and ratings, and runs on the older one."""
    folder, random = tmp_path_factory.mktemp("growing"), np.random.default_rng(5)
    write_prepared(folder / "newer", users=200, items=61, ratings=6000, features=True)
    write_part(folder / "newer", folder / "older", random.permutation(200)[:150], random.permutation(61)[:50], every=2)
    for name in MODELS:
        train(command(folder / "older", folder / name, **MODELS[name], epochs=6))
    return folder


MODELS = {
    "ncf": {"config": "ncf", "batch_size": 64, "ranking_users": 0, "device": "cpu"},
    "wide_deep_history": {"config": "best", "batch_size": 64, "ranking_users": 20, "device": "cpu"},
}


def test_a_warm_start_begins_with_better_predictions(growing, tmp_path):
    """Not so wide_deep_history: its closed forms, which are fitted in any case, predict these ratings best."""
    first = {}
    for kind, flags in (("cold", {}), ("warm", {"warm_start": growing / "ncf"})):
        argv = command(growing / "newer", tmp_path / kind, **MODELS["ncf"], **flags)[1:]
        config = load_config(TrainConfig, argv, "train")
        run = TrainingRun(config, ALONE)
        run.resume()
        first[kind] = evaluate(run.model, run.loader, "valid", ALONE, 1000)["rmse"]
    assert first["warm"] < 0.95 * first["cold"]


def test_what_both_know_is_taken_over_and_the_rest_starts_as_a_new_model_does(growing, tmp_path):
    argv = command(growing / "newer", tmp_path / "run", **MODELS["ncf"])[1:]
    of_cold = TrainingRun(load_config(TrainConfig, argv, "train"), ALONE)
    of_cold.close()
    cold = of_cold.model
    warm = TrainingRun(
        load_config(TrainConfig, [*argv, "--resume", "never", "--warm-start", str(growing / "ncf")], "train"), ALONE
    )
    warm.resume()
    old = load_artifact(growing / "ncf" / "model.safetensors")
    tables = Tables(growing / "newer", read_manifest(growing / "newer"))
    known = 0
    for user, user_id in enumerate(tables.users.values("user_id")):
        if warm.model.user_row[user] == warm.model.shape["user_rows"]:
            continue
        ours = warm.model.user_embedding.weight[warm.model.user_row[user]]
        (place,) = np.nonzero(old.user_id == user_id)
        if len(place) and old.user_ratings[place[0]]:
            known += 1
            expected = old.model.user_embedding.weight[old.model.user_row[place[0]]]
        else:
            expected = cold.user_embedding.weight[cold.user_row[user]]
        assert torch.equal(ours, expected)
    assert 100 < known < 200
    assert torch.equal(warm.model.last.weight, old.model.last.weight)


def test_a_warm_run_resumes_without_the_older_one(growing, tmp_path):
    older = tmp_path / "older"
    shutil.copytree(growing / "ncf", older)
    flags = MODELS["ncf"] | {"epochs": 2, "warm_start": older}
    train(command(growing / "newer", tmp_path / "run", **flags))
    before = curve(tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    shutil.rmtree(older)
    train(command(growing / "newer", tmp_path / "run", **flags))
    assert curve(tmp_path / "run") == before
    assert metrics(tmp_path / "run")["train"]["epochs"] == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"config": "wide_deep"}, r"has a model ncf, this run trains wide_deep: give --model\.name ncf"),
        ({"model__gmf_dim": 8}, r"differs in \['model\.gmf_dim \(64 there, 8 now\)'\]"),
        ({"model__hidden": "64,32"}, r"differs in \['model\.hidden \(\[64, 32, 16\] there, \[64, 32\] now\)'\]"),
        ({"model__batch_norm": True}, r"model\.batch_norm \(False there, True now\)"),
    ],
)
def test_another_model_is_refused_by_what_differs(growing, tmp_path, flags, said):
    named = MODELS["ncf"] | {"warm_start": growing / "ncf"} | flags
    argv = command(growing / "newer", tmp_path / "run", **{k: v for k, v in named.items() if v is not True})
    argv += [f"--{name.replace('__', '.').replace('_', '-')}" for name, value in named.items() if value is True]
    with pytest.raises(InputError, match=f"warm_start: .*{said}"):
        train(argv)


RANDOM = {"kind": "random", "train": 0.8, "valid": 0.1, "sample": 1.0}


def begin(dumps, run: Path, splits: list[dict]) -> None:
    """Begin from a model of the first directory on the second one, whose splits were made by these settings."""
    tables, folder = dumps
    manifests = [
        read_manifest(folder / name).model_copy(update={"config": {"seed": 0, **split}})
        for name, split in zip(("one", "two"), splits, strict=True)
    ]
    old, new = (REGISTRY["ncf"].from_tables(config_of("ncf"), table) for table in tables)
    save_artifact(run / "model.safetensors", old, manifests[0], tables[0])
    config = TrainConfig.model_validate({"model": {"name": "ncf"}, "warm_start": run})
    begin_from(config, new, manifests[1], tables[1], ALONE)


@pytest.mark.parametrize(
    "splits",
    [
        [{"split": RANDOM}, {"split": RANDOM, "seed": 1}],
        [{"split": RANDOM}, {"split": RANDOM | {"train": 0.7}}],
        [{"split": RANDOM}, {"split": RANDOM | {"kind": "cold_item"}}],
        [{"split": RANDOM | {"kind": "per_user"}}] * 2,  # a user's further ratings move the older ones
    ],
)
def test_a_model_that_may_know_what_is_held_out_now_is_refused(dumps, tmp_path, splits):
    with pytest.raises(InputError, match=r"warm_start: .* may have learnt from ratings that .* holds out"):
        begin(dumps, tmp_path, splits)
    begin(dumps, tmp_path, [{"split": RANDOM}, {"split": RANDOM | {"sample": 0.5}}])


def test_another_rating_scale_is_refused(growing, tmp_path):
    write_prepared(tmp_path / "from_zero", ratings=1000, lowest=0)
    with pytest.raises(InputError, match=r"has ratings of 1-10, this data of 0-10"):
        train(command(tmp_path / "from_zero", tmp_path / "run", **MODELS["ncf"], warm_start=growing / "ncf"))
    assert TEN_POINTS.lowest == 1


def test_a_run_that_is_not_there_is_named(growing, tmp_path):
    with pytest.raises(InputError, match=r"nowhere/model\.safetensors does not exist"):
        train(command(growing / "newer", tmp_path / "run", **MODELS["ncf"], warm_start=tmp_path / "nowhere"))
    with pytest.raises(InputError, match="warm_start and run_dir are the same directory"):
        train(command(growing / "newer", tmp_path / "run", **MODELS["ncf"], warm_start=tmp_path / "run"))
