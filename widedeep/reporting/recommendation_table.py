"""A list of recommendations on the screen."""

from collections.abc import Sequence

from widedeep.common.console import print_table
from widedeep.schema.dataset import Identifiers
from widedeep.schema.recommendations import Reason, Recommendation

LONGEST_TITLE = 24  # of a reason


def show_list(title: str, recommendations: Sequence[Recommendation], ids: Identifiers) -> None:
    """Print a list of recommendations, each with its reasons on a line of their own, if there are any."""
    rows = [
        (
            row.rank,
            row.item_id,
            "\n".join([row.title, *because(row.reasons or ())]),
            f"{row.affinity:.4f}",
            "" if row.predicted_rating is None else f"{row.predicted_rating:.2f}",  # None: the model ranks only
        )
        for row in recommendations
    ]
    print_table(title, ("rank", ids.item, "title", "affinity", "predicted_rating"), rows, text=("title",))


def because(reasons: Sequence[Reason]) -> list[str]:
    """Return the line that tells the reasons, or none: their titles, shortened, with the user's ratings."""
    named = ", ".join(f"{shorten(reason.title)} {reason.rating:g}" for reason in reasons)
    return [f"because you rated {named}"] if reasons else []


def shorten(title: str) -> str:
    """Return a title, or its beginning if it is long."""
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1].rstrip() + "…"
