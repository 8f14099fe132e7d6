"""The command that shows a user's recommendations, from the Parquet files that jobs/score_all.py wrote.

widedeep recommendations --user 42
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from widedeep.common.command import load_config
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.config.recommendations import LookUpConfig
from widedeep.reporting.recommendation_table import show_list
from widedeep.schema.dataset import Identifiers
from widedeep.schema.recommendations import parse_row
from widedeep.scoring.stored_lists import StoredLists


def recommendations_of(directory: Path, user: str) -> tuple[list[dict[str, Any]], Identifiers]:
    """Return the recommendations of a user id, best first, and how ids are named; reads the user's row group alone.

    Raises:
        InputError: the directory has no committed recommendations, or those of another release, or none of this user;
            or it is being replaced.

    """
    try:
        with closing(StoredLists(directory)) as lists:
            rows = lists.rows_of(lists.manifest.ids.parse(user, "user"))
    except DamagedFileError as error:
        raise InputError(str(error)) from None
    if not rows:
        raise InputError(f"user {user} is not in {directory}, which holds {lists.manifest.users:,} users")
    return rows, lists.manifest.ids


def main(argv: Sequence[str]) -> None:
    """Show a user's recommendations: parse, look up, print."""
    config = load_config(LookUpConfig, argv, "recommendations")
    rows, ids = recommendations_of(config.recommendations, config.user)
    show_list(f"for user {config.user}", [parse_row(row, ids) for row in rows], ids)
