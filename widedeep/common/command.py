"""What all commands share: how they read settings from TOML files and flags, and how they exit.

Settings come from three layers: the defaults of widedeep/config, a TOML file, flags. pydantic-settings parses the
flags; pydantic validates the merged layers once, so that all mistakes are reported together.
"""

import argparse
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliSettingsSource, InitSettingsSource, SettingsConfigDict, SettingsError

from widedeep.common.console import (
    LOG_FORMATS,
    add_log_context,
    log,
    logs_json,
    printable,
    setup_logging,
    stderr,
)
from widedeep.common.errors import DamagedFileError, InputError, Stopped, WriteError

# In a checkout, a link to its conf/; in a wheel, a copy.
CONF = Path(__file__).resolve().parents[1] / "conf"
EXIT_FAILED, EXIT_USAGE = 1, 2
SHOWN_CHARACTERS = 200  # of a wrong value
EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: the same command, started again, goes on

Values = Mapping[str, Any]  # of settings, nested as in a TOML file
C = TypeVar("C", bound=BaseModel)

LOG_FORMAT_VARIABLE = "WIDEDEEP_LOG_FORMAT"
# Flags that every command has and no file can set.
COMMON_FLAGS = ("config", "log_format")


def load_config(cls: type[C], argv: Sequence[str], command: str, default: str | None = None) -> C:
    """Return a `cls` made of its defaults, then the file that `--config` names, then the other flags.

    Args:
        cls: the settings of the command.
        argv: the arguments after the program's name.
        command: the directory of conf/ with the command's presets, such as `train`; it need not exist.
        default: the preset without `--config`, unless a flag chooses another kind of a section, such as another model.

    Raises:
        InputError: lists every unknown key, wrong type and impossible value with the file or flag that it came from.

    """
    named = _peek(argv, "config")
    given = named or default
    file = find_config(given, command) if given else None
    in_file = read_toml(file) if file else {}
    sections = {name: field for name, field in cls.model_fields.items() if _kinds(field)}
    kinds = {name: _chosen_kind(name, field, in_file, argv) for name, field in sections.items()}
    # A section of another kind than the flag's is left out: its settings mean nothing here.
    left_out = {name for name, kind in kinds.items() if _kind_in_file(name, sections[name], in_file) != _name_of(kind)}
    in_file = {name: value for name, value in in_file.items() if name not in left_out}
    if left_out and not named:
        given, file, in_file = None, None, {}
    flags_class = _flags_class(cls, in_file, kinds, _config_flag(command, given))
    in_file = InitSettingsSource(flags_class, dict(in_file))()  # by the first of each field's names
    flags = _parse_flags(flags_class, argv, kinds)
    try:
        config = cls.model_validate(_merged(in_file, flags))
    except ValidationError as error:
        raise InputError(_explain(error, {"flags": flags, str(file): in_file}, kinds)) from None
    add_log_context(stage=command, run=str(getattr(config, "output", None) or getattr(config, "run_dir", "")))
    return config


# --- files ---------------------------------------------------------------------------------------


def presets(command: str) -> dict[str, Path]:
    """Return the presets of a command by name: the files conf/COMMAND/NAME.toml."""
    return {file.stem: file for file in sorted((CONF / command).glob("*.toml"))}


def find_config(given: str, command: str, flag: str = "config") -> Path:
    """Return the file that a flag names: by the name of a preset of conf/COMMAND, or by its path.

    Raises:
        InputError: there is no such preset or file.

    """
    named = presets(command)
    if given in named:
        return named[given]
    if not Path(given).exists():
        known = f"one of the presets {', '.join(named)}, or " if named else ""
        raise InputError(f"{flag} file {given} does not exist: give --{flag} {known}the path of a TOML file")
    return Path(given)


def read_toml(file: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        InputError: the file cannot be read or is not TOML.

    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # of its syntax, its encoding, its numbers, its depth
        raise InputError(f"config file {file} cannot be read as TOML: {error}") from None


# --- flags ---------------------------------------------------------------------------------------


class _Flags(BaseSettings):
    """Base of the classes that pydantic-settings makes a parser of; they are never instantiated."""

    model_config = SettingsConfigDict(
        protected_namespaces=(),
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_enforce_required=False,
        cli_exit_on_error=False,
    )


def _flags_class(
    cls: type[BaseModel], in_file: Values, kinds: Mapping[str, type[BaseModel]], config: Any
) -> type[_Flags]:
    """Return a class with COMMON_FLAGS and the fields of `cls`, their defaults as in the file."""
    log_format = Field(
        default=os.environ.get(LOG_FORMAT_VARIABLE, LOG_FORMATS[0]),
        description=f"text: for people; json: a line of JSON for each message; also by {LOG_FORMAT_VARIABLE}",
    )
    fields: dict[str, Any] = {"config": (str, config), "log_format": (Literal[*LOG_FORMATS], log_format)}
    for name, field in cls.model_fields.items():
        annotation, description = kinds.get(name, field.annotation), field.description
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            default = _section_for_help(annotation, in_file.get(name))
            description = _describe_kinds(field, annotation) if name in kinds else annotation.__doc__
        else:
            names = getattr(field.validation_alias, "choices", [name])
            default = _as_flag(next((in_file[key] for key in names if key in in_file), field.default))
        shown = Field(default=default, description=description, validation_alias=field.validation_alias)
        fields[name] = (annotation, shown)
    return create_model(cls.__name__, __base__=_Flags, __doc__=cls.__doc__, **fields)


def _section_for_help(section: type[BaseModel], values: Any) -> BaseModel:
    """Return a section with the values of the file, unchecked, so that --help works with a wrong file, too."""
    given = values if isinstance(values, dict) else {}
    shown = {name: _as_flag(given.get(name, field.default)) for name, field in section.model_fields.items()}
    return section.model_construct(**shown)


def _as_flag(value: Any) -> Any:
    """Return a default as one would write it after a flag; a required field has none."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or '""'
    return "none" if value is None else value


def _config_flag(command: str, given: str | None) -> Any:
    """Return the field of `--config`, which says which files there are."""
    named = presets(command)
    kinds = f"a preset ({', '.join(named)}) or a TOML file" if named else "a TOML file"
    return Field(default=given or "none", description=f"{kinds} to read settings from; flags override them")


def _parse_flags(flags_class: type[_Flags], argv: Sequence[str], kinds: Mapping[str, type[BaseModel]]) -> Values:
    """Return the values of the flags, without COMMON_FLAGS, nested as in a file.

    Raises:
        InputError: there is no such flag, or its value is missing.

    """
    try:
        values = CliSettingsSource(flags_class, cli_prog_name=Path(sys.argv[0]).name, cli_parse_args=list(argv))()
    except SettingsError as error:
        message = str(error).removeprefix("error parsing CLI: ")
        hints = [f"; {name} is {_name_of(kind)} here" for name, kind in kinds.items() if f"--{name}." in message]
        raise InputError(f"flags: {message}{''.join(hints)}; see --help") from None
    return {name: value for name, value in values.items() if name not in COMMON_FLAGS}


def _peek(argv: Sequence[str], flag: str) -> str | None:
    """Return the value of one flag; what the other flags are may depend on it."""
    parser = argparse.ArgumentParser(prog=Path(sys.argv[0]).name, add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{flag}", dest="value")
    return parser.parse_known_args(argv)[0].value


def _merged(below: Values, above: Values) -> dict[str, Any]:
    """Return both layers in one; where both have a value, the one from above."""
    both = {
        key: _merged(below[key], value) if isinstance(value, dict) and isinstance(below[key], dict) else value
        for key, value in above.items()
        if key in below
    }
    return {**below, **above, **both}


# --- sections of several kinds, such as [model], whose key `name` decides which other keys there are ------


def _kinds(field: FieldInfo) -> dict[str, type[BaseModel]]:
    """Return the models of a union by the default of their `name`; none for fields of other types."""
    members = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in get_args(field.annotation)]
    models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
    return {_name_of(model): model for model in models if "name" in model.model_fields}


def _name_of(kind: type[BaseModel]) -> str:
    return kind.model_fields["name"].default


def _chosen_kind(section: str, field: FieldInfo, in_file: Values, argv: Sequence[str]) -> type[BaseModel]:
    """Return the kind that the flag `--SECTION.name` names; without it the file's, else the default.

    Raises:
        InputError: there is no such kind.

    """
    kinds = _kinds(field)
    name = _peek(argv, f"{section}.name") or _kind_in_file(section, field, in_file)
    if not isinstance(name, str) or name not in kinds:
        raise InputError(f"{section}.name: there is no {name!r}; choose one of {', '.join(kinds)}")
    return kinds[name]


def _kind_in_file(section: str, field: FieldInfo, in_file: Values) -> Any:
    """Return the name of the kind in the file, or the default's."""
    stored = in_file.get(section)
    return stored.get("name", field.default.name) if isinstance(stored, dict) else field.default.name


def _describe_kinds(field: FieldInfo, kind: type[BaseModel]) -> str:
    """Return the description of a section of one kind, which names the others."""
    others = [name for name in _kinds(field) if name != _name_of(kind)]
    return f"{kind.__doc__} Give --help with another name to see its settings: {', '.join(others)}"


# --- errors --------------------------------------------------------------------------------------


def _explain(error: ValidationError, sources: Mapping[str, Values], kinds: Mapping[str, type[BaseModel]]) -> str:
    """Return one line for each mistake: its source, the field, what is wrong, the value."""
    lines = []
    for mistake in error.errors():
        path = [str(part) for part in mistake["loc"]]
        message = "unknown key" if mistake["type"] == "extra_forbidden" else mistake["msg"]
        if path and path[0] in kinds:
            del path[1:2]  # the kind
            message += f" of {_name_of(kinds[path[0]])}" if message == "unknown key" else ""
        value = "" if mistake["type"] == "missing" else f" (got {_short(mistake['input'])})"
        lines.append(f"  {_origin(path, sources)}: {'.'.join(path) or 'settings'}: {message}{value}")
    return f"{len(lines)} mistake(s) in the settings; see --help for what is allowed:\n" + "\n".join(lines)


def _short(value: Any) -> str:
    """Return a value as Python shows it, or the beginning of that."""
    shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}…"


def _origin(path: Sequence[str], sources: Mapping[str, Values]) -> str:
    """Return the names of the sources, the flags first, that set the value at a path.

    A value has one, the first that sets it; a section whose values do not go together may have both.
    """
    names = []
    for name, values in sources.items():
        value: Any = values
        for part in path:
            if not isinstance(value, dict):
                break  # inside of a list
            value = value.get(part)
        if isinstance(value, dict) and value:
            names.append(name)
        elif value not in (None, {}):
            return name
    return " and ".join(names) or "flags"


def run_command(main: Callable[[Sequence[str]], None]) -> None:
    """Run `main` with the arguments of the command line and exit with the documented code."""
    try:
        setup_logging(_log_format(sys.argv[1:]))
        main(sys.argv[1:])
    except InputError as error:
        _complain(f"error: {error}")
        sys.exit(EXIT_USAGE)
    except (DamagedFileError, WriteError) as error:
        _complain(f"error: {error}")
        sys.exit(EXIT_FAILED)
    except Stopped as stopped:
        _complain(str(stopped))
        sys.exit(EXIT_STOPPED)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(EXIT_FAILED)
    except Exception:
        log.exception("failed")
        sys.exit(EXIT_FAILED)


def _log_format(argv: Sequence[str]) -> str:
    """Return the format of the log; InputError if there is no such format."""
    form = _peek(argv, "log-format") or os.environ.get(LOG_FORMAT_VARIABLE, LOG_FORMATS[0])
    if form not in LOG_FORMATS:
        raise InputError(f"--log-format: there is no {form!r}; choose one of {', '.join(LOG_FORMATS)}")
    return form


def _complain(text: str) -> None:
    if logs_json():
        log.error("%s", text.removeprefix("error: "))
        return
    stderr.print(printable(text), style="bold red", highlight=False, soft_wrap=True)
