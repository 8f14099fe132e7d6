"""What a search varies: settings of a training by their dotted names, each with the values that it may have.

optim.lr = { low = 1e-4, high = 1e-2, log = true }
model.hidden = { choices = ["128,64", "256,128"] }
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optuna import Trial
from pydantic import Field, ValidationError, field_validator, model_validator

from widedeep.common.command import find_config, read_toml
from widedeep.common.errors import InputError
from widedeep.schema.records import Record
from widedeep.training.run_identity import RESUMABLE_CHANGES
from widedeep.training.settings import TrainConfig

Value = bool | int | float | str
# Settings that decide how a trial is measured, or nothing of what it learns.
FIXED = {*(name for name, whole in RESUMABLE_CHANGES.items() if whole is True), "select_by", "ranking_users", "seed"}


class Range(Record):
    """Numbers from `low` to `high`; only whole ones if both are written as whole numbers."""

    low: int | float
    high: int | float
    step: int | float | None = Field(default=None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _has_numbers(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low must be below high, not {self.low} and {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0, and no step")
        return self

    @property
    def _whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float)

    def suggest(self, trial: Trial, setting: str) -> Value:
        """Return the trial's value of a setting."""
        if self._whole:
            return trial.suggest_int(setting, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(setting, self.low, self.high, step=self.step, log=self.log)

    def examples(self) -> list[Value]:
        """Return values to try whether the setting takes what is in here: the ends, and an odd one in between."""
        inside = self.low + (self.step or (self.high - self.low) / 3.14)
        return [self.low, self.high, int(inside) if self._whole else inside]

    def has(self, value: Any) -> bool:
        """Return whether a value may be suggested, apart from `step`."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class Choices(Record):
    """Some values; lists are written as in flags."""

    choices: tuple[Value, ...] = Field(min_length=1)

    @field_validator("choices", mode="before")
    @classmethod
    def _as_flags(cls, choices: Any) -> Any:
        return [as_flag(value) for value in choices] if isinstance(choices, list) else choices

    def suggest(self, trial: Trial, setting: str) -> Any:
        """Return the trial's value of a setting."""
        return trial.suggest_categorical(setting, self.choices)

    def examples(self) -> list[Value]:
        """Return all values."""
        return list(self.choices)

    def has(self, value: Any) -> bool:
        """Return whether a value may be suggested."""
        return value in self.choices


Space = dict[str, Range | Choices]


def as_flag(value: Any) -> Any:
    """Return a value as a flag writes it: a list as text with commas, None as none."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "none" if value is None else value


def value_of(config: TrainConfig, setting: str) -> Any:
    """Return the value of a setting by its dotted name, as a flag writes it."""
    value: Any = config
    for part in setting.split("."):
        value = getattr(value, part)
    return as_flag(value)


def with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """Return the settings with other values, by their dotted names.

    Raises:
        ValidationError: the values are not possible, alone or together.

    """
    changed = config.model_dump()
    for setting, value in values.items():
        *path, name = setting.split(".")
        section = changed
        for part in path:
            section = section[part]
        section[name] = value
    return TrainConfig.model_validate(changed)


def read_space(given: str | None, config: TrainConfig) -> Space:
    """Read and check the space that `--space` names; None: the one named after the architecture.

    Raises:
        InputError: the file does not exist or is no TOML, a setting is unknown or fixed, or it cannot have a value.

    """
    file = find_config(given or config.model.name, "search", "space")
    entries = _flatten(read_toml(file), config)
    if not entries:
        raise InputError(
            f"{file} names no setting: give at least one, such as optim.lr = {{ choices = [0.001, 0.01] }}"
        )
    return {setting: _read_entry(file, setting, entry, config) for setting, entry in entries.items()}


def _flatten(section: Mapping[str, Any], settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return dotted name -> entry of a TOML table, whose sections are those of the settings."""
    entries = {}
    for name, value in section.items():
        inner = getattr(settings, name, None)
        if isinstance(inner, Record) and isinstance(value, dict):
            entries |= _flatten(value, inner, f"{prefix}{name}.")
        else:
            entries[prefix + name] = value
    return entries


def _read_entry(file: Path, setting: str, entry: Any, config: TrainConfig) -> Range | Choices:
    if setting in FIXED or setting == "model.name":
        raise InputError(
            f"{file}: {setting}: trials that differ in it cannot be compared: remove it here, and give "
            f"--{setting.replace('_', '-')} to a search"
        )
    if not _is_setting(config, setting):
        raise InputError(
            f"{file}: {setting}: {config.model.name} has no such setting: name one that "
            f"widedeep train --model.name {config.model.name} --help lists, without its dashes"
        )
    if not isinstance(entry, dict):
        raise InputError(f"{file}: {setting}: write {{ low = …, high = … }} or {{ choices = […] }} (got {entry!r})")
    try:
        values = (Choices if "choices" in entry else Range).model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join([setting, *map(str, first["loc"][:1])])
        raise InputError(f"{file}: {field}: {first['msg']} (got {first['input']!r})") from None
    for value in values.examples():
        try:
            with_values(config, {setting: value})
        except ValidationError as error:
            raise InputError(f"{file}: {setting}: {error.errors()[0]['msg']} (got {value!r})") from None
    return values


def _is_setting(config: TrainConfig, setting: str) -> bool:
    """Return whether a dotted name is that of a setting, and not of a section."""
    value: Any = config
    for part in setting.split("."):
        if not isinstance(value, Record) or part not in type(value).model_fields:
            return False
        value = getattr(value, part)
    return not isinstance(value, Record)
