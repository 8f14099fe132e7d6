import json
import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tests.builders import write_prepared
from tests.spoil import spoil
from widedeep.common.errors import DivergedError, InputError
from widedeep.data.feature_tables import Tables
from widedeep.models import WideDeep
from widedeep.models.artifact import _write_safetensors, load_artifact, save_artifact
from widedeep.models.wide_deep import WideDeepConfig


class Bomb:
    """Creates a file when a pickle of it is loaded."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.fixture
def saved(tmp_path):
    """A trained-looking model, and the artifact of it; the data is gone."""
    data = tmp_path / "prepared"
    manifest = write_prepared(data, users=30, items=20, ratings=300)
    tables = Tables(data, manifest)
    config = WideDeepConfig(embedding_dim=3, hidden=(8, 4), batch_norm=True, dropout=0.2)
    torch.manual_seed(0)
    model = WideDeep.from_tables(config, tables)
    model.train()(torch.arange(20, dtype=torch.int32), torch.arange(20, dtype=torch.int32))  # batch norm's statistics
    save_artifact(tmp_path / "model.safetensors", model, manifest, tables)
    counts = {name: getattr(tables, name).values("train_ratings") for name in ("users", "items")}
    shutil.rmtree(data)
    return tmp_path / "model.safetensors", model.eval(), manifest, counts


@torch.no_grad()
def test_a_loaded_model_predicts_the_same_bits(saved):
    file, model, _, _ = saved
    loaded = load_artifact(file).model
    user, item = torch.arange(30, dtype=torch.int32).repeat(20), torch.arange(20, dtype=torch.int32).repeat(30)
    predicted = loaded(user, item).rating
    assert torch.equal(predicted, model(user, item).rating)
    assert predicted.std() > 0


def test_ids_counts_vocabularies_and_the_datas_digest_come_along(saved):
    file, _, manifest, counts = saved
    artifact = load_artifact(file)
    assert artifact.user_id.tolist() == list(range(1000, 1030))
    assert artifact.item_id.tolist() == list(range(5000, 5020))
    assert np.array_equal(artifact.user_ratings, counts["users"])
    assert np.array_equal(artifact.item_ratings, counts["items"])
    assert artifact.vocabularies == {"users": {}, "items": {"genres": ("Action", "Comedy", "Drama")}}
    assert artifact.manifest_digest == manifest.digest
    assert artifact.config.dropout == 0.2


def test_the_file_is_json_and_plain_numbers(saved):
    """The layout of safetensors, read by hand: nothing in it could be code."""
    content = saved[0].read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__")
    assert max(tensor["data_offsets"][1] for tensor in header.values()) == len(content) - 8 - length


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused_by_name(saved, share):
    file = saved[0]
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
        load_artifact(file)


def test_no_flipped_bit_goes_unnoticed(saved):
    """Of 300 bits, chosen with a printed seed: weights, identifiers, header and the digest itself."""
    seed = 2023
    print("seed", seed)
    file, draw = saved[0], random.Random(seed)
    whole = file.read_bytes()
    for _ in range(300):
        spoil(file, "flipped", draw.random())
        with pytest.raises(InputError, match=r"model\.safetensors "):
            load_artifact(file)
        file.write_bytes(whole)
    assert load_artifact(file).sha256 == load_artifact(file, verify=False).sha256


def test_the_digest_names_the_model(saved, tmp_path):
    """The same model gives the same digest, another one another."""
    file, model, manifest, _ = saved
    write_prepared(tmp_path / "prepared", users=30, items=20, ratings=300)
    tables = Tables(tmp_path / "prepared", manifest)
    digests = []
    for change in (0, 0, 1e-3):
        with torch.no_grad():
            next(iter(model.parameters())).flatten()[0] += change
        save_artifact(file, model, manifest, tables)
        digests.append(load_artifact(file).sha256)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    "header", ["", "null", "[]", "{}", '{"config": 1}', "[" * 100_000, '{"config": {"name": "wide_deep"}}']
)
def test_a_header_that_fits_nothing_is_one_sentence(saved, header):
    """As somebody would write it who knows how to compute the digest."""
    with safe_open(saved[0], framework="pt") as stored:
        tensors = {name: stored.get_tensor(name).clone() for name in stored.keys()}  # noqa: SIM118
    with saved[0].open("wb") as stream:
        _write_safetensors(stream, tensors, header)
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
        load_artifact(saved[0])


def test_other_files_are_refused_and_no_code_of_theirs_runs(tmp_path):
    file, trace = tmp_path / "model.safetensors", tmp_path / "exploded"
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists()  # the bomb works
    trace.unlink()
    for content in (b"garbage", pickle.dumps(Bomb(trace)), b"\xff" * 1000):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
            load_artifact(file)
    torch.save(Bomb(trace), file)
    with pytest.raises(InputError):
        load_artifact(file)
    assert not trace.exists()


def test_safetensors_of_others_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="has format None"):
        load_artifact(tmp_path / "other.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors does not exist: train one"):
        load_artifact(tmp_path / "none.safetensors")


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_weight_that_is_no_finite_number_is_named(saved, tmp_path, number):
    _, model, manifest, _ = saved
    write_prepared(tmp_path / "prepared", users=30, items=20, ratings=300)
    name, weight = next(iter(model.named_parameters()))
    with torch.no_grad():
        weight.flatten()[1] = number
    save_artifact(tmp_path / "bad.safetensors", model, manifest, Tables(tmp_path / "prepared", manifest))
    with pytest.raises(DivergedError, match=rf"bad\.safetensors has numbers in {name} that are not finite"):
        load_artifact(tmp_path / "bad.safetensors")
