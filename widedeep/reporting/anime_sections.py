"""Write the sections on anime: genres, types, studios, seasons and years."""

import pandas as pd

from widedeep.reporting import figures
from widedeep.reporting.findings import Findings
from widedeep.reporting.panels import (
    ENOUGH_RATINGS,
    MAX_VALUES,
    Panel,
    Section,
    best_and_worst,
    chosen,
    count,
    highest,
    lowest,
    mean_as_text,
    named_values,
    percent,
    several,
)


def genres_section(findings: Findings) -> Section:
    """Return the section on genres: how much they are rated, and how well."""
    known, bare = named_values(findings.genres)
    if known.empty:
        return Section("genres", "Genres", "No anime of this dump names a genre.")
    text = (
        f"{known['value'].iloc[0]} is in {percent(known['ratings'].iloc[0] / findings.ratings)} of the ratings, more "
        f"than any other genre; {_widest(known)}. {best_and_worst(known, 'genre')} An anime counts for each of its "
        f"genres; {several(bare, 'anime', 'anime')} ({percent(bare / findings.anime)}) name none."
    )
    return Section("genres", "Genres", text.replace("  ", " "), _popularity(known.head(MAX_VALUES), findings, "genre"))


def _widest(known: pd.DataFrame) -> str:
    most = highest(known, "anime")
    return f"most anime ({count(most['anime'])}) are {most['value']}"


def _popularity(known: pd.DataFrame, findings: Findings, what: str) -> tuple[Panel, ...]:
    """Return panels of the ratings, the anime and the mean rating of each value, in the same order."""
    table = mean_as_text(known).rename(columns={"value": what})
    names = known["value"]
    return (
        Panel(f"Ratings by {what}", table, figures.bars(names, known["ratings"], "ratings")),
        Panel(f"Anime by {what}", table, figures.bars(names, known["anime"], "anime", figures.GREEN)),
        Panel(f"Mean rating by {what}", table, figures.means(names, known["mean"], findings.mean, "mean rating")),
    )


def types_section(findings: Findings) -> Section:
    """Return the section on ratings and Scores by type."""
    known, bare = named_values(findings.types)
    levels = findings.type_levels.dropna(subset="type")
    if known.empty or levels.empty:
        return Section("types", "Types", "No rated anime of this dump states its type.")
    shares = levels.pivot_table(index="type", columns="rating", values="n", fill_value=0)
    shares = shares.reindex(
        index=[t for t in known["value"].head(MAX_VALUES) if t in shares.index], columns=findings.scale.levels
    )
    shares = shares.fillna(0).div(shares.sum(axis=1), axis=0)
    first = known.iloc[0]
    text = (
        f"{first['value']} has {percent(first['ratings'] / findings.ratings)} of the ratings and "
        f"{percent(first['anime'] / findings.anime)} of the anime. {best_and_worst(known, 'type')} {_scores(findings)} "
        f"{several(bare, 'anime', 'anime')} state no type."
    )
    table = shares.map(percent).reset_index()
    panels = [Panel("Ratings by type", table, figures.rating_shares(shares))]
    if len(findings.score_quantiles):
        boxes = findings.score_quantiles.head(MAX_VALUES)
        names = {"q5": "5 %", "q25": "25 %", "q50": "median", "q75": "75 %", "q95": "95 %"}
        panels.append(Panel("Score of the anime by type", boxes.rename(columns=names), figures.score_boxes(boxes)))
    return Section("types", "Scores by type", text.replace("  ", " "), tuple(panels))


def _scores(findings: Findings) -> str:
    scores = findings.score_quantiles
    if len(scores) < 2:
        return ""
    best, worst = highest(scores, "q50"), lowest(scores, "q50")
    return (
        f"The Score that the dump states is a mean for each anime, whose median is highest for {best['type']} "
        f"({best['q50']:.2f}) and lowest for {worst['type']} ({worst['q50']:.2f})."
    )


def studios_section(findings: Findings) -> Section:
    """Return the section on the studios with most anime."""
    known, bare = named_values(findings.studios)
    if known.empty:
        return Section("studios", "Studios", "No anime of this dump names a studio.")
    first = known.iloc[0]
    text = (
        f"{several(findings.studio_count, 'studio')} are named. {first['value']} has most anime "
        f"({count(first['anime'])}, with {percent(first['ratings'] / findings.ratings)} of the ratings). "
        f"{best_and_worst(known, 'studio shown')} {several(bare, 'anime', 'anime')} ({percent(bare / findings.anime)}) "
        "name none."
    )
    ratings, anime, means = _popularity(known, findings, "studio")
    return Section("studios", "Studios", text.replace("  ", " "), (anime, ratings, means))


def premieres_section(findings: Findings) -> Section:
    """Return the section on seasons and years."""
    years, premieres = findings.years, findings.premieres
    if years.empty and premieres.empty:
        return Section("years", "Seasons and years", "No anime of this dump states when it was first aired.")
    text, panels = "", []
    seasons = _seasons(premieres) if len(premieres) else None
    if seasons is not None:
        most = highest(seasons, "anime")
        stated = int(seasons["anime"].sum())
        text += (
            f"{several(stated, 'anime', 'anime')} ({percent(stated / findings.anime)}) state the season of their "
            f"premiere, most often {most['value']} ({percent(most['anime'] / stated)}). "
        )
        panels.append(_season_totals(seasons))
        wide = premieres.pivot_table(index="year", columns="season", values="anime", fill_value=0, aggfunc="sum")
        panels.append(Panel("Premieres by year", wide.astype(int).reset_index(), figures.season_years(premieres)))
        text += best_and_worst(seasons, "season") + " "
    enough = chosen(years, years["ratings"] >= ENOUGH_RATINGS)
    if len(years):
        peak, rated = highest(years, "anime"), highest(years, "ratings")
        text += (
            f"Most anime were first aired in {peak['year']:.0f} ({count(peak['anime'])}), and those of "
            f"{rated['year']:.0f} have most ratings ({count(rated['ratings'])})."
        )
        lines = figures.year_lines(years, "ratings", "ratings")
        panels.append(Panel("Ratings by year", mean_as_text(years), lines))
    if len(enough):
        lines = figures.year_lines(enough, "mean", "mean rating", figures.ORANGE, ".2f")
        panels.append(Panel(f"Mean rating by year, of at least {ENOUGH_RATINGS} ratings", mean_as_text(enough), lines))
    if seasons is not None:
        means = figures.means(seasons["value"], seasons["mean"], findings.mean, "mean rating")
        panels.append(Panel("Mean rating by season", mean_as_text(seasons).rename(columns={"value": "season"}), means))
    return Section("years", "Seasons and years", text, tuple(panels))


def _season_totals(seasons: pd.DataFrame) -> Panel:
    """Return the panel of how many anime of all years each season has, in the seasons' colors."""
    colors = [figures.SEASONS[season] for season in seasons["value"]]
    bars = figures.bars(seasons["value"], seasons["anime"], "anime", colors)
    shares = [percent(share) for share in seasons["anime"] / seasons["anime"].sum()]
    table = seasons[["value", "anime"]].assign(share=shares).rename(columns={"value": "season"})
    return Panel("Anime by season", table, bars)


def _seasons(premieres: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each season, in the order of the year: value, anime, ratings, mean."""
    totals = premieres.assign(total=premieres["mean"].fillna(0) * premieres["ratings"]).groupby("season")
    sums = totals[["anime", "ratings", "total"]].sum()
    sums = sums.reindex([season for season in figures.SEASONS if season in sums.index]).reset_index()
    sums["mean"] = (sums["total"] / sums["ratings"]).where(sums["ratings"] > 0)
    return sums.rename(columns={"season": "value"}).drop(columns="total")
