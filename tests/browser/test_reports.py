"""The pages that commands write, opened from the disk in a real browser: the report of a run, and an explored dump."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import save_screenshot
from tests.browser.test_page import check_accessible
from widedeep.config.explore import ExploreConfig
from widedeep.reporting.sections import exploration_html
from widedeep.spark.exploration.explore import explore


@pytest.fixture(scope="module")
def explored(spark, dump, prepared, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("explored") / "explore.html"
    settings = {"input": str(dump), "prepared": str(prepared)}
    file.write_text(exploration_html(explore(spark, ExploreConfig.model_validate(settings))), encoding="utf-8")
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
@pytest.mark.parametrize("name", ["report", "explored"])
def test_a_page_is_whole_on_every_screen_and_asks_nobody(request, outputs, visit, name, width, scheme):
    file = outputs.config.run_dir / "report.html" if name == "report" else request.getfixturevalue("explored")
    visitor = visit(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = visitor.page
    page.goto(file.as_uri())
    figures = page.locator(".plot")
    assert figures.count() > 3
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
        drawn = figures.nth(number).locator("svg.main-svg").first
        expect(drawn).to_be_visible()
        box, frame = drawn.bounding_box(), figures.nth(number).bounding_box()
        assert box
        assert frame
        assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1  # nothing is cut off at the right
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    check_accessible(page)
    save_screenshot(page, f"{name}-{scheme}-{width}")
    assert visitor.elsewhere("file:") == []
    assert visitor.errors == []
