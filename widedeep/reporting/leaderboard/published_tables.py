"""The page's tables of what was published, in figures and in words."""

from collections.abc import Iterable, Sequence

from widedeep.reporting.leaderboard.cells import Entry, metric_cell, signed_interval
from widedeep.reporting.leaderboard.entries import over_seeds_only
from widedeep.reporting.leaderboard.published_claims import PublishedClaim
from widedeep.reporting.leaderboard.verbal_claims import ClaimedDifference, VerbalClaim
from widedeep.reporting.markdown import table

NOTHING_PUBLISHED = "no figure known"
NOT_MEASURED = "not measured"


def published_and_measured(entries: Sequence[Entry]) -> list[str]:
    """Return the table of published results beside ours: as published, and on all ratings."""
    seeded = {e["system"]: e for e in over_seeds_only(entries)}
    as_published = [e for e in entries if e["kind"] == "as published"]
    rows = []
    for entry in as_published:
        whole = seeded.get(entry.get("honest") or entry["system"].removesuffix("_published"))
        honest = f"{metric_cell(whole, 'rmse')} ({whole['label']})" if whole else ""
        published = entry["published"] or NOTHING_PUBLISHED
        rows.append([entry["label"], published, _measured(entry), honest, entry["note"]])
    named = {e["system"] for e in as_published}
    rows += [
        [e["label"], e["published"] or NOTHING_PUBLISHED, "", metric_cell(e, "rmse"), e["note"] or ""]
        for name, e in seeded.items()
        if e["kind"] == "model" and (e["published"] or e["note"]) and f"{name}_published" not in named
    ]
    if not rows:
        return []
    headings = ["", "published", "as published, measured here", "RMSE of users' ratings, honest", "why they differ"]
    return ["## Published and measured", table(headings, rows)]


def _measured(entry: Entry) -> str:
    """Return the errors of a system trained as published, and on what."""
    errors = f"RMSE {entry['rmse']:.4f}, MAE {entry['mae']:.4f}, R2 {entry['r2']:.4f}"
    remark = f"; {entry['measured']}" if entry.get("measured") else ""
    return f"{errors} ({entry['split']}{remark})"


def published_figures(claims: Iterable[PublishedClaim]) -> list[str]:
    """Return the table of what follows from published figures without running what was published."""
    rows = [[c.claim, c.published, c.computed, c.honest, c.reason] for c in claims]
    if not rows:
        return []
    headings = ["", "published", "computed here, by other means", "honest", "what follows"]
    return [
        "## Arithmetic on published figures",
        "None of this is a run of a published system: `scripts/published.py` computes what simpler models, or none, "
        "have on the same kind of data.",
        table(headings, rows),
    ]


def claims_in_words(claims: Iterable[VerbalClaim]) -> list[str]:
    """Return the table of verbal claims, each beside what was measured here."""
    rows = [
        [c.source, c.claim, c.compared or NOT_MEASURED, _claimed(c.rmse), _claimed(c.ndcg_at_10), c.note or ""]
        for c in claims
    ]
    if not rows:
        return []
    return [
        "## Claims in words",
        "Differences of means over the seeds, the system that is said to be better minus the other, with 95 % "
        "intervals: `paired` seed by seed, `Welch` from means and standard deviations alone; n is the number of seeds. "
        "`open`: the interval contains 0. A claim about several pairs holds if it does for each. The systems are our "
        "presets on our split, so a verdict is of the claim as a statement on such models, not of what its authors saw "
        "on theirs.",
        table(["", "claim", "compared", "RMSE", "NDCG@10", "remark"], rows),
    ]


def _claimed(found: ClaimedDifference | None) -> str:
    if not found:
        return ""
    text = signed_interval(found.difference.difference, found.difference.low, found.difference.high)
    if not found.verdict:
        return text
    how = "paired" if found.difference.paired else "Welch"
    return f"{text} ({how}, n = {found.runs}): {found.verdict}"
