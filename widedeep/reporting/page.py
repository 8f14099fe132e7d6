"""Render a page as one self-contained HTML page: plotly.js and the data of the figures are inside it."""

import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from widedeep.reporting.panels import Page, Panel, Section

TEMPLATE = "page.html"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
ROWS_SHOWN = 60  # of a table; the figure shows all rows


def theme(text: str, grid: str) -> dict[str, Any]:
    """Return the plotly template of all figures, in one of the two color schemes."""
    axis = {
        "automargin": True,
        "gridcolor": grid,
        "linecolor": grid,
        "zerolinecolor": grid,
        "title": {"standoff": 12, "font": {"size": 13}},
        "fixedrange": True,  # scrolling the page by touch must not zoom
    }
    return {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 8, "r": 18, "t": 12, "b": 8},
            "legend": {"bgcolor": "rgba(0,0,0,0)"},
            "hoverlabel": {"font": {"family": FONT, "size": 13}},
            "dragmode": False,
            "xaxis": axis,
            "yaxis": axis,
        }
    }


THEMES = {"light": theme("#24292f", "#dfe3e8"), "dark": theme("#d6dae0", "#363c45")}


def render(page: Page) -> str:
    """Return a page as HTML."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["table"] = table_rows
    return environment.get_template(TEMPLATE).render(
        page=page,
        plotly_js=script_text(get_plotlyjs()),
        themes=script_json(THEMES),
        figures=script_json(_figures(page.sections)),
        rows_shown=ROWS_SHOWN,
    )


def _figures(parts: list[Section]) -> dict[str, Any]:
    """Return the data and layout of each figure by the id of its element."""
    figures = {}
    for section in parts:
        for number, panel in enumerate(section.panels):
            if panel.figure is not None:
                figure = panel.figure.to_plotly_json()
                figure["layout"].pop("template", None)  # 7 KB each; the page has its own two templates
                figures[f"{section.slug}-{number}"] = {"data": figure["data"], "layout": figure["layout"]}
    return figures


def script_json(value: Any) -> Markup:
    """Return JSON that is safe between script tags, whatever text it contains."""
    text = json.dumps(value, cls=PlotlyJSONEncoder, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def script_text(code: str) -> Markup:
    """Return a script that is safe between script tags."""
    return Markup(code.replace("</script", "<\\/script"))


def table_rows(panel: Panel) -> list[list[tuple[str, bool]]]:
    """Return the cells of a table as text, and whether each is a number."""
    return [[_cell(value) for value in row] for row in panel.table.head(ROWS_SHOWN).itertuples(index=False, name=None)]


def _cell(value: Any) -> tuple[str, bool]:
    if value is None or value != value:
        return "", False
    if isinstance(value, str):
        return value, value[:1].isdigit()
    text = f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
    return text, True
