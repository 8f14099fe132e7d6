"""Types of the fields of settings: how numbers, lists and missing values are written in TOML and in flags."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, ConfigDict, Field, field_validator

from widedeep.schema.records import Record


def whole_number(value: object) -> object:
    """Convert a number such as 24.3e6 to int if it is whole; return anything else unchanged."""
    try:
        if isinstance(value, str | float) and float(value).is_integer():
            return int(float(value))
    except ValueError:
        pass
    return value


def comma_separated(value: object) -> object:
    """Split `a, b` into a list, as flags write lists; return what is neither text nor a list unchanged."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        return value
    trimmed = [part.strip() if isinstance(part, str) else part for part in parts]
    return [part for part in trimmed if part != ""]  # --model.crosses "" is an empty list


def none(value: object) -> object:
    """Convert the text `none` to None, which TOML and flags cannot write otherwise."""
    return None if value == "none" else value


def _positive_widths(widths: tuple[int, ...]) -> tuple[int, ...]:
    if not widths or min(widths) < 1:
        raise ValueError(f"hidden must name at least one width, each above 0, not {list(widths)}")
    return widths


def crosses_of_two_columns(crosses: tuple[str, ...]) -> tuple[str, ...]:
    """Return the crosses, or raise if one is not `column*column`."""
    wrong = [cross for cross in crosses if cross.count("*") != 1 or not all(cross.split("*"))]
    if wrong:
        raise ValueError(f"{wrong} are no crosses of two columns, such as gender*genres")
    return crosses


MOST = 10**15  # what any count may be; more is a mistake, and would overflow somewhere
Count = Annotated[int, BeforeValidator(whole_number), Field(le=MOST)]
MaybeCount = Annotated[Count | None, BeforeValidator(none)]
MaybePath = Annotated[Path | None, BeforeValidator(none)]
MaybeDate = Annotated[date | None, BeforeValidator(none)]
MaybeText = Annotated[str | None, BeforeValidator(none)]
MaybeFloat = Annotated[float | None, BeforeValidator(none)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
DropShare = Annotated[float, Field(ge=0.0, lt=1.0)]
Names = Annotated[tuple[str, ...], BeforeValidator(comma_separated)]
Widths = Annotated[tuple[Count, ...], BeforeValidator(comma_separated), AfterValidator(_positive_widths)]
MaybeWidths = Annotated[tuple[Annotated[Count, Field(ge=1)], ...], BeforeValidator(comma_separated)]  # may be empty
# Older releases had the name `run` alone, but torchrun takes --run for an abbreviation of its own options.
RUN_DIR = AliasChoices("run_dir", "run")
ReaderName = Literal["petastorm", "pyarrow"]
SplitName = Literal["train", "valid", "test"]


class Settings(Record):
    """Base of the settings of a command and of their sections, such as `[model]`: frozen, without unknown keys."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _plain_text(cls, value: Any) -> Any:
        """Refuse texts and paths that no file system takes."""
        if isinstance(value, str | Path) and "\0" in str(value):
            raise ValueError("it holds a zero byte")
        return value


# Not a part of what makes two runs the same.
DRY_RUN = Field(
    default=False,
    exclude=True,
    description="check the settings, the inputs and the free space, print the plan, and stop there",
)
OVERWRITE = Field(default=False, description="replace an older output of the same kind; without it, it is an error")
