"""The final model, which is trained on train and valid together."""

import numpy as np
import pytest
import torch

from tests.builders import read_split, save_manifest, whole_users, write_by_user, write_part, write_prepared
from tests.training import command, curve, learnt, train
from widedeep.common.command import load_config
from widedeep.common.errors import InputError
from widedeep.config.train import LoaderConfig
from widedeep.data.feature_tables import Tables
from widedeep.data.history_loaders import ResidentHistoryLoader
from widedeep.data.refit import merge_valid
from widedeep.models.artifact import load_artifact
from widedeep.models.history.inputs import fit_inputs
from widedeep.models.wide_deep_history import WideDeepHistoryConfig
from widedeep.parallel.world import ALONE
from widedeep.schema.manifest import SPLITS, read_manifest
from widedeep.search import main as search
from widedeep.training.plan import plan
from widedeep.training.settings import TrainConfig

NCF = {"config": "ncf", "epochs": 3, "batch_size": 256, "ranking_users": 50, "device": "cpu"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared directory; and the same ratings prepared with those of valid in train."""
    folder = tmp_path_factory.mktemp("refit")
    write_prepared(folder / "split", ratings=3000, features=True)
    manifest = write_part(folder / "split", folder / "merged", np.arange(150), np.arange(61))
    splits = {name: read_split(folder / "merged", manifest, name) for name in SPLITS}
    both = np.concatenate([splits["train"], splits["valid"]])
    merged = np.zeros(len(both), [("user", np.int32), ("item", np.int32), ("rating", np.float32)])
    merged["user"], merged["item"], merged["rating"] = both.T
    shards = manifest.ratings.shards
    ratings = {
        "shards": {**shards, "train": (*shards["train"], *shards["valid"]), "valid": ()},
        "by_user": write_by_user(folder / "merged", whole_users(merged, 2, 0)),
        "train_mean": float(both[:, 2].mean()),
    }
    save_manifest(
        folder / "merged", manifest.model_copy(update={"ratings": manifest.ratings.model_copy(update=ratings)})
    )
    return folder, both


def counts(both: np.ndarray) -> list[np.ndarray]:
    return [np.bincount(both[:, n].astype(int), minlength=size) for n, size in ((0, 150), (1, 61))]


def test_all_ratings_of_train_and_valid_are_trained_on_and_the_last_epoch_is_kept(data, tmp_path, capsys):
    folder, both = data
    found = train([*command(folder / "split", tmp_path / "run", **NCF), "--refit"])
    assert found["refit"]
    assert found["train"]["samples"] == 3 * len(both)
    assert found["train"]["best_epoch"] == found["train"]["epochs"] == 3
    assert found["valid"]["ratings"] == 0
    assert found["test"]["ratings"] == len(read_split(folder / "split", read_manifest(folder / "split"), "test"))
    assert "refit on train and valid" in " ".join(capsys.readouterr().out.split())
    artifact = load_artifact(tmp_path / "run" / "model.safetensors")
    assert artifact.refit
    for stored, expected in zip((artifact.user_ratings, artifact.item_ratings), counts(both), strict=True):
        assert np.array_equal(stored, expected)
    assert artifact.manifest_digest == read_manifest(folder / "split").digest


def test_a_refit_is_the_training_on_data_with_one_split_for_both(data, tmp_path, monkeypatch):
    folder, both = data
    refit = train([*command(folder / "split", tmp_path / "refit", **NCF), "--refit"])
    values = Tables.__init__

    def with_counts(self, *of_tables):
        values(self, *of_tables)
        for table, count in zip((self.users, self.items), counts(both), strict=True):
            table.replace("train_ratings", count)

    monkeypatch.setattr(Tables, "__init__", with_counts)
    merged = train(command(folder / "merged", tmp_path / "merged", **NCF))
    assert learnt(refit)["test"] == pytest.approx(learnt(merged)["test"], rel=1e-6)
    assert learnt(refit)["ranking"] == {
        name: pytest.approx(values) for name, values in learnt(merged)["ranking"].items()
    }
    assert learnt(refit)["reference_models"] == {
        name: pytest.approx(values) for name, values in merged["reference_models"].items()
    }
    assert [line["train"]["rmse"] for line in curve(tmp_path / "refit")] == pytest.approx(
        [line["train"]["rmse"] for line in curve(tmp_path / "merged")], rel=1e-6
    )


def test_a_plan_refuses_what_the_training_would(data, tmp_path):
    folder, _ = data

    def planned(run: str, *flags: str, **settings) -> None:
        argv = [*command(folder / run, tmp_path / "run", **NCF | settings), "--refit", *flags]
        plan(load_config(TrainConfig, argv[1:], "train"), ALONE)

    planned("split")
    with pytest.raises(InputError, match=r"refit: .* has no valid ratings"):
        planned("merged")
    with pytest.raises(InputError, match="refit: streamed histories cannot take in those of valid"):
        planned("split", "--loader.mode", "stream", config="best")


def test_histories_and_closed_forms_are_those_of_both_splits(data):
    folder, both = data
    manifest, tables = merge_valid(folder / "split", read_manifest(folder / "split"))
    assert tables.train_mean == pytest.approx(both[:, 2].mean())
    shape, buffers = fit_inputs(WideDeepHistoryConfig(), tables)
    rated = counts(both)[1] > 0
    assert shape["rows"] == rated.sum() + 1
    assert torch.equal(buffers["terms.statistics.count"][:-1], torch.from_numpy(counts(both)[1][rated]).float())
    assert torch.equal(buffers["terms.ledger.start"].diff(), torch.from_numpy(counts(both)[0]))
    loader = ResidentHistoryLoader(folder / "split", manifest, ALONE, LoaderConfig(), 200, 0)
    (histories,) = loader.histories()
    assert len(histories.user.unique()) == len(histories)
    user = histories.user.repeat_interleave(histories.start.diff())
    read = torch.stack([user.double(), histories.item.double(), histories.rating.double()], 1).numpy()
    assert sorted(map(tuple, read)) == sorted(map(tuple, both))
    assert sum(len(batch.rating) for batch in loader.epoch(0)) == len(both)


def test_a_model_of_histories_is_refit_and_serves(data, tmp_path):
    folder, both = data
    flags = {"config": "best", "epochs": 2, "batch_size": 512, "ranking_users": 20, "device": "cpu"}
    found = train([*command(folder / "split", tmp_path / "run", **flags), "--refit"])
    assert found["train"]["best_epoch"] == 2
    assert np.isfinite(found["ranking"]["model"]["ndcg_at_10"])
    model = load_artifact(tmp_path / "run" / "model.safetensors").model
    assert len(model.terms.ledger.rating) == len(both)
    with pytest.raises(InputError, match=r"refit: streamed .*give --loader\.mode resident"):
        train([*command(folder / "split", tmp_path / "streamed", **flags, loader__mode="stream"), "--refit"])


def test_ratings_are_refit_from_a_stream_too(data, tmp_path):
    folder, both = data
    found = train([*command(folder / "split", tmp_path / "run", **NCF, loader__mode="stream"), "--refit"])
    assert found["train"]["samples"] == 3 * len(both)


def test_nothing_to_add_is_refused(tmp_path):
    write_prepared(tmp_path / "prepared", shards={"train": 2, "test": 1})
    with pytest.raises(InputError, match=r"refit: .*has no valid ratings"):
        train([*command(tmp_path / "prepared", tmp_path / "run"), "--refit"])


def test_a_search_cannot_refit(data, tmp_path):
    folder, _ = data
    with pytest.raises(InputError, match="refit: a search compares trials by the valid split"):
        search(["--config", "ncf", "--data", str(folder / "split"), "--study", str(tmp_path / "study"), "--refit"])
