"""Draw aggregates as plotly figures. The page sets a light or a dark theme; colors here must be readable on both."""

from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from widedeep.reporting.tails import at_least, lorenz

# Each has a contrast of 3 and more on the light and on the dark page; EDGE goes around what has not.
BLUE, ORANGE, GREEN, PINK, EDGE = "#4c8fd6", "#cf7a2c", "#429a6a", "#cf6f9f", "#8a8f98"
# From the lowest to the highest rating: red, sand, blue.
LEVEL_COLORS = (
    "#a83a4b",
    "#c5544f",
    "#d97757",
    "#e49c62",
    "#dcbb79",
    "#bcc48d",
    "#86b8a6",
    "#569db5",
    "#4480b4",
    "#45609f",
)
SEASONS = {"winter": BLUE, "spring": PINK, "summer": GREEN, "fall": ORANGE}
BAR_HEIGHT, MARGIN = 24, 90  # pixels of one bar, and of the space above and below all bars
LABEL_LENGTH = 30  # characters; leaves room for the bars on a phone
HEIGHT = 360
NOT_STATED = "not stated"


def label(value: object, length: int = LABEL_LENGTH) -> str:
    """Return a value as a label of at most `length` signs, with tags escaped, since plotly would interpret them."""
    if value is None or value != value:
        return NOT_STATED
    text = str(value)
    return escape(text if len(text) <= length else f"{text[: length - 1]}…", quote=False)


def labels(values: Iterable[object]) -> list[str]:
    """Return one label for each value; spaces tell values apart whose short labels are equal."""
    unique: list[str] = []
    for value in values:
        name = label(value)
        while name in unique:
            name += " "
        unique.append(name)
    return unique


def bars(
    values: Collection[object],
    numbers: Collection[float],
    axis: str,
    color: str | Sequence[str] = BLUE,
    form: str = ",",
) -> go.Figure:
    """Draw horizontal bars, the first at the top; `color` is that of all or has one for each."""
    hover = f"%{{y}}: %{{x:{form}}}<extra></extra>"
    bar = go.Bar(x=list(numbers), y=labels(values), orientation="h", marker_color=color, hovertemplate=hover)
    figure = go.Figure(bar)
    figure.update_xaxes(title=axis, rangemode="tozero", nticks=5, tickformat="~s" if form == "," else None)
    if "%" in form:
        figure.update_xaxes(tickformat=".0%", range=[0, 1])
    elif form == "," and max(numbers, default=0) < 5:  # small counts: no ticks at halves
        figure.update_xaxes(dtick=1)
    return _rows(figure, len(values))


def means(
    values: Iterable[object], numbers: Iterable[float | None], overall: float, axis: str, form: str = ".2f"
) -> go.Figure:
    """Draw a dot for each mean, the first at the top, and a line at that of all ratings."""
    names = labels(values)
    dots = go.Scatter(x=list(numbers), y=names, mode="markers", marker={"color": ORANGE, "size": 10})
    dots.hovertemplate = f"%{{y}}: %{{x:{form}}}<extra></extra>"
    figure = go.Figure(dots)
    figure.add_vline(x=overall, line_dash="dot", line_color=EDGE, line_width=1.5)
    figure.update_xaxes(title=axis, nticks=5)
    # A value without ratings has no dot, but keeps its row.
    figure.update_yaxes(categoryorder="array", categoryarray=names)
    return _rows(figure, len(names))


def _rows(figure: go.Figure, count: int) -> go.Figure:
    figure.update_yaxes(range=[count - 0.4, -0.6], dtick=1, showgrid=False, ticklabelstandoff=6)
    return figure.update_layout(height=BAR_HEIGHT * count + MARGIN, bargap=0.3)


def level_colors(count: int) -> list[str]:
    """Return `count` colors, from the lowest to the highest rating."""
    indices = [number * (len(LEVEL_COLORS) - 1) / max(1, count - 1) for number in range(count)]
    return [LEVEL_COLORS[round(index)] for index in indices]


def rating_histogram(histogram: pd.DataFrame, levels: Sequence[float]) -> go.Figure:
    """Draw the share of the ratings at each level."""
    counts = histogram.set_index("rating")["n"].reindex(levels, fill_value=0)
    shares = counts / counts.sum()
    marker = {"color": level_colors(len(counts)), "line": {"color": EDGE, "width": 1}}
    bar = go.Bar(x=list(counts.index), y=list(shares), marker=marker, customdata=list(counts))
    bar.hovertemplate = "rating %{x}: %{y:.1%} (%{customdata:,})<extra></extra>"
    figure = go.Figure(bar)
    figure.update_xaxes(title="rating", dtick=levels[1] - levels[0], showgrid=False)
    figure.update_yaxes(title="share of the ratings", tickformat=".0%")
    return figure.update_layout(height=HEIGHT)


def rating_shares(shares: pd.DataFrame) -> go.Figure:
    """Draw stacked bars of the shares of each rating level.

    Args:
        shares: a row of sum 1 for each bar, the first at the top; a column for each rating of the scale.

    """
    names = labels(shares.index)
    figure = go.Figure()
    for level, color in zip(shares.columns, level_colors(len(shares.columns)), strict=True):
        hover = f"%{{y}}, rating {level:g}: %{{x:.1%}}<extra></extra>"
        values = list(shares[level])
        marker = {"color": color, "line": {"color": EDGE, "width": 1}}
        figure.add_bar(x=values, y=names, orientation="h", name=f"{level:g}", marker=marker, hovertemplate=hover)
    figure.update_xaxes(title="share of the ratings", tickformat=".0%", range=[0, 1], nticks=5)
    _rows(figure, len(names))
    legend = {"orientation": "h", "traceorder": "normal", "y": 1.02, "yanchor": "bottom", "x": 0, "entrywidth": 12}
    return figure.update_layout(barmode="stack", legend=legend, height=BAR_HEIGHT * max(len(names), 4) + MARGIN + 50)


def score_boxes(quantiles: pd.DataFrame) -> go.Figure:
    """Draw boxes from the quartiles, and whiskers from the 5th to the 95th percentile."""
    names = labels(quantiles["type"])
    box = go.Box(
        y=names,
        orientation="h",
        lowerfence=list(quantiles["q5"]),
        q1=list(quantiles["q25"]),
        median=list(quantiles["q50"]),
        q3=list(quantiles["q75"]),
        upperfence=list(quantiles["q95"]),
        marker_color=BLUE,
    )
    figure = go.Figure(box)
    figure.update_xaxes(title="Score: 5, 25, 50, 75 and 95 %", nticks=6)
    return _rows(figure, len(names)).update_layout(boxgap=0.35)


def season_years(premieres: pd.DataFrame) -> go.Figure:
    """Draw the number of anime that premiered in each year, stacked by season."""
    figure = go.Figure()
    for season, color in SEASONS.items():
        part = premieres[premieres["season"] == season]
        hover = f"{season} %{{x}}: %{{y:,}} anime<extra></extra>"
        x, y = list(part["year"]), list(part["anime"])
        figure.add_bar(x=x, y=y, name=season, marker_color=color, marker_line_width=0, hovertemplate=hover)
    figure.update_xaxes(title="year of the premiere", showgrid=False, **_year_ticks(premieres["year"]))
    figure.update_yaxes(title="anime")
    legend = {"orientation": "h", "traceorder": "normal", "y": 1.02, "yanchor": "bottom", "x": 0}
    return figure.update_layout(barmode="stack", bargap=0.1, legend=legend, height=HEIGHT)


def year_lines(years: pd.DataFrame, column: str, axis: str, color: str = BLUE, form: str = ",") -> go.Figure:
    """Draw a column as a line over the years in which anime were first aired."""
    line = go.Scatter(x=list(years["year"]), y=list(years[column]), mode="lines+markers")
    line.update(
        line={"color": color, "width": 2}, marker={"size": 4}, hovertemplate=f"%{{x}}: %{{y:{form}}}<extra></extra>"
    )
    figure = go.Figure(line)
    figure.update_xaxes(title="year first aired", showgrid=False, **_year_ticks(years["year"]))
    figure.update_yaxes(title=axis, nticks=6)
    return figure.update_layout(height=300)


def _year_ticks(years: Iterable[int]) -> dict[str, Any]:
    few = len(set(years)) < 6  # nticks alone would put ticks within a year
    return {"tickformat": "d", "dtick": 1} if few else {"tickformat": "d", "nticks": 6}


def tail_shares(tails: dict[str, pd.DataFrame]) -> go.Figure:
    """Draw the shares of users and of anime with at least n ratings, both axes logarithmic."""
    figure = go.Figure()
    for (name, tail), (color, dash) in zip(tails.items(), ((BLUE, "solid"), (ORANGE, "dash")), strict=True):
        hover = f"%{{y:.3~p}} of the {name} have %{{x:,}} ratings or more<extra></extra>"
        line = go.Scatter(x=list(tail["n"]), y=list(at_least(tail)), mode="lines", name=name, hovertemplate=hover)
        figure.add_trace(line.update(line={"color": color, "width": 2.5, "dash": dash}))
    figure.update_xaxes(title="ratings, at least", type="log", dtick=1, tickformat="~s")
    figure.update_yaxes(title="share of users or anime", type="log", dtick=1, tickformat="~p")
    return figure.update_layout(height=HEIGHT, legend=_inside())


def tail_lorenz(tails: dict[str, pd.DataFrame]) -> go.Figure:
    """Draw Lorenz curves: the share of the ratings that belongs to the busiest share of the users and of the anime."""
    figure = go.Figure()
    for (name, tail), (color, dash) in zip(tails.items(), ((BLUE, "solid"), (ORANGE, "dash")), strict=True):
        hover = f"the busiest %{{x:.1%}} of the {name} have %{{y:.1%}}<extra></extra>"
        x, y = (list(part) for part in lorenz(tail))
        line = go.Scatter(x=x, y=y, mode="lines", name=name, hovertemplate=hover)
        figure.add_trace(line.update(line={"color": color, "width": 2.5, "dash": dash}))
    equal = {"color": EDGE, "width": 1.5, "dash": "dot"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="if all had as many", line=equal, hoverinfo="skip")
    figure.update_xaxes(title="users or anime, busiest first", tickformat=".0%", range=[0, 1], nticks=6)
    figure.update_yaxes(title="share of the ratings", tickformat=".0%", range=[0, 1.02], nticks=6)
    return figure.update_layout(height=HEIGHT, legend=_inside(right=True))


def _inside(right: bool = False) -> dict[str, object]:
    side = "right" if right else "left"
    return {"x": 0.98 if right else 0.02, "xanchor": side, "y": 0.03, "yanchor": "bottom"}


def agreement_line(bins: pd.DataFrame, column: str) -> go.Figure:
    """Draw the median of the means of the ratings over the mean that the dump states, with a band of 80 %."""
    x = list(bins["stated"])
    figure = go.Figure()
    quiet = {"color": BLUE, "width": 0}
    figure.add_scatter(x=x, y=list(bins["high"]), mode="lines", line=quiet, hoverinfo="skip", showlegend=False)
    band = {"fill": "tonexty", "fillcolor": "rgba(76, 143, 214, 0.28)", "name": "10 to 90 %"}
    figure.add_scatter(x=x, y=list(bins["low"]), mode="lines", line=quiet, hoverinfo="skip", **band)
    hover = f"{column} near %{{x}}: %{{y:.2f}} in the ratings<extra></extra>"
    line = {"color": BLUE, "width": 2.5}
    figure.add_scatter(x=x, y=list(bins["own"]), mode="lines+markers", name="median", line=line, hovertemplate=hover)
    ends = [min(x), max(x)]
    equal = {"color": ORANGE, "width": 1.5, "dash": "dot"}
    figure.add_scatter(x=ends, y=ends, mode="lines", name="the same", line=equal, hoverinfo="skip")
    figure.update_xaxes(title=f"{column}, as the dump states it", nticks=6)
    figure.update_yaxes(title="mean of the ratings in the dump", nticks=6)
    return figure.update_layout(height=HEIGHT, legend=_inside(right=True))
