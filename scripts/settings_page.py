"""Write docs/settings.md: every setting of every command, as the models of widedeep/config describe it.

python scripts/settings_page.py
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from widedeep.config.check_data import CheckDataConfig
from widedeep.config.doctor import DoctorConfig
from widedeep.config.evaluate import EvaluateConfig
from widedeep.config.explore import ExploreConfig
from widedeep.config.export import ExportConfig
from widedeep.config.fields import MOST
from widedeep.config.prepare import PrepareConfig
from widedeep.config.recommend import RecommendConfig
from widedeep.config.recommendations import LookUpConfig
from widedeep.config.score import ScoreConfig
from widedeep.config.serve import ServeConfig
from widedeep.config.similar import SimilarConfig
from widedeep.config.synthesize import SynthesizeConfig
from widedeep.spark.baseline_fits.registry import config_class
from widedeep.training.settings import SearchConfig, TrainConfig

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
SETTINGS: dict[str, type[BaseModel]] = {
    "synthesize": SynthesizeConfig,
    "explore": ExploreConfig,
    "check-data": CheckDataConfig,
    "prepare": PrepareConfig,
    "train": TrainConfig,
    "search": SearchConfig,
    "score-all": ScoreConfig,
    "recommendations": LookUpConfig,
    "recommend": RecommendConfig,
    "similar": SimilarConfig,
    "export": ExportConfig,
    "serve": ServeConfig,
    "baselines": config_class(),
    "evaluate": EvaluateConfig,
    "doctor": DoctorConfig,
}
HEAD = """# All settings

Written by `scripts/settings_page.py` from the models that check the settings; `--help` of a command says the same. How
files, presets and flags go together: [commands](commands.md#settings).

In a TOML file a setting is written with underscores, and those with a dot are in a section:
`--optim.embedding-decay 0.1` is `embedding_decay = 0.1` below `[optim]`. Lists are written `a,b` after a flag and
`["a", "b"]` in a file. A setting that is yes or no is turned on by its flag and off by `--no-` and its name: `--refit`,
`--no-verify`, `--no-loader.verify`. Every command also has `--config`, `--log-format` and `--help`.

The defaults are those of the settings. Without `--config`, `widedeep train` takes the preset `best`
([conf/train/best.toml](../conf/train/best.toml)), which has others.
"""
Schema = dict[str, Any]


def bounds(schema: Schema) -> str:
    """Return what a number may be, such as `, ≥ 1`; nothing if there is no bound."""
    signs = {"minimum": "≥", "ge": "≥", "exclusiveMinimum": ">", "gt": ">"}
    signs |= {"maximum": "≤", "le": "≤", "exclusiveMaximum": "<", "lt": "<"}
    return "".join(f", {sign} {_plain(schema[key])}" for key, sign in signs.items() if schema.get(key, MOST) != MOST)


def _plain(number: float) -> float:
    """Return a number as an int if it is whole."""
    return int(number) if number == int(number) else number


def values(schema: Schema) -> str:
    """Return the values that a setting may have, in words."""
    if "anyOf" in schema:
        return " or ".join(values(kind) for kind in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list: {values(schema['items'])}" if "items" in schema else "list"
    words = {"integer": "whole number", "number": "number", "boolean": "yes or no", "null": "`none`"}
    words["string"] = {"path": "path", "date": "date"}.get(schema.get("format", ""), "text")
    return words[schema["type"]] + bounds(schema)


def shown(schema: Schema) -> str:
    """Return a setting's default as one would write it after a flag."""
    if "default" not in schema:
        return "must be given"
    default = schema["default"]
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, list):
        default = ",".join(map(str, default)) or '""'
    return f"`{'none' if default is None else default}`"


def table(properties: Schema, prefix: str = "") -> list[str]:
    """Return the lines of a table of settings, without those that are sections."""
    lines = ["| flag | default | values | what it does |", "|---|---|---|---|"]
    for name, schema in properties.items():
        if "$ref" not in schema and "oneOf" not in schema:
            cells = (
                f"`--{prefix}{name.replace('_', '-')}`",
                shown(schema),
                values(schema),
                schema.get("description", ""),
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""] if len(lines) > 2 else []


def sections(command: str, name: str, schema: Schema, definitions: Schema, seen: dict[str, str]) -> list[str]:
    """Return the lines of a section, or of each kind of it; of one that another command has, a link to that."""
    lines = []
    for kind in (part["$ref"].split("/")[-1] for part in schema.get("oneOf", [schema])):
        found = definitions[kind]["properties"]
        title = f"{command}: [{name}]" + (f" name = {found['name']['const']}" if "oneOf" in schema else "")
        if kind in seen:
            lines += [f"The section `[{name}]` is that of [{seen[kind].split(':')[0]}](#{anchor(seen[kind])}).", ""]
            continue
        seen[kind] = title
        lines += [f"### {title}", "", definitions[kind]["description"], "", *table(found, f"{name}.")]
    return lines


def anchor(title: str) -> str:
    """Return the anchor of a heading."""
    return "".join(sign for sign in title.lower().replace(" ", "-") if sign.isalnum() or sign in "-_")


def page() -> str:
    """Return the page."""
    lines, seen = [HEAD], {}
    for command, settings in SETTINGS.items():
        schema = settings.model_json_schema()
        properties, text = schema["properties"], " ".join(schema["description"].split("\n\n")[0].split())
        lines += [f"## {command}", "", text, ""]
        if command == "search":
            lines += ["It also has all settings of [train](#train), sections included.", ""]
            properties = {name: found for name, found in properties.items() if name not in TrainConfig.model_fields}
        lines += table(properties)
        for name, found in properties.items():
            if "$ref" in found or "oneOf" in found:
                lines += sections(command, name, found, schema["$defs"], seen)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
