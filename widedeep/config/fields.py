"""What settings are made of: numbers, lists and sections, as TOML and flags write them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field


def whole_number(value: object) -> object:
    """Let whole numbers be written as people write large ones: 24.3e6."""
    try:
        if isinstance(value, str | float) and float(value).is_integer():
            return int(float(value))
    except ValueError:
        pass
    return value


def comma_separated(value: object) -> object:
    """Let lists be written as `a, b` on the command line."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        return value
    trimmed = [part.strip() if isinstance(part, str) else part for part in parts]
    return [part for part in trimmed if part != ""]  # a flag such as --model.crosses "" leaves none


def none(value: object) -> object:
    """TOML has no null: `none` says it there and on the command line."""
    return None if value == "none" else value


def _positive_widths(widths: tuple[int, ...]) -> tuple[int, ...]:
    if not widths or min(widths) < 1:
        raise ValueError(f"hidden must name at least one width, each above 0, not {list(widths)}")
    return widths


def of_two_columns(crosses: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse crosses that are not `column*column`."""
    wrong = [cross for cross in crosses if cross.count("*") != 1 or not all(cross.split("*"))]
    if wrong:
        raise ValueError(f"{wrong} are no crosses of two columns, such as gender*genres")
    return crosses


Count = Annotated[int, BeforeValidator(whole_number)]
MaybeCount = Annotated[Count | None, BeforeValidator(none)]
MaybeText = Annotated[str | None, BeforeValidator(none)]
MaybeFloat = Annotated[float | None, BeforeValidator(none)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
DropShare = Annotated[float, Field(ge=0.0, lt=1.0)]
Names = Annotated[tuple[str, ...], BeforeValidator(comma_separated)]
Widths = Annotated[tuple[Count, ...], BeforeValidator(comma_separated), AfterValidator(_positive_widths)]
# The short name is that of older releases; torchrun refuses it as an ambiguous abbreviation of its own options.
RUN_DIR = AliasChoices("run_dir", "run")
ReaderName = Literal["petastorm", "pyarrow"]
SplitName = Literal["train", "valid", "test"]
Loss = Literal["cross_entropy", "squared"]


class Section(BaseModel):
    """A table of a TOML file, such as `[model]`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
