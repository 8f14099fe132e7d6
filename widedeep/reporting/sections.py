"""Put the page of an explored dump together."""

from collections.abc import Callable

from markupsafe import Markup

from widedeep.reporting.anime_sections import genres_section, premieres_section, studios_section, types_section
from widedeep.reporting.findings import Findings
from widedeep.reporting.page import render
from widedeep.reporting.panels import Page, Section, count, percent
from widedeep.reporting.quality_sections import genders_section, leaks_section, missing_section, quarantine_section
from widedeep.reporting.rating_sections import ratings_section, tails_section

PAGE_MARK = Markup("<!doctype html><!-- widedeep explore -->")
NOTE = Markup(
    "Density is the share of the pairs of a rater and a rated anime that have a rating. "
    'Refused rows (see <a href="#quarantine">quarantine</a>) count nowhere else.'
)


def exploration_html(findings: Findings) -> str:
    """Return the page of a dump."""
    prepared = f", prepared in {findings.prepared.directory}" if findings.prepared else ""
    page = Page(
        mark=PAGE_MARK,
        title=f"The dump explored: {findings.source}",
        heading="The dump explored",
        source=findings.source + prepared,
        totals=totals(findings),
        note=NOTE,
        sections=sections(findings),
    )
    return render(page)


def totals(findings: Findings) -> list[tuple[str, str]]:
    """Return the names and values at the top of the page."""
    return [
        ("ratings", count(findings.ratings)),
        ("users", count(findings.users)),
        ("of them raters", count(findings.raters)),
        ("anime", count(findings.anime)),
        ("of them rated", count(findings.rated_anime)),
        ("density", percent(findings.density)),
        ("mean rating", f"{findings.mean:.4f}"),
        ("sd", f"{findings.sd:.4f}"),
    ]


def sections(findings: Findings) -> list[Section]:
    """Return all sections, in the order of the page."""
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
    return [make(findings) for make in makers]
