"""A list of recommendations on the screen."""

from collections.abc import Sequence

from widedeep.common.console import print_table
from widedeep.schema.recommendations import Reason, Recommendation

COLUMNS = ("rank", "anime_id", "title", "affinity", "predicted_rating")
BECAUSE = "because you rated"
LONGEST_TITLE = 24  # of a reason


def show_list(title: str, recommendations: Sequence[Recommendation]) -> None:
    """Print a list of recommendations, with the reasons if there are any."""
    explained = any(row.reasons for row in recommendations)
    columns = (*COLUMNS, BECAUSE) if explained else COLUMNS
    rows = [
        (
            *(row.rank, row.anime_id, row.title, f"{row.affinity:.4f}"),
            "" if row.predicted_rating is None else f"{row.predicted_rating:.2f}",  # None: the model ranks only
            because(row.reasons or ()),
        )[: len(columns)]
        for row in recommendations
    ]
    print_table(title, columns, rows, text=("title", BECAUSE))


def because(reasons: Sequence[Reason]) -> str:
    """Return the titles of reasons, shortened."""
    return ", ".join(map(shorten, (reason.title for reason in reasons)))


def shorten(title: str) -> str:
    """Return a title, or its beginning if it is long."""
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1].rstrip() + "…"
