"""Generated input for everything that reads what others wrote: it works, or it is one InputError.

Each test tries `EXAMPLES` inputs; WIDEDEEP_FUZZ_EXAMPLES=10000 makes it many. Past failures are kept as examples.
"""

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.builders import MAL, TEN_POINTS, write_prepared
from widedeep.common.command import load_config
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.config.prepare import PrepareConfig
from widedeep.config.score import ScoreConfig
from widedeep.data.dataset_descriptions import read_dataset
from widedeep.data.feature_tables import Tables
from widedeep.data.rating_lists import read_rating_list
from widedeep.models import WideDeep
from widedeep.models.artifact import _write_safetensors, load_artifact, save_artifact
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.parallel.world import ALONE
from widedeep.schema.manifest import Manifest, parse_manifest
from widedeep.schema.predictions import PredictionManifest
from widedeep.schema.recommendations import RecommendationManifest
from widedeep.schema.records import seal
from widedeep.training.checkpoints import Checkpointer, CheckpointManifest, load_checkpoint, newest_first
from widedeep.training.run_identity import RunIdentity
from widedeep.training.settings import TrainConfig

EXAMPLES = int(os.environ.get("WIDEDEEP_FUZZ_EXAMPLES", "150"))
COMMANDS = {"train": TrainConfig, "prepare": PrepareConfig, "score": ScoreConfig}
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 1000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -1, 2**31, 2**63, 10**400, 1e300]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


def refusal(read: Callable[[], Any], *kinds: type[Exception]) -> str | None:
    """Return what the InputError of a call says, None if it raises none; any other exception fails the test."""
    try:
        read()
    except (InputError, *kinds) as error:
        return str(error)
    return None


def fields_of(cls) -> list[str]:
    """Names of settings, of their sections and of what sections have."""
    names = []
    for name, field in cls.model_fields.items():
        names.append(name)
        inner = getattr(field.annotation, "model_fields", {})
        names += [f"{name}.{setting}" for setting in inner]
    return names


def toml_of(name: str, value) -> str:
    *section, key = name.split(".")
    return (f"[{section[0]}]\n" if section else "") + f"{json.dumps(key)} = {literal(value)}\n"


def literal(value) -> str:
    """Return a value as TOML has it; what TOML does not have as text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    return str(value) if isinstance(value, int) else json.dumps(str(value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@fuzz
@given(command=st.sampled_from(sorted(COMMANDS)), data=st.data(), value=VALUES)
def test_settings_of_a_file(folder, command, data, value):
    name = data.draw(st.one_of(st.sampled_from(fields_of(COMMANDS[command])), st.text(min_size=1, max_size=12)))
    accepted_or_explained(folder, command, toml_of(name, value).encode("utf-8", "replace"))


@fuzz
@given(command=st.sampled_from(sorted(COMMANDS)), content=st.one_of(st.binary(max_size=200), st.text().map(str.encode)))
@example("train", b"a=" + b"[" * 2000 + b"]" * 2000)
@example("train", b"seed=" + b"9" * 5000)
@example("train", b"_cli_parse_args=true")
@example("train", b'_env_file="/etc/passwd"')
@example("prepare", b"\xff\xfe")
def test_any_file_of_settings(folder, command, content):
    accepted_or_explained(folder, command, content)


def accepted_or_explained(folder, command: str, content: bytes) -> None:
    file = folder / "settings.toml"
    file.write_bytes(content)
    said = refusal(lambda: load_config(COMMANDS[command], ["--config", str(file)], command))
    assert said is None or str(file) in said or "settings" in said


@fuzz
@given(command=st.sampled_from(sorted(COMMANDS)), data=st.data(), value=st.text(max_size=30))
def test_flags(command, data, value):  # it found `score_all.py --rerank ""`
    flag = data.draw(st.one_of(st.sampled_from(fields_of(COMMANDS[command])), st.text(max_size=12)))
    argv = [f"--{flag.replace('_', '-')}", value]
    # --help exits, with 0.
    assert refusal(lambda: load_config(COMMANDS[command], argv, command), SystemExit) not in ("1", "2")


MANIFESTS = (Manifest, RecommendationManifest, PredictionManifest, CheckpointManifest)


@pytest.fixture(scope="module")
def prepared(folder) -> tuple:
    path = folder / "prepared"
    return path, write_prepared(path, users=30, items=20, ratings=300)


def changed(content, path, value):
    """Return JSON values with another value at a place that `path`, numbers, leads to."""
    if not path or not isinstance(content, dict | list) or not content:
        return value
    keys = sorted(content) if isinstance(content, dict) else range(len(content))
    key = list(keys)[path[0] % len(content)]
    copy = dict(content) if isinstance(content, dict) else list(content)
    copy[key] = changed(content[key], path[1:], value)
    return copy


@fuzz
@given(path=st.lists(st.integers(0, 40), min_size=1, max_size=6), value=VALUES, sealed=st.booleans())
def test_a_manifest_with_any_change(prepared, path, value, sealed):
    """Also as somebody writes it who can compute its digest."""
    whole = {"kind": Manifest.kind, "format_version": 5, **prepared[1].model_dump(mode="json")}
    content = changed(whole, path, value)
    text = json.dumps(content)
    if sealed and isinstance(content, dict):
        rest = {key: inner for key, inner in content.items() if key not in ("kind", "format_version")}
        text = seal(content.get("kind"), content.get("format_version"), rest)
    said = refusal(lambda: parse_manifest(text, "data"))
    assert said is None or said.startswith("data")


@fuzz
@given(cls=st.sampled_from(MANIFESTS), text=st.one_of(st.text(), VALUES.map(json.dumps)))
@example(Manifest, "[" * 100_000)
@example(Manifest, '{"kind": []}')
@example(Manifest, '{"a": 1e999}')
@example(Manifest, "9" * 5000)
def test_any_text_as_a_manifest(cls, text):
    with pytest.raises(InputError, match="file: "):
        cls.unseal(text, "file")


@pytest.fixture(scope="module")
def model(folder, prepared):
    path, manifest = prepared
    built = WideDeep.from_tables(WideDeepConfig(embedding_dim=3, hidden=(4,)), Tables(path, manifest))
    save_artifact(folder / "model.safetensors", built, manifest, Tables(path, manifest))
    return folder / "model.safetensors"


@fuzz
@given(at=st.floats(0, 1), put=st.binary(min_size=1, max_size=40), cut=st.booleans())
def test_a_model_with_any_damage(folder, model, at, put, cut):
    content = model.read_bytes()
    place = int(at * (len(content) - 1))
    damaged = content[:place] + put + (b"" if cut else content[place + len(put) :])
    (folder / "damaged.safetensors").write_bytes(damaged)
    if damaged == content:
        return
    with pytest.raises(InputError, match=r"damaged\.safetensors "):
        load_artifact(folder / "damaged.safetensors")


@fuzz
@given(path=st.lists(st.integers(0, 40), max_size=5), value=VALUES)
def test_a_model_with_any_header(folder, model, path, value):
    artifact = load_artifact(model)
    header = {
        "config": artifact.config.model_dump(mode="json"),
        "shape": artifact.model.shape,
        "manifest_digest": artifact.manifest_digest,
        "split": artifact.split,
        "ids": artifact.ids.model_dump(mode="json"),
        "scale": artifact.scale.model_dump(mode="json"),
        "rates": True,
        "refit": False,
        "vocabularies": artifact.vocabularies,
        "best": {"epoch": 0, "value": 1.0, "valid": {}},
    }
    tensors = {f"model.{name}": value for name, value in artifact.model.state_dict().items()}
    for name in ("user_id", "item_id", "user_ratings", "item_ratings"):
        tensors[f"ids.{name}"] = torch.from_numpy(getattr(artifact, name).copy())
    file = folder / "other.safetensors"
    with file.open("wb") as stream:
        _write_safetensors(stream, tensors, json.dumps(changed(header, path, value)))
    said = refusal(lambda: load_artifact(file))
    assert said is None or "other.safetensors" in said


IDENTITY = RunIdentity(config={"epochs": 2}, manifest_digest="a")


@pytest.fixture(scope="module")
def checkpoint(folder):
    Checkpointer(folder, IDENTITY, 1, 2, ALONE, ALONE).save((1, 0), lambda: {"weight": torch.arange(200.0), "step": 3})
    return newest_first(folder / "checkpoints")[0]


@fuzz
@given(name=st.sampled_from(["rank-0.pt", "manifest.json"]), at=st.floats(0, 1), put=st.binary(min_size=1, max_size=40))
def test_a_checkpoint_with_any_damage(folder, checkpoint, name, at, put):
    damaged = folder / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(checkpoint, damaged)
    content = (damaged / name).read_bytes()
    place = int(at * (len(content) - 1))
    (damaged / name).write_bytes(content[:place] + put + content[place + len(put) :])
    said = refusal(lambda: load_checkpoint(folder, str(damaged), IDENTITY))
    if said is None:  # white space between the fields of the manifest may be changed
        assert load_checkpoint(folder, str(damaged), IDENTITY)[2][0]["weight"].tolist() == list(range(200))
    else:
        assert "damaged" in said


LISTS = {"list.csv": b"anime_id,rating\n1,7\n", "list.xml": b"<myanimelist></myanimelist>", "list.xml.gz": b""}
XML = b"<myanimelist><anime><series_animedb_id>%s</series_animedb_id><my_score>%s</my_score></anime></myanimelist>"


@fuzz
@given(
    name=st.sampled_from(sorted(LISTS)),
    content=st.one_of(st.binary(max_size=200), st.text(max_size=80).map(str.encode)),
)
@example("list.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")
@example("list.csv", b'anime_id,rating\n1,"7')
@example("list.csv", b"anime_id,rating\n" + b"1" * 140_000 + b",7\n")
def test_any_list_of_ratings(folder, name, content):
    read_or_explained(folder / name, content)


@fuzz
@given(item=st.text(max_size=12), rating=st.text(max_size=12), xml=st.booleans())
@example("1", "1e999", False)
@example("9" * 5000, "7", False)
@example("1", "nan", True)
def test_any_values_in_a_list_of_ratings(folder, item, rating, xml):
    given_item, given_rating = (text.encode("utf-8", "replace") for text in (item, rating))
    content = XML % (given_item, given_rating) if xml else b"anime_id,rating\n%s,%s\n" % (given_item, given_rating)
    read_or_explained(folder / ("list.xml" if xml else "list.csv"), content)


def read_or_explained(file, content: bytes) -> None:
    file.write_bytes(content)
    said = refusal(lambda: read_rating_list(file, MAL, TEN_POINTS))
    if said is None:
        entries = read_rating_list(file, MAL, TEN_POINTS)
        assert all(entry.rating is None or 1 <= entry.rating <= 10 for entry in entries)
    else:
        assert str(file) in said


@fuzz
@given(name=st.sampled_from(["ids", "ratings", "items", "users", "leaks", "name"]), value=VALUES)
def test_any_description_of_a_data_set(folder, name, value):
    file = folder / "mine.toml"
    file.write_bytes(toml_of(name, value).encode("utf-8", "replace"))
    with pytest.raises(InputError, match=r"mine\.toml"):
        read_dataset(str(file))


@fuzz
@given(damage=st.binary(min_size=1, max_size=30), at=st.floats(0, 1))
def test_a_feature_table_with_any_damage(folder, prepared, damage, at):
    path, manifest = prepared
    copied = folder / "copy"
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(path, copied)
    file = copied / manifest.items.files[0].path
    content = file.read_bytes()
    place = int(at * (len(content) - 1))
    changed_content = content[:place] + damage + content[place + len(damage) :]
    file.write_bytes(changed_content)
    if changed_content == content:
        return
    with pytest.raises(DamagedFileError, match="items/part-00000"):
        Tables(copied, manifest).items.values("train_ratings")
