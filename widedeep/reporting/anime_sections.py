"""Sections on the anime: genres, types, studios, seasons and years."""

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


def genres_section(found: Findings) -> Section:
    """What genres there are, how much they are rated, and how well."""
    known, bare = named_values(found.genres)
    if known.empty:
        return Section("genres", "Genres", "No anime of this dump names a genre.")
    said = (
        f"{known['value'].iloc[0]} is in {percent(known['ratings'].iloc[0] / found.ratings)} of the ratings, more than "
        f"any other genre; {_widest(known)}. {best_and_worst(known, 'genre')} An anime counts for each of its genres; "
        f"{several(bare, 'anime', 'anime')} ({percent(bare / found.anime)}) name none."
    )
    return Section("genres", "Genres", said.replace("  ", " "), _popularity(known.head(MAX_VALUES), found, "genre"))


def _widest(known: pd.DataFrame) -> str:
    most = highest(known, "anime")
    return f"most anime ({count(most['anime'])}) are {most['value']}"


def _popularity(known: pd.DataFrame, found: Findings, what: str) -> tuple[Panel, ...]:
    """Ratings, anime and mean rating of each value, in the same order."""
    table = mean_as_text(known).rename(columns={"value": what})
    names = known["value"]
    return (
        Panel(f"Ratings by {what}", table, figures.bars(names, known["ratings"], "ratings")),
        Panel(f"Anime by {what}", table, figures.bars(names, known["anime"], "anime", figures.GREEN)),
        Panel(f"Mean rating by {what}", table, figures.means(names, known["mean"], found.mean, "mean rating")),
    )


def types_section(found: Findings) -> Section:
    """Ratings and Scores by type."""
    known, bare = named_values(found.types)
    levels = found.type_levels.dropna(subset="type")
    if known.empty or levels.empty:
        return Section("types", "Types", "No rated anime of this dump states its type.")
    shares = levels.pivot_table(index="type", columns="rating", values="n", fill_value=0)
    shares = shares.reindex(
        index=[t for t in known["value"].head(MAX_VALUES) if t in shares.index], columns=found.scale.levels
    )
    shares = shares.fillna(0).div(shares.sum(axis=1), axis=0)
    first = known.iloc[0]
    said = (
        f"{first['value']} has {percent(first['ratings'] / found.ratings)} of the ratings and "
        f"{percent(first['anime'] / found.anime)} of the anime. {best_and_worst(known, 'type')} {_scores(found)} "
        f"{several(bare, 'anime', 'anime')} state no type."
    )
    table = shares.map(percent).reset_index()
    panels = [Panel("Ratings by type", table, figures.rating_shares(shares))]
    if len(found.score_quantiles):
        boxes = found.score_quantiles.head(MAX_VALUES)
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
    known, bare = named_values(found.studios)
    if known.empty:
        return Section("studios", "Studios", "No anime of this dump names a studio.")
    first = known.iloc[0]
    said = (
        f"{several(found.studio_count, 'studio')} are named. {first['value']} is the most rated "
        f"({percent(first['ratings'] / found.ratings)} of the ratings, with {count(first['anime'])} anime). "
        f"{best_and_worst(known, 'studio shown')} {several(bare, 'anime', 'anime')} ({percent(bare / found.anime)}) "
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
        said += best_and_worst(seasons, "season") + " "
    enough = chosen(years, years["ratings"] >= ENOUGH_RATINGS)
    if len(years):
        peak, rated = highest(years, "anime"), highest(years, "ratings")
        said += (
            f"Most anime were first aired in {peak['year']:.0f} ({count(peak['anime'])}), and those of "
            f"{rated['year']:.0f} have most ratings ({count(rated['ratings'])})."
        )
        lines = figures.year_lines(years, "ratings", "ratings")
        panels.append(Panel("Ratings by year", mean_as_text(years), lines))
    if len(enough):
        lines = figures.year_lines(enough, "mean", "mean rating", figures.ORANGE, ".2f")
        panels.append(Panel(f"Mean rating by year, of at least {ENOUGH_RATINGS} ratings", mean_as_text(enough), lines))
    if seasons is not None:
        means = figures.means(seasons["value"], seasons["mean"], found.mean, "mean rating")
        panels.append(Panel("Mean rating by season", mean_as_text(seasons).rename(columns={"value": "season"}), means))
    return Section("years", "Seasons and years", said, tuple(panels))


def _seasons(premieres: pd.DataFrame) -> pd.DataFrame:
    """Rows of value (a season), anime, ratings, mean, in the order of the year."""
    totals = premieres.assign(total=premieres["mean"].fillna(0) * premieres["ratings"]).groupby("season")
    sums = totals[["anime", "ratings", "total"]].sum()
    sums = sums.reindex([season for season in figures.SEASONS if season in sums.index]).reset_index()
    sums["mean"] = (sums["total"] / sums["ratings"]).where(sums["ratings"] > 0)
    return sums.rename(columns={"season": "value"}).drop(columns="total")
