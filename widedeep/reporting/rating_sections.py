"""Write the sections on ratings: their histogram, and how they are spread over users and anime."""

from typing import Any

import pandas as pd

from widedeep.reporting import figures
from widedeep.reporting.findings import Findings
from widedeep.reporting.panels import Panel, Section, count, highest, percent, several
from widedeep.reporting.tails import gini_of_tail, quantile, top_share


def ratings_section(findings: Findings) -> Section:
    """Return the section with the histogram of the ratings."""
    histogram = findings.histogram
    shares = histogram.assign(share=histogram["n"] / findings.ratings)
    best = highest(shares, "n")
    liked, disliked = findings.scale.liked, findings.scale.lowest + findings.scale.span / 3
    high = float(shares.loc[shares["rating"] >= liked, "share"].sum())
    low = float(shares.loc[shares["rating"] <= disliked, "share"].sum())
    text = (
        f"The commonest rating is {best['rating']:g} ({percent(best['share'])}); {percent(high)} of the ratings are "
        f"{liked:g} or more and {percent(low)} are {disliked:g} or less. The mean is "
        f"{findings.mean:.2f}, and always predicting it has an RMSE of {findings.sd:.2f}."
    )
    table = shares.assign(share=shares["share"].map(percent)).rename(columns={"n": "ratings"})
    panel = Panel("Ratings by level", table, figures.rating_histogram(histogram, findings.scale.levels))
    return Section("ratings", "Ratings", text, (panel,))


def tails_section(findings: Findings) -> Section:
    """Return the section on the number of ratings of users and of anime."""
    users, anime = findings.user_tail, findings.anime_tail
    text = (
        f"Half of the raters have {several(quantile(users, 0.5), 'rating')} or fewer, the busiest has "
        f"{count(int(users['n'].max()))}; the busiest 10 % wrote {percent(top_share(users, 0.1))} of all ratings. "
        f"Half of the rated anime have {several(quantile(anime, 0.5), 'rating')} or fewer, the most rated has "
        f"{count(int(anime['n'].max()))}; the top 1 % hold {percent(top_share(anime, 0.01))} of all ratings and the "
        f"top 10 % hold {percent(top_share(anime, 0.1))}. {_silent(findings)}"
    )
    rows: Any = [
        {"": name, "median": quantile(tail, 0.5), "90th percentile": quantile(tail, 0.9), "most": tail["n"].max()}
        | {f"top {percent(s)} hold": percent(top_share(tail, s)) for s in (0.01, 0.1, 0.2)}
        | {"Gini coefficient": f"{gini_of_tail(tail):.3f}"}
        for name, tail in (("users", users), ("anime", anime))
    ]
    tails = {"users": users, "anime": anime}
    points = [(name, n, s) for name, tail in tails.items() for n, s in _reached(tail)]
    reached = pd.DataFrame(points, columns=pd.Index(["of", "ratings, at least", "share"]))
    panels = (
        Panel("Share of users and anime with at least n ratings", reached, figures.tail_shares(tails)),
        Panel("How the ratings are shared out", pd.DataFrame(rows), figures.tail_lorenz(tails)),
    )
    return Section("tails", "Activity and popularity", text, panels)


def _silent(findings: Findings) -> str:
    users, anime = findings.users - findings.raters, findings.anime - findings.rated_anime
    return (
        f"{several(users, 'user')} ({percent(users / findings.users)}) rated nothing, and nobody rated "
        f"{count(anime)} of the anime ({percent(anime / findings.anime)})."
    )


def _reached(tail: pd.DataFrame) -> list[tuple[int, str]]:
    """Return 1, 10, 100, … and the share of the entities with at least that number of ratings."""
    steps = [10**power for power in range(12) if 10**power <= tail["n"].max()]
    total = tail["entities"].sum()
    return [(step, percent(tail.loc[tail["n"] >= step, "entities"].sum() / total)) for step in steps]
