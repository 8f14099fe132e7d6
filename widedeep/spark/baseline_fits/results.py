"""The file tuning.json of a baseline: what was tried and what was chosen. A baseline that has it is finished."""

from typing import Any

from pydantic import ConfigDict, ValidationError

from widedeep.baselines.tuning import Trial
from widedeep.common.errors import InputError
from widedeep.config.baselines import BaselinesConfig
from widedeep.schema.manifest import Manifest
from widedeep.schema.records import Record
from widedeep.spark.filesystem import Files

TUNING_FILE = "tuning.json"


class Seconds(Record):
    """How long the two parts of a run took."""

    tuning: float
    writing: float


class BaselineResult(Record):
    """Content of tuning.json, which is written last."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # metrics are NaN if the valid split is empty

    baseline: str
    identity: dict[str, Any]  # what the result depends on
    ratings: Trial | None  # the best for ratings, None if the baseline predicts none
    lists: Trial | None  # the best for lists, None if the baseline does not rank
    trials: tuple[Trial, ...]
    seconds: Seconds

    def write(self, files: Files, directory: str) -> None:
        """Write the file, which marks the baseline as finished."""
        files.write_text(f"{directory}/{TUNING_FILE}", self.model_dump_json(indent=1) + "\n")


def identity_of(config: BaselinesConfig, manifest: Manifest, name: str) -> dict[str, Any]:
    """Return what a baseline's result depends on: the data and settings, with those of the biases that all use."""
    settings = config.model_dump(mode="json", include={"top_n", "seed", "tune_users", "bias", name})
    return {"data_digest": manifest.digest, **settings}


def finished_results(files: Files, config: BaselinesConfig, manifest: Manifest) -> dict[str, BaselineResult]:
    """Return the results of the baselines that need not be run, by name.

    Raises:
        InputError: one was run with other settings or on other data.

    """
    paths = {name: f"{config.output}/{name}/{TUNING_FILE}" for name in config.only}
    if config.resume == "never":
        return {}
    return {
        name: _read_result(files, path, identity_of(config, manifest, name))
        for name, path in paths.items()
        if files.exists(path)
    }


def _read_result(files: Files, path: str, identity: dict[str, Any]) -> BaselineResult:
    try:
        result = BaselineResult.model_validate_json(files.read_text(path))
    except ValidationError:
        raise InputError(f"{path} was not written by this version: run it again with --resume never") from None
    different = sorted(
        key for key in identity.keys() | result.identity.keys() if identity.get(key) != result.identity.get(key)
    )
    if different:
        raise InputError(
            f"{path.removesuffix('/' + TUNING_FILE)} holds a baseline that differs in {', '.join(different)}: "
            "choose another --output, or run it again with --resume never"
        )
    return result
