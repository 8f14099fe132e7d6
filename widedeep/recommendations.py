"""The command that shows a user's recommendations, from the Parquet files that jobs/score_all.py wrote.

widedeep recommendations --user 42
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from widedeep.common.command import load_config
from widedeep.common.errors import InputError
from widedeep.config.recommendations import LookUpConfig
from widedeep.data.parquet import CHECKED_FORMAT
from widedeep.reporting.recommendation_table import show_list
from widedeep.schema.dataset import Identifiers
from widedeep.schema.manifest import HIDDEN_MANIFEST
from widedeep.schema.recommendations import RecommendationManifest, parse_row


def recommendations_of(directory: Path, user: str) -> tuple[list[dict[str, Any]], Identifiers]:
    """Return the recommendations of a user id, best first, and how ids are named; reads the user's row group alone.

    Raises:
        InputError: the directory has no committed recommendations, or those of another release, or none of this user;
            or it is being replaced.

    """
    file = directory / HIDDEN_MANIFEST
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{directory} holds no recommendations ({error}); run jobs/score_all.py") from None
    manifest = RecommendationManifest.unseal(text, str(file))
    user_id = manifest.ids.parse(user, "user")
    try:
        data = ds.dataset([str(directory / part.path) for part in manifest.files], format=CHECKED_FORMAT)
        rows = data.to_table(filter=pc.field("user_id") == user_id).sort_by("rank").to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"{directory} is damaged, or is being replaced ({error}): try again, and else run jobs/score_all.py"
        ) from None
    if not rows:
        raise InputError(f"user {user} is not in {directory}, which holds {manifest.users:,} users")
    return rows, manifest.ids


def main(argv: Sequence[str]) -> None:
    """Show a user's recommendations: parse, look up, print."""
    config = load_config(LookUpConfig, argv, "recommendations")
    rows, ids = recommendations_of(config.recommendations, config.user)
    show_list(f"for user {config.user}", [parse_row(row, ids) for row in rows], ids)
