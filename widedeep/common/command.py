"""What every command shares: config files and flags, exit codes.

pydantic-settings merges the three layers (class defaults < TOML file < flags) and validates the
result once, so that every mistake is reported together with the place it was made in.
"""

import argparse
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from widedeep.common.console import log, setup_logging, stderr
from widedeep.common.errors import InputError

# A link to the checkout's conf/; a wheel holds a copy here.
CONF = Path(__file__).resolve().parents[1] / "conf"
EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


class CommandConfig(BaseSettings):
    """Base of the commands' configs: frozen, no unknown keys, filled from TOML and flags only."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_enforce_required=False,
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave the environment out: a stray variable called SEED must not change a result."""
        return (init_settings,)


C = TypeVar("C", bound=CommandConfig)


def load_config(cls: type[C], argv: Sequence[str], command: str, default_file: Path | None = None) -> C:
    """Build a `cls` from its defaults, then `--config`, then the other flags.

    Args:
        cls: the command's config.
        argv: the arguments after the program's name.
        command: names the directory of conf/ that has the command's presets, such as `train`.
        default_file: the TOML read when `--config` is not given and the file exists; None: conf/COMMAND.toml.

    Raises:
        InputError: naming every unknown key, wrong type and impossible value, each with the file
            or flag it came from.

    """
    pre = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    pre.add_argument("--config")
    known, rest = pre.parse_known_args(argv)
    default_file = default_file or CONF / f"{command}.toml"
    file = find_config(known.config, command) if known.config else (default_file if default_file.exists() else None)
    values = read_toml(file) if file else {}
    choices = {name: _chosen_kind(name, field, values, rest) for name, field in _sections_of_several_kinds(cls)}
    extra = _help_of_files(command, default_file)
    narrowed = {name: _help_of(kind, cls.model_fields[name]) for name, kind in choices.items()}
    members = {"__doc__": f"{cls.__doc__}\n\n{extra}", "__module__": cls.__module__, "__annotations__": choices}
    bound = type(cls.__name__, (cls,), {**members, **narrowed})
    bound.model_config = {**cls.model_config, "cli_prog_name": Path(sys.argv[0]).name}
    try:
        merged = bound(_cli_parse_args=list(rest), **values)  # pyright: ignore[reportCallIssue]
        return cls.model_validate(merged.model_dump())
    except ValidationError as error:
        raise InputError(_explain(error, values, file, choices)) from None


def presets(command: str) -> dict[str, Path]:
    """The presets of a command by their names, from conf/COMMAND/NAME.toml."""
    return {file.stem: file for file in sorted((CONF / command).glob("*.toml"))}


def find_config(given: str, command: str) -> Path:
    """The file that `--config` names: the name of a preset, or a path.

    Raises:
        InputError: it is neither.

    """
    named = presets(command)
    if given in named:
        return named[given]
    if not Path(given).exists():
        known = f"one of the presets {', '.join(named)}, or " if named else ""
        raise InputError(f"config file {given} does not exist: give --config {known}the path of a TOML file")
    return Path(given)


def _help_of_files(command: str, default_file: Path) -> str:
    """What `--help` says of `--config`."""
    text = "--config FILE.toml reads settings from a file first; flags override it."
    if named := presets(command):
        text += f" --config NAME takes a preset: {', '.join(named)}."
    return f"{text} Default: {default_file if default_file.exists() else 'none'}"


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file; an unreadable or malformed one raises InputError with its name."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"config file {file} cannot be read as TOML: {error}") from None


# --- sections of several kinds, such as [model]: the one that `name` names has its own keys ------


def _sections_of_several_kinds(cls: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in cls.model_fields.items():
        if get_origin(field.annotation) in (Union, UnionType) and _kinds(field):
            yield name, field


def _kinds(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """The models of a union by the default of their `name`; none, if it is another union."""
    members = [
        get_args(member)[0] if get_origin(member) is Annotated else member for member in get_args(field.annotation)
    ]
    models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
    return {model.model_fields["name"].default: model for model in models if "name" in model.model_fields}


def _chosen_kind(section: str, field: FieldInfo, values: dict[str, Any], argv: list[str]) -> type[BaseModel]:
    """The kind that a flag names, or the file, or the default's; so that help and errors speak of its keys alone.

    A file's section of another kind than the flag's is taken out of `values`: its settings mean nothing here.

    Raises:
        InputError: there is no such kind, or a flag is none of its.

    """
    kinds, default = _kinds(field), field.get_default()
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{section}.name", dest="name")
    flag = parser.parse_known_args(argv)[0].name
    stored = values.get(section)
    in_file = stored.get("name", default.name) if isinstance(stored, dict) else default.name
    name = flag or in_file
    if not isinstance(name, str) or name not in kinds:
        raise InputError(f"{section}.name: there is no {name!r}; choose one of {', '.join(kinds)}")
    if name != in_file:
        values.pop(section, None)
    given = [arg.split("=")[0].removeprefix("--").removeprefix("no-") for arg in argv if arg.startswith("--")]
    keys = [arg.removeprefix(f"{section}.").replace("-", "_") for arg in given if arg.startswith(f"{section}.")]
    unknown = [f"{section}.{key}" for key in keys if key not in kinds[name].model_fields]
    if unknown:
        known = ", ".join(kinds[name].model_fields)
        raise InputError(f"flags: {', '.join(unknown)}: unknown key of {name}, which has {known}")
    return kinds[name]


def _help_of(kind: type[BaseModel], field: FieldInfo) -> Any:
    """The field of one kind, with a description that names the others."""
    others = [name for name in _kinds(field) if name != kind.model_fields["name"].default]
    hint = f"Give --help with another name to see its settings: {', '.join(others)}"
    return Field(default=kind(), description=f"{kind.__doc__} {hint}")


# --- errors --------------------------------------------------------------------------------------


def _explain(
    error: ValidationError, values: dict[str, Any], file: Path | None, choices: dict[str, type[BaseModel]]
) -> str:
    """One line per mistake: where it was made, the field, what is wrong, the value."""
    lines = []
    for mistake in error.errors():
        path = tuple(str(part) for part in mistake["loc"])
        where = str(file) if file and _in_file(values, path, mistake["input"]) else "flags"
        value = "" if mistake["type"] == "missing" else f" (got {mistake['input']!r})"
        message = "unknown key" if mistake["type"] == "extra_forbidden" else mistake["msg"]
        if message == "unknown key" and path[0] in choices:
            message += f" of {choices[path[0]].model_fields['name'].default}"
        lines.append(f"  {where}: {'.'.join(path) or 'settings'}: {message}{value}")
    return f"{len(lines)} mistake(s) in the settings; see --help for what is allowed:\n" + "\n".join(lines)


def _in_file(values: Any, path: tuple[str, ...], got: Any) -> bool:
    """Whether the rejected value is the one that the TOML file holds at `path`."""
    for part in path:
        if isinstance(values, list):  # a value of a list has its number for a name
            values = dict(zip(map(str, range(len(values))), values, strict=True))
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return values == got


def run_command(main: Callable[[Sequence[str]], None]) -> None:
    """Run `main` on the command line's arguments and leave with the documented exit code."""
    setup_logging()
    try:
        main(sys.argv[1:])
    except InputError as error:
        stderr.print(f"error: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:
        stderr.print("interrupted", style="bold red")
        sys.exit(EXIT_FAILED)
    except Exception:
        log.exception("failed")
        sys.exit(EXIT_FAILED)
