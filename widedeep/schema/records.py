"""The bases of all records that stages write and read."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from widedeep.common.errors import InputError


class Record(BaseModel):
    """A frozen record that refuses unknown fields, so that a misspelt one is found at once."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class SealedRecord(Record):
    """A record in a file of its own, which says what it is and shows whether it was changed after it was written.

    The file is JSON: `kind`, `format_version`, the fields, and `sha256`, the digest of all the others.
    """

    kind: ClassVar[str]  # what the directory or file is that the record describes
    written_format: ClassVar[int]  # the format version that this release writes and reads
    written_by: ClassVar[str]  # the command that writes such records

    def seal(self) -> str:
        """Return the content of the file."""
        return seal(self.kind, self.written_format, self.model_dump(mode="json"))

    @classmethod
    def unseal(cls, text: str, file: str) -> Self:
        """Return the record of a file.

        Args:
            text: its content.
            file: its name, for messages.

        Raises:
            InputError: it is of another kind or release, was changed, or is not readable as such a record.

        """
        again = f"run {cls.written_by} again"
        content = read_json_object(text, file, again)
        kind, version = content.pop("kind", None), content.pop("format_version", None)
        if kind != cls.kind:
            raise InputError(f"{file}: kind is {kind!r}, not {cls.kind!r}: name what {cls.written_by} has written")
        if version != cls.written_format:
            raise InputError(f"{file}: format_version is {version}, this release reads {cls.written_format}; {again}")
        stated = content.pop("sha256", None)
        actual = _digest_of({"kind": kind, "format_version": version, **content})
        if stated != actual:
            raise InputError(f"{file} was changed after it was written: it says sha256 {stated}, has {actual}; {again}")
        return _validated(cls, content, file, again)


R = TypeVar("R", bound=Record)


def seal(kind: str, format_version: int, content: Mapping[str, Any]) -> str:
    """Return the content of a file that says what it is and shows changes; see `SealedRecord`."""
    whole = {"kind": kind, "format_version": format_version, **content}
    return json.dumps(whole | {"sha256": _digest_of(whole)}, indent=1) + "\n"


def kind_of(text: str) -> str | None:
    """Return the kind that a file of `seal` states; None if it states none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = content.get("kind") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def _digest_of(content: dict[str, Any]) -> str:
    """Return the digest of JSON values, whatever the order of the keys and the white space between them."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_json_object(text: str, file: str, remedy: str) -> dict[str, Any]:
    """Return the object that a JSON text is; InputError, which names the file and the remedy, if it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: content: it is not readable as JSON ({error}); {remedy}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: content: a JSON object is needed; {remedy}")
    return content


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
    again = f"run {job} again"
    return _validated(cls, read_json_object(text, file, again), file, again)


def _validated(cls: type[R], content: dict[str, Any], file: str, remedy: str) -> R:
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "content"
        raise InputError(f"{file}: {field}: {first['msg']}; {remedy}") from None
