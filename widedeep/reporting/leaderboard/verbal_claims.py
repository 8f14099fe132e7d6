"""Published claims without a figure, each beside the difference that was measured here over the seeds."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from widedeep.evaluation.significance import MeanDifference, paired_over_seeds, welch_difference
from widedeep.reporting.leaderboard.cells import Entry
from widedeep.reporting.leaderboard.entries import over_seeds_only
from widedeep.schema.records import Record

Verdict = Literal["holds", "refuted", "open"]
BETTER = {"rmse": -1, "ndcg_at_10": 1}  # metric -> the sign of what is better


class ClaimedDifference(Record):
    """The system that is said to be better minus the other, by one metric."""

    difference: MeanDifference
    runs: int  # of the one with fewer
    verdict: Verdict | None  # open: the interval contains 0; None: there is no interval


class VerbalClaim(Record):
    """One comparison of a claim; `compared` is None if there is nothing to compare."""

    source: str
    claim: str
    compared: str | None
    rmse: ClaimedDifference | None
    ndcg_at_10: ClaimedDifference | None
    note: str | None


def verbal_claims(table: Mapping[str, Any], entries: Iterable[Entry]) -> tuple[VerbalClaim, ...]:
    """Measure the claims of scripts/leaderboard.toml.

    Args:
        table: content of that file; `pairs` of a claim are [said to be better, the other], by name.
        entries: those of leaderboard.json.

    Returns:
        A row for each pair whose two systems were evaluated, and one for a claim without such a pair.

    """
    by_name = {e["system"]: e for e in over_seeds_only(entries)}
    rows = []
    for said in table.get("verbal_claims", ()):
        pairs = [[by_name[name] for name in pair] for pair in said.get("pairs", ()) if set(pair) <= by_name.keys()]
        texts = {"source": said["source"], "claim": said["claim"], "note": said.get("note")}
        rows += [
            VerbalClaim(
                compared=f"{first['label']} - {second['label']}",
                rmse=_claimed_difference("rmse", first, second),
                ndcg_at_10=_claimed_difference("ndcg_at_10", first, second),
                **texts,
            )
            for first, second in pairs
        ]
        if not pairs:
            rows.append(VerbalClaim(compared=None, rmse=None, ndcg_at_10=None, **texts))
    return tuple(rows)


def _claimed_difference(metric: str, first: Entry, second: Entry) -> ClaimedDifference | None:
    """The difference by a metric with its verdict; None if one of the two has no such metric."""
    if first[metric] is None or second[metric] is None:
        return None
    difference = _difference_over_seeds(metric, first, second)
    return ClaimedDifference(
        difference=difference,
        runs=min(len(first["seeds"]), len(second["seeds"])),
        verdict=_verdict(difference, BETTER[metric]),
    )


def _difference_over_seeds(metric: str, first: Entry, second: Entry) -> MeanDifference:
    """Seed by seed where the entries have each seed's value, otherwise from their means and standard deviations.

    A seed draws the split, too, so systems of the same seed have the same test ratings.
    """
    each = [e.get(f"{metric}_of_seeds") or [] for e in (first, second)]
    if all(each) and first["seeds"] == second["seeds"]:
        return paired_over_seeds(each[0], each[1])
    means, sds = ((first[key], second[key]) for key in (metric, f"{metric}_sd"))
    if None in sds:
        return MeanDifference(difference=means[0] - means[1], low=None, high=None, paired=False)
    return welch_difference(means, sds, (len(first["seeds"]), len(second["seeds"])))


def _verdict(found: MeanDifference, better: int) -> Verdict | None:
    if found.low is None or found.high is None:
        return None
    if found.low <= 0 <= found.high:
        return "open"
    return "holds" if found.difference * better > 0 else "refuted"
