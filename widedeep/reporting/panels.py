"""Define what a page is made of: panels and sections, and helpers that all sections share."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

# Ratings that a value needs to be called best or worst, and that a year needs for its mean to be plotted.
ENOUGH_RATINGS = 100
# Most types, genres and genders that are plotted; the official dump has 6, 21 and 3.
MAX_VALUES = 30


@dataclass(frozen=True)
class Panel:
    """A figure with its numbers as a table, for readers who cannot see it or want to copy them."""

    title: str
    table: pd.DataFrame
    figure: go.Figure | None = None  # None: only the table is shown


@dataclass(frozen=True)
class Section:
    """A heading, a text that says what the data shows, and the panels."""

    slug: str
    title: str
    text: str
    panels: tuple[Panel, ...] = ()


@dataclass(frozen=True)
class Page:
    """One HTML page; all texts but the mark and the note are escaped."""

    mark: Markup  # its first line, by which a later command knows that it may replace the page
    title: str  # of the window
    heading: str
    source: str  # what it is about, in a line below the heading
    totals: list[tuple[str, str]]  # names and values at the top
    note: Markup  # a remark on the totals
    sections: list[Section]


def count(number: float) -> str:
    """1234567 -> `1,234,567`."""
    return f"{number:,.0f}"


def percent(share: float) -> str:
    """0.1234 -> `12.3 %`; only 1 is shown as `100 %`, and only 0 as `0 %`."""
    if 0 < share < 0.0005:
        return f"{100 * share:.1g} %" if share >= 5e-6 else "less than 0.001 %"
    if 0.9995 <= share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.3g} %" if share < 0.1 else f"{100 * share:.1f} %".replace(".0 %", " %")


def several(number: int, one: str, many: str | None = None) -> str:
    """1 -> `1 row`, 1234 -> `1,234 rows`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def chosen(frame: pd.DataFrame, mask: Any) -> pd.DataFrame:
    """Return the rows where the mask is true."""
    return frame.loc[mask]


def highest(frame: pd.DataFrame, column: str) -> Any:
    """Return the row with the largest value of a column."""
    return frame.loc[frame[column].idxmax()]


def lowest(frame: pd.DataFrame, column: str) -> Any:
    """Return the row with the smallest value of a column."""
    return frame.loc[frame[column].idxmin()]


def near_one(correlation: float) -> str:
    """0.89567 -> `0.896`; only 1 is shown as 1."""
    return "more than 0.999" if 0.9995 <= correlation < 1 else f"{correlation:.3f}"


def named_values(values: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rows of named values, and the number of anime without a value."""
    named = values["value"].notna()
    return chosen(values, named).reset_index(drop=True), int(chosen(values, ~named)["anime"].sum())


def best_and_worst(known: pd.DataFrame, what: str) -> str:
    """Return a sentence on the values rated best and worst; empty if fewer than two have enough ratings."""
    rated = chosen(known, known["ratings"] >= ENOUGH_RATINGS)
    if len(rated) < 2:
        return ""
    best, worst = highest(rated, "mean"), lowest(rated, "mean")
    return (
        f"The {what} rated best is {best['value']} (mean {best['mean']:.2f}), "
        f"the one rated worst {worst['value']} ({worst['mean']:.2f})."
    )


def mean_as_text(values: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with their mean as text of three digits, empty where there is none."""
    return values.assign(mean=[f"{mean:.3f}" if mean == mean and mean is not None else "" for mean in values["mean"]])
