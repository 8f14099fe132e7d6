"""What leaderboard.json holds: all that the page shows."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from widedeep.common.errors import InputError
from widedeep.reporting.leaderboard.published_claims import PublishedClaim
from widedeep.reporting.leaderboard.verbal_claims import VerbalClaim
from widedeep.schema.manifest import Audit, AuditedFeature, Manifest, Table
from widedeep.schema.records import Record, parse_record

FEATURES_SHOWN = 6  # of each table, the most predictive


class MeasuredData(Record):
    """What the page says of the data."""

    about: str = ""  # what is to be known of the ratings
    item: str  # what an item is
    items: int
    scale: str
    liked: float  # lowest rating that makes an item relevant
    known_of_users: tuple[str, ...]  # columns of the file of users that have values
    empty_of_users: tuple[str, ...]  # its other columns


class Board(Record):
    """The content of leaderboard.json."""

    data: MeasuredData
    entries: tuple[dict[str, Any], ...]
    claims: tuple[PublishedClaim, ...]
    verbal_claims: tuple[VerbalClaim, ...]
    audit: Audit | None  # the features that the page shows


def measured_data(manifest: Manifest, liked: float, about: str) -> MeasuredData:
    """What the page says of the data, from the manifest of the lowest seed."""
    return MeasuredData(
        about=about,
        item=manifest.dataset.ids.item.removesuffix("_id"),
        items=manifest.items.rows,
        scale=str(manifest.ratings.scale),
        liked=liked,
        known_of_users=manifest.users.file_columns(True),
        empty_of_users=manifest.users.file_columns(False),
    )


def shown_audit(manifest: Manifest) -> Audit | None:
    """The features that are computed from all ratings, and the most predictive others that are not empty."""
    audit = manifest.audit
    if not audit:
        return None
    items, users = _shown(audit.items, manifest.items), _shown(audit.users, manifest.users)
    return Audit(split=audit.split, items=items, users=users)


def _shown(features: Iterable[AuditedFeature], table: Table) -> tuple[AuditedFeature, ...]:
    measured = [f for f in features if f.held_out_r2 is not None and f.name not in table.file_columns(False)]
    leaks = [f for f in measured if f.ratings_in_it == "all"]
    others = [f for f in measured if f.ratings_in_it != "all"][:FEATURES_SHOWN]
    return tuple(sorted([*leaks, *others], key=lambda f: -(f.held_out_r2 or 0.0)))


def write_board(board: Board, file: Path) -> None:
    """Write leaderboard.json: a part begins on a line of its own, so that lines of entries change only with them."""
    parts = (f'"{name}": {json.dumps(part, indent=1)}' for name, part in board.model_dump(mode="json").items())
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def read_board(file: Path) -> Board:
    """Read leaderboard.json; InputError if it is missing or another release wrote it."""
    if not file.is_file():
        raise InputError(f"{file}: no such file; run scripts/leaderboard.sh")
    return parse_record(Board, file.read_text(), str(file), "scripts/leaderboard.sh")
