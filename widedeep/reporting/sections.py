"""Findings -> the sections of the page: what is seen, in a sentence with its numbers, and the figures that show it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from widedeep.reporting import figures
from widedeep.reporting.figures import NOT_STATED
from widedeep.reporting.findings import MIN_RATINGS, Agreement, Findings, Prepared
from widedeep.reporting.tails import gini, quantile, top_share

# Ratings of a value, for its mean to be called best or worst, and of a year, for its mean to be shown.
ENOUGH = 100
# Types, genres and genders shown; the dump has 6, 21 and 3, and another may have any number.
MOST = 30
AUDITED = ("items", "users")


@dataclass(frozen=True)
class Panel:
    """A figure, and the same numbers as a table: for those who cannot see it, or want to copy them."""

    title: str
    table: pd.DataFrame
    figure: go.Figure | None = None  # None: the table is all there is to show


@dataclass(frozen=True)
class Section:
    """A heading, what is seen, and the panels."""

    slug: str
    title: str
    said: str
    panels: tuple[Panel, ...] = ()


def count(number: float) -> str:
    """1234567 -> `1,234,567`."""
    return f"{number:,.0f}"


def percent(share: float) -> str:
    """0.1234 -> `12.3 %`; what is not all or nothing is never shown as `100 %` or `0 %`."""
    if 0 < share < 0.0005:
        return f"{100 * share:.1g} %" if share >= 5e-6 else "less than 0.001 %"
    if 0.9995 <= share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.3g} %" if share < 0.1 else f"{100 * share:.1f} %".replace(".0 %", " %")


def several(number: int, one: str, many: str | None = None) -> str:
    """1 -> `1 row`, 1234 -> `1,234 rows`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def chosen(frame: pd.DataFrame, mask: Any) -> pd.DataFrame:
    """The rows where the mask holds."""
    return frame.loc[mask]


def highest(frame: pd.DataFrame, column: str) -> Any:
    """The row with the largest value of a column."""
    return frame.loc[frame[column].idxmax()]


def lowest(frame: pd.DataFrame, column: str) -> Any:
    """The row with the smallest value of a column."""
    return frame.loc[frame[column].idxmin()]


def totals(found: Findings) -> list[tuple[str, str]]:
    """What stands at the top of the page: names and values."""
    return [
        ("ratings", count(found.ratings)),
        ("users", count(found.users)),
        ("of them raters", count(found.raters)),
        ("anime", count(found.anime)),
        ("of them rated", count(found.rated_anime)),
        ("density", percent(found.density)),
        ("mean rating", f"{found.mean:.4f}"),
        ("sd", f"{found.sd:.4f}"),
    ]


def sections(found: Findings) -> list[Section]:
    """All sections, in the order of the page."""
    makers: tuple[Callable[[Findings], Section], ...] = (
        ratings_section,
        tails_section,
        genres_section,
        types_section,
        studios_section,
        premieres_section,
        genders_section,
        missing_section,
        quarantine_section,
        leaks_section,
    )
    return [make(found) for make in makers]


def ratings_section(found: Findings) -> Section:
    """The histogram of the ratings."""
    histogram = found.histogram
    shares = histogram.assign(share=histogram["n"] / found.ratings)
    best = highest(shares, "n")
    liked, disliked = found.scale.liked, found.scale.lowest + found.scale.span / 3
    high = float(shares.loc[shares["rating"] >= liked, "share"].sum())
    low = float(shares.loc[shares["rating"] <= disliked, "share"].sum())
    said = (
        f"The commonest rating is {best['rating']:g} ({percent(best['share'])}); {percent(high)} of the ratings are "
        f"{liked:g} or more and {percent(low)} are {disliked:g} or less. The mean is "
        f"{found.mean:.2f}, and whoever always predicts it is off by {found.sd:.2f} (RMSE)."
    )
    table = shares.assign(share=shares["share"].map(percent)).rename(columns={"n": "ratings"})
    return Section(
        "ratings",
        "Ratings",
        said,
        (Panel("Ratings by level", table, figures.rating_histogram(histogram, found.scale.levels)),),
    )


def tails_section(found: Findings) -> Section:
    """Who rates how much, and what is rated how often."""
    users, anime = found.user_tail, found.anime_tail
    said = (
        f"Half of the raters have {several(quantile(users, 0.5), 'rating')} or fewer, the busiest has "
        f"{count(int(users['n'].max()))}; the busiest 10 % wrote {percent(top_share(users, 0.1))} of all ratings. "
        f"Half of the rated anime have {several(quantile(anime, 0.5), 'rating')} or fewer, the most rated has "
        f"{count(int(anime['n'].max()))}; the top 1 % hold {percent(top_share(anime, 0.01))} of all ratings and the "
        f"top 10 % hold {percent(top_share(anime, 0.1))}. {_silent(found)}"
    )
    rows: Any = [
        {"": name, "median": quantile(tail, 0.5), "90th percentile": quantile(tail, 0.9), "most": tail["n"].max()}
        | {f"top {percent(s)} hold": percent(top_share(tail, s)) for s in (0.01, 0.1, 0.2)}
        | {"Gini coefficient": f"{gini(tail):.3f}"}
        for name, tail in (("users", users), ("anime", anime))
    ]
    tails = {"users": users, "anime": anime}
    points = [(name, n, s) for name, tail in tails.items() for n, s in _reached(tail)]
    reached = pd.DataFrame(points, columns=pd.Index(["of", "ratings, at least", "share"]))
    panels = (
        Panel("Who has at least so many ratings", reached, figures.tail_shares(tails)),
        Panel("How the ratings are shared out", pd.DataFrame(rows), figures.tail_lorenz(tails)),
    )
    return Section("tails", "Activity and popularity", said, panels)


def _silent(found: Findings) -> str:
    users, anime = found.users - found.raters, found.anime - found.rated_anime
    return (
        f"{several(users, 'user')} ({percent(users / found.users)}) rated nothing, and nobody rated "
        f"{count(anime)} of the anime ({percent(anime / found.anime)})."
    )


def _reached(tail: pd.DataFrame) -> list[tuple[int, str]]:
    """At least 1, 10, 100, … ratings, and the share that has them."""
    steps = [10**power for power in range(12) if 10**power <= tail["n"].max()]
    total = tail["entities"].sum()
    return [(step, percent(tail.loc[tail["n"] >= step, "entities"].sum() / total)) for step in steps]


def genres_section(found: Findings) -> Section:
    """What genres there are, how much they are rated, and how well."""
    known, bare = _known(found.genres)
    if known.empty:
        return Section("genres", "Genres", "No anime of this dump names a genre.")
    said = (
        f"{known['value'].iloc[0]} is in {percent(known['ratings'].iloc[0] / found.ratings)} of the ratings, more than "
        f"any other genre; {_widest(known)}. {_best_and_worst(known, 'genre')} An anime counts for each of its genres; "
        f"{several(bare, 'anime', 'anime')} ({percent(bare / found.anime)}) name none."
    )
    return Section("genres", "Genres", said.replace("  ", " "), _popularity(known.head(MOST), found, "genre"))


def _widest(known: pd.DataFrame) -> str:
    most = highest(known, "anime")
    return f"most anime ({count(most['anime'])}) are {most['value']}"


def _known(values: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows of named values, and the number of anime without one."""
    named = values["value"].notna()
    return chosen(values, named).reset_index(drop=True), int(chosen(values, ~named)["anime"].sum())


def _best_and_worst(known: pd.DataFrame, what: str) -> str:
    rated = chosen(known, known["ratings"] >= ENOUGH)
    if len(rated) < 2:
        return ""
    best, worst = highest(rated, "mean"), lowest(rated, "mean")
    return (
        f"The {what} rated best is {best['value']} (mean {best['mean']:.2f}), "
        f"the one rated worst {worst['value']} ({worst['mean']:.2f})."
    )


def _popularity(known: pd.DataFrame, found: Findings, what: str) -> tuple[Panel, ...]:
    """Ratings, anime and mean rating of each value, in the same order."""
    table = _listed(known).rename(columns={"value": what})
    names = known["value"]
    return (
        Panel(f"Ratings by {what}", table, figures.bars(names, known["ratings"], "ratings")),
        Panel(f"Anime by {what}", table, figures.bars(names, known["anime"], "anime", figures.GREEN)),
        Panel(f"Mean rating by {what}", table, figures.means(names, known["mean"], found.mean, "mean rating")),
    )


def _listed(values: pd.DataFrame) -> pd.DataFrame:
    return values.assign(mean=[f"{mean:.3f}" if mean == mean and mean is not None else "" for mean in values["mean"]])


def types_section(found: Findings) -> Section:
    """Ratings and Scores by type."""
    known, bare = _known(found.types)
    levels = found.type_levels.dropna(subset="type")
    if known.empty or levels.empty:
        return Section("types", "Types", "No rated anime of this dump states its type.")
    shares = levels.pivot_table(index="type", columns="rating", values="n", fill_value=0)
    shares = shares.reindex(
        index=[t for t in known["value"].head(MOST) if t in shares.index], columns=found.scale.levels
    )
    shares = shares.fillna(0).div(shares.sum(axis=1), axis=0)
    first = known.iloc[0]
    said = (
        f"{first['value']} has {percent(first['ratings'] / found.ratings)} of the ratings and "
        f"{percent(first['anime'] / found.anime)} of the anime. {_best_and_worst(known, 'type')} {_scores(found)} "
        f"{several(bare, 'anime', 'anime')} state no type."
    )
    table = shares.map(percent).reset_index()
    panels = [Panel("Ratings by type", table, figures.rating_shares(shares))]
    if len(found.score_quantiles):
        boxes = found.score_quantiles.head(MOST)
        names = {"q5": "5 %", "q25": "25 %", "q50": "median", "q75": "75 %", "q95": "95 %"}
        panels.append(Panel("Score of the anime by type", boxes.rename(columns=names), figures.score_boxes(boxes)))
    return Section("types", "Scores by type", said.replace("  ", " "), tuple(panels))


def _scores(found: Findings) -> str:
    scores = found.score_quantiles
    if len(scores) < 2:
        return ""
    best, worst = highest(scores, "q50"), lowest(scores, "q50")
    return (
        f"The Score that the dump states is a mean for each anime, whose median is highest for {best['type']} "
        f"({best['q50']:.2f}) and lowest for {worst['type']} ({worst['q50']:.2f})."
    )


def studios_section(found: Findings) -> Section:
    """The most rated studios."""
    known, bare = _known(found.studios)
    if known.empty:
        return Section("studios", "Studios", "No anime of this dump names a studio.")
    first = known.iloc[0]
    said = (
        f"{several(found.studio_count, 'studio')} are named. {first['value']} is the most rated "
        f"({percent(first['ratings'] / found.ratings)} of the ratings, with {count(first['anime'])} anime). "
        f"{_best_and_worst(known, 'studio shown')} {several(bare, 'anime', 'anime')} ({percent(bare / found.anime)}) "
        "name none."
    )
    return Section("studios", "Studios", said.replace("  ", " "), _popularity(known, found, "studio"))


def premieres_section(found: Findings) -> Section:
    """Seasons and years."""
    years, premieres = found.years, found.premieres
    if years.empty and premieres.empty:
        return Section("years", "Seasons and years", "No anime of this dump states when it was first aired.")
    said, panels = "", []
    seasons = _seasons(premieres) if len(premieres) else None
    if seasons is not None:
        most = highest(seasons, "anime")
        stated = int(seasons["anime"].sum())
        said += (
            f"{several(stated, 'anime', 'anime')} ({percent(stated / found.anime)}) state the season of their "
            f"premiere, most often {most['value']} ({percent(most['anime'] / stated)}). "
        )
        wide = premieres.pivot_table(index="year", columns="season", values="anime", fill_value=0, aggfunc="sum")
        panels.append(Panel("Premieres by year", wide.astype(int).reset_index(), figures.season_years(premieres)))
        said += _best_and_worst(seasons, "season") + " "
    enough = chosen(years, years["ratings"] >= ENOUGH)
    if len(years):
        peak, rated = highest(years, "anime"), highest(years, "ratings")
        said += (
            f"Most anime were first aired in {peak['year']:.0f} ({count(peak['anime'])}), and those of "
            f"{rated['year']:.0f} have most ratings ({count(rated['ratings'])})."
        )
        lines = figures.year_lines(years, "ratings", "ratings")
        panels.append(Panel("Ratings by year", _listed(years), lines))
    if len(enough):
        lines = figures.year_lines(enough, "mean", "mean rating", figures.ORANGE, ".2f")
        panels.append(Panel(f"Mean rating by year, of at least {ENOUGH} ratings", _listed(enough), lines))
    if seasons is not None:
        means = figures.means(seasons["value"], seasons["mean"], found.mean, "mean rating")
        panels.append(Panel("Mean rating by season", _listed(seasons).rename(columns={"value": "season"}), means))
    return Section("years", "Seasons and years", said, tuple(panels))


def _seasons(premieres: pd.DataFrame) -> pd.DataFrame:
    """Rows of value (a season), anime, ratings, mean, in the order of the year."""
    totals = premieres.assign(total=premieres["mean"].fillna(0) * premieres["ratings"]).groupby("season")
    sums = totals[["anime", "ratings", "total"]].sum()
    sums = sums.reindex([season for season in figures.SEASONS if season in sums.index]).reset_index()
    sums["mean"] = (sums["total"] / sums["ratings"]).where(sums["ratings"] > 0)
    return sums.rename(columns={"season": "value"}).drop(columns="total")


def genders_section(found: Findings) -> Section:
    """The gender that users state."""
    genders = found.genders
    stated = genders.dropna(subset="gender")
    if stated.empty:
        return Section("gender", "Gender of the users", "No user of this dump states a gender.")
    known = int(stated["users"].sum())
    parts = ", ".join(f"{percent(n / known)} {name}" for name, n in stated[["gender", "users"]].head(4).values)
    said = (
        f"{count(known)} of {several(found.users, 'user')} ({percent(known / found.users)}) state a gender: {parts}. "
        f"They wrote {percent(stated['ratings'].sum() / found.ratings)} of the ratings."
    )
    rated = stated.dropna(subset="mean")
    if len(rated) > 1:
        best, worst = highest(rated, "mean"), lowest(rated, "mean")
        said += (
            f" The mean rating is highest for {best['gender']} ({best['mean']:.2f}) and lowest for "
            f"{worst['gender']} ({worst['mean']:.2f})."
        )
    shown = genders.head(MOST)
    table = _listed(shown).fillna({"gender": NOT_STATED})
    panels = (
        Panel("Users", table, figures.bars(shown["gender"], shown["users"], "users")),
        Panel("Ratings", table, figures.bars(shown["gender"], shown["ratings"], "ratings", figures.GREEN)),
        Panel("Mean rating", table, figures.means(shown["gender"], shown["mean"], found.mean, "mean rating")),
    )
    return Section("gender", "Gender of the users", said, panels)


def missing_section(found: Findings) -> Section:
    """Share of the rows without a value, for each column of each file."""
    said, panels = [], []
    for file, shares in found.missing.items():
        some, empty = [c for c in shares if shares[c] > 0], [c for c in shares if shares[c] == 1]
        if some:
            most = max(some, key=shares.__getitem__)
            told = f"In the {file} file {len(some)} of {len(shares)} columns have missing values, most of all {most} "
            said.append(told + f"({percent(shares[most])})" + (f"; {len(empty)} without any value." if empty else "."))
        else:
            said.append(f"No value is missing in the {file} file.")
        table = pd.DataFrame({"column": list(shares), "missing": [percent(share) for share in shares.values()]})
        if some:
            figure = figures.bars(list(shares), shares.values(), "rows without a value", form=".2%")
            panels.append(Panel(f"The {file} file", table, figure))
    return Section("missing", "Missing values", " ".join(said), tuple(panels))


def quarantine_section(found: Findings) -> Section:
    """The rows that prepare refuses."""
    read, bad = sum(found.rows.values()), _reasons(found.refused)
    total = int(bad["rows"].sum())
    if total:
        worst = bad.iloc[0]
        said = (
            f"{several(total, 'row')} of {count(read)} ({percent(total / read)}) would be put into quarantine, most of "
            f"them ({count(worst['rows'])}) in the {worst['file']} file, as {worst['reason'].replace('_', ' ')}."
        )
    else:
        said = f"All {count(read)} rows are good: none would be put into quarantine."
    panels = []
    if total:
        names = bad["reason"].str.replace("_", " ")
        if bad["file"].nunique() > 1:
            names = bad["file"] + ": " + names
        panels.append(Panel("Refused rows by reason", bad, figures.bars(names, bad["rows"], "rows", figures.ORANGE)))
    if found.prepared:
        said += " " + _prepared_quarantine(found.prepared)
        if len(found.prepared.examples):
            panels.append(Panel("What preparation put aside", found.prepared.examples))
    return Section("quarantine", "Quarantine", said, tuple(panels))


def _reasons(refused: dict[str, dict[str, int]]) -> pd.DataFrame:
    rows = [(file, reason, n) for file, reasons in refused.items() for reason, n in reasons.items()]
    frame = pd.DataFrame(rows, columns=pd.Index(["file", "reason", "rows"]))
    return frame.sort_values("rows", ascending=False, kind="stable").reset_index(drop=True)


def _prepared_quarantine(prepared: Prepared) -> str:
    aside = sum(n for reasons in prepared.quarantined.values() for n in reasons.values())
    return (
        f"Preparation read {several(prepared.read, 'rating')} and put {several(aside, 'row')} of the three files "
        f"aside, in {prepared.directory}/quarantine."
    )


def leaks_section(found: Findings) -> Section:
    """Columns that hold what a model is to predict."""
    said = [_agreed(agreement) for agreement in found.agreements]
    said.append(
        "The site computes these columns from all ratings: a model that is given them is told part of what it is "
        "tested on."
    )
    panels = [
        Panel(
            f"{agreement.column} of the dump",
            agreement.bins.round(3),
            figures.agreement_line(agreement.bins, agreement.column),
        )
        for agreement in found.agreements
        if len(agreement.bins)
    ]
    if found.prepared:
        leaks = found.prepared.leaks
        used = [name for name, leak in leaks.items() if leak.get("used")]
        left_out = [name for name in leaks if name not in used]
        said.append(f"Preparation left out {_and(left_out)}" + (f" and used {_and(used)}." if used else "."))
        rows = [{"column": name, **{key: _cell(value) for key, value in leak.items()}} for name, leak in leaks.items()]
        panels.append(Panel("What preparation did with the columns", pd.DataFrame(rows)))
        audit = found.prepared.audit or {}
        said += _signs(audit)
        panels += [Panel(title, table) for title, table in audit_tables(audit)]
    return Section("leaks", "Leaks", " ".join(said), tuple(panels))


def _agreed(agreement: Agreement) -> str:
    if not agreement.entities or agreement.difference is None:
        return f"No {agreement.of} with at least {MIN_RATINGS} ratings state a {agreement.column}."
    correlation = f"a correlation of {near_one(agreement.correlation)} and " if agreement.correlation else ""
    return (
        f"{agreement.column} goes with the mean of the ratings in this dump with {correlation}a typical difference of "
        f"{agreement.difference:.2g} ({count(agreement.entities)} {agreement.of} with at least {MIN_RATINGS} ratings)."
    )


def near_one(correlation: float) -> str:
    """0.89567 -> `0.896`; what is not quite 1 is never shown as 1."""
    return "more than 0.999" if 0.9995 <= correlation < 1 else f"{correlation:.3f}"


def _and(names: list[str]) -> str:
    return ", ".join(names) or "no column"


def audit_tables(audit: Mapping[str, Any]) -> list[tuple[str, pd.DataFrame]]:
    """Titles and tables of the audited features, as prepare lists them; none if nothing was audited."""
    return [
        (
            f"Audit of the {part}: each feature alone, on the {audit.get('split', 'held-out')} ratings",
            pd.DataFrame(
                [{name.replace("_", " "): _cell(value) for name, value in row.items()} for row in audit[part]]
            ),
        )
        for part in AUDITED
        if audit.get(part)
    ]


def _signs(audit: Mapping[str, Any]) -> list[str]:
    """A sentence on the features in which the audit saw held-out ratings; empty if nothing was audited."""
    rows = [row for part in AUDITED for row in audit.get(part) or ()]
    if not rows:
        return []
    seen = [row.get("source") or row["name"] for row in rows if row.get("sign_of_leak")]
    return [f"Of {len(rows)} features audited, these show signs of held-out ratings: {', '.join(seen) or 'none'}."]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
