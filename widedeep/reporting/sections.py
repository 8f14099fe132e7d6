"""Collect the sections of the page."""

from collections.abc import Callable

from widedeep.reporting.anime_sections import genres_section, premieres_section, studios_section, types_section
from widedeep.reporting.findings import Findings
from widedeep.reporting.panels import Section, count, percent
from widedeep.reporting.quality_sections import genders_section, leaks_section, missing_section, quarantine_section
from widedeep.reporting.rating_sections import ratings_section, tails_section


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
