"""The results of scripts/published.py as rows of the leaderboard's table of published figures."""

from collections.abc import Mapping
from typing import Any

from widedeep.schema.records import Record


class PublishedClaim(Record):
    """A published figure, and what can be computed about it without the notebook's own model."""

    claim: str
    published: str
    computed: str  # by another model, or by arithmetic: no run of what was published
    honest: str
    reason: str


def published_claims(results: Mapping[str, Any]) -> tuple[PublishedClaim, ...]:
    """One row per claim."""
    label, mean, unscored = (results[name] for name in ("rmse_0.0729", "rmse_1.70", "rmse_2.79_r2_0.49"))
    return _mean_rating(mean), _score_as_label(label), _unscored_entries(unscored)


def _mean_rating(found: Mapping[str, Any]) -> PublishedClaim:
    dump = found["official_dump"]
    return PublishedClaim(
        claim="wide & deep: test RMSE 1.70",
        published="RMSE 1.70 (train 1.50)",
        computed=f"{dump['rmse_of_mean']:.4f} by the mean of all ratings of the 2023 dump",
        honest=f"{found['this_dump']['rmse_of_biases']:.4f} by biases",
        reason=f"It is worse than that mean (R2 {dump['r2_of_published']:.3f}), if its ratings were distributed like "
        "the dump's. The gap to its train error goes with many epochs and nothing held out to stop by.",
    )


def _score_as_label(found: Mapping[str, Any]) -> PublishedClaim:
    errors = found["label_rmse"]
    return PublishedClaim(
        claim="wide & deep, rich features: test RMSE 0.0729",
        published="RMSE 0.0729, of mean scores scaled to 0-1",
        computed=f"{errors['genres_popularity']:.4f} by a linear model of genres and popularity, on the same kind of "
        "label but another sample and split (100,000 ratings, 80/20)",
        honest=f"{found['honest']['rmse']:.4f} by biases, of users' ratings on the same rows",
        reason="Another model, sample and split, so being near 0.0729 is chance. It shows how little such a label asks "
        f"for: its mean alone has RMSE {errors['constant']:.4f}, rank beside genres and popularity "
        f"{errors['genres_popularity_rank']:.4f}. The notebook had the rank, and the anime's id, which determines it.",
    )


def _unscored_entries(found: Mapping[str, Any]) -> PublishedClaim:
    generated = found.get("share_of_the_published")
    zeros = generated or found["own_list"]
    zeros_are = f"{zeros['unscored_share']:.0%} of the entries have no score and count as 0"
    source = (
        "The dump has no such entries, so all are generated. Their share is inferred from the published RMSE and R2 "
        "themselves; how unevenly they fall on users is our choice, and which anime they are of (by popularity), too. "
        "So this shows at most that the published figures could come about this way."
        if generated
        else "These entries are the dump's own."
    )
    return PublishedClaim(
        claim="dot product + MLP with genres: test RMSE 2.79, R2 0.49",
        published="RMSE 2.79, R2 0.49",
        computed=f"{zeros['rmse']:.2f}, R2 {zeros['r2']:.2f} by biases; {zeros_are}",
        honest=f"{zeros['rmse_fitted_on_the_scored']:.4f} by biases, on what is scored",
        reason=f"Whether an entry is scored at all is {zeros['variance_that_is_scored_or_not']:.0%} of that variance. "
        + source,
    )
