"""The systems to evaluate: where their outputs are, and whether they fit the data."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from widedeep.common.errors import InputError
from widedeep.config.evaluate import EvaluateConfig
from widedeep.schema.evaluation import LIST_LENGTH
from widedeep.schema.manifest import HIDDEN_MANIFEST
from widedeep.schema.predictions import PredictionManifest
from widedeep.schema.recommendations import RecommendationManifest
from widedeep.schema.records import read_json_object
from widedeep.spark.evaluation.evaluation_data import EvaluationData
from widedeep.spark.filesystem import Files

OUTPUT_KINDS = {"recommendations": RecommendationManifest, "predictions": PredictionManifest}


class System(NamedTuple):
    """A system and its directories."""

    name: str
    directory: str  # its evaluation.json and evaluation/ are written here
    outputs: dict[str, str]  # of OUTPUT_KINDS -> directory


def find_systems(files: Files, config: EvaluateConfig) -> list[System]:
    """The systems that the settings name, ordered by name; InputError if there is none."""
    if config.output:
        outputs = {"recommendations": config.recommendations, "predictions": config.predictions}
        directory = config.output.rstrip("/")
        return [System(directory.rpartition("/")[2], directory, {k: path for k, path in outputs.items() if path})]
    systems = []
    for name in _subdirectories(files, config.systems):
        directory = f"{config.systems.rstrip('/')}/{name}"
        outputs = {kind: f"{directory}/{kind}" for kind in OUTPUT_KINDS if files.exists(f"{directory}/{kind}")}
        if outputs:
            systems.append(System(name, directory, outputs))
    if not systems:
        raise InputError(
            f"systems {config.systems} holds no directory with {' or '.join(OUTPUT_KINDS)} in it: write some with "
            f"jobs/score_all.py --output {config.systems}/NAME/recommendations --exclude train,valid --top-n "
            f"{LIST_LENGTH} --predictions {config.systems}/NAME/predictions"
        )
    return systems


def _subdirectories(files: Files, directory: str) -> list[str]:
    if not files.exists(directory):
        return []
    names = [name for name, _, _ in files.entries(directory) if not name.startswith((".", "_"))]
    return [name for name in names if files.is_directory(f"{directory}/{name}")]


def manifest_digests(data: EvaluationData, system: System) -> dict[str, str]:
    """Kind of output -> sha256 of its manifest.

    Raises:
        InputError: an output is incomplete, was changed, or belongs to other data than the rest or another model.

    """
    digests, models = {}, {}
    for kind, path in system.outputs.items():
        file = f"{path}/{HIDDEN_MANIFEST}"
        if not data.files.exists(file):
            raise InputError(f"{path} holds no {HIDDEN_MANIFEST}: it was not written to the end; write it again")
        text = data.files.read_text(file)
        stated = _stated_in(text, file, OUTPUT_KINDS[kind])
        _check_manifest(file, stated, data)
        digests[kind] = hashlib.sha256(text.encode()).hexdigest()
        if stated.model:
            models[path] = stated.model
    if len(set(models.values())) > 1:
        said = " and ".join(f"{path} of {model[:20]}" for path, model in models.items())
        raise InputError(f"{said} are of different models, so they are no system: write both with one command")
    return digests


class Stated(NamedTuple):
    """What an output's manifest says; a system that is not ours need not say anything."""

    data_digest: str | None
    model: str | None
    excluded: Sequence[str]  # splits whose items lists leave out


def _stated_in(text: str, file: str, cls: type[RecommendationManifest] | type[PredictionManifest]) -> Stated:
    content = read_json_object(text, file, "write the directory again")
    if "kind" in content:
        manifest = cls.unseal(text, file)
        return Stated(manifest.data_digest, manifest.model, manifest.config.get("exclude", ()))
    config = content.get("config")
    excluded = config.get("exclude", ()) if isinstance(config, dict) else ()
    return Stated(content.get("data_digest"), None, excluded)


def _check_manifest(file: str, stated: Stated, data: EvaluationData) -> None:
    """InputError if an output belongs to other data, or if its lists leave out the items that judge them."""
    digest = data.manifest.digest
    if stated.data_digest not in (None, digest):
        raise InputError(
            f"{file}: data_digest {str(stated.data_digest)[:12]} is not that of {data.directory} ({digest[:12]}): "
            "evaluate with the data that the system was trained on"
        )
    if "test" in stated.excluded:
        raise InputError(
            f"{file}: config.exclude names test, so the lists leave out the items that they are judged by: "
            "score again with --exclude train,valid"
        )
