"""The sections of the page: what the data shows, in a sentence with its numbers, and the plots that show it."""

from collections.abc import Callable

from widedeep.reporting.anime_sections import genres_section, premieres_section, studios_section, types_section
from widedeep.reporting.findings import Findings
from widedeep.reporting.panels import Section, count, percent
from widedeep.reporting.quality_sections import genders_section, leaks_section, missing_section, quarantine_section
from widedeep.reporting.rating_sections import ratings_section, tails_section


def totals(found: Findings) -> list[tuple[str, str]]:
    """Names and values at the top of the page."""
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
