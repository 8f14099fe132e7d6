"""The base of all records that stages write and read."""

import re
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from widedeep.common.errors import InputError


class Record(BaseModel):
    """A frozen record that refuses unknown fields, so that a misspelt one is found at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


R = TypeVar("R", bound=Record)


def require_format(text: str, version: int, file: str, job: str) -> None:
    """Refuse what another release wrote, before its other fields are looked at: they may differ, too.

    Args:
        text: JSON of a record with a `format_version`.
        version: that of this release.
        file: its name, for the message.
        job: the command that writes the file again, for the message.

    Raises:
        InputError: the version is another one.

    """
    written = re.search(r'"format_version": ?(\d+)', text)
    if written and int(written[1]) != version:
        raise InputError(f"{file}: format_version is {written[1]}, this release reads {version}; run {job} again")


def parse_record(cls: type[R], text: str, file: str, job: str) -> R:
    """Read a record from JSON.

    Args:
        cls: the record's class.
        text: the JSON.
        file: its name, for the message.
        job: the command that writes the file again, for the message.

    Raises:
        InputError: naming the first field that does not fit, or "content" if none of them can be read.

    """
    try:
        return cls.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "content"
        raise InputError(f"{file}: {field}: {first['msg']}; run {job} again") from None
