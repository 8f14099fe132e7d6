"""The page that people use, in a real browser, against the real server."""

import gzip
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, save_screenshot, serving
from tests.serving import STORED, export

expect.set_options(timeout=PATIENCE)
TASTE = {"The Title 3": "9", "english name 9": "10", "the titel 20": "2", "The Title 43": "8", "The Title 12": "5"}


def rate(page: Page, query: str, rating: str) -> None:
    """Search for a title, take the first one, and rate it."""
    page.get_by_role("combobox", name="Add a title").fill(query)
    page.locator("#matches li[role=option]").first.click()
    page.locator("#ratings li").first.get_by_role("combobox").select_option(rating)


def titles(page: Page) -> list[str]:
    return page.locator("#items h3").all_text_contents()


def wait_for_list(page: Page, text: str) -> list[str]:
    """Wait until a list of the last change is there, and the status says `text`; return its titles."""
    expect(page.get_by_role("status")).to_contain_text(text)
    expect(page.locator("#list")).to_have_attribute("aria-busy", "false")
    return titles(page)


def check_accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.fixture
def page(visit, address):
    """A new visitor's page; at the end it has asked no other host, and had no error."""
    visitor = visit()
    visitor.page.goto(address)
    yield visitor.page
    assert visitor.elsewhere(address) == []
    assert visitor.errors == []


def test_five_ratings_give_a_list_with_reasons_that_changes_with_them(page):
    expect(page.get_by_role("status")).to_have_text("Rate a title to see the list.")
    for query, rating in TASTE.items():
        rate(page, query, rating)
    first = wait_for_list(page, "20 titles, by 5 ratings")
    assert len(first) == 20
    shown = page.locator("#ratings li span").all_text_contents()
    assert sorted(shown) == sorted(["The Title 3", "The Title 9", "The Title 20", "The Title 43", "The Title 12"])
    assert not set(first) & set(shown)
    reasons = page.locator("#items .because").all_text_contents()
    assert all(text.startswith("because you rated The Title") for text in reasons if text)
    assert any(reasons)
    check_accessible(page)
    save_screenshot(page, "list")
    page.get_by_label("My rating of The Title 3", exact=True).select_option("1")
    page.get_by_label("My rating of The Title 9", exact=True).select_option("1")
    assert wait_for_list(page, "by 5 ratings") != first
    page.reload()  # ratings are kept
    assert len(wait_for_list(page, "by 5 ratings")) == 20
    page.get_by_role("button", name="Forget all my ratings").click()
    expect(page.get_by_role("status")).to_have_text("Rate a title to see the list.")


@pytest.fixture
def early(visit, address) -> tuple[Page, Callable[[], None]]:
    """A page that waits for what it asks first, and a function that lets it have the answer."""
    page, held = visit().page, []
    page.route("**/model", lambda route: held.append(route))
    page.goto(address)
    while not held:
        page.wait_for_timeout(20)
    return page, lambda: held[0].continue_()


def test_what_somebody_types_before_the_page_is_ready_is_searched_for(early):
    page, answer = early
    page.get_by_role("combobox", name="Add a title").fill("The Title 3")
    answer()
    expect(page.locator("#matches li[role=option]").first).to_contain_text("The Title 3")


def test_the_user_chosen_before_the_page_is_ready_gets_a_list(early):
    page, answer = early
    page.get_by_label("A user id").check()
    page.get_by_label("User id, as in the data").fill("1003")
    page.keyboard.press("Enter")
    answer()
    assert len(wait_for_list(page, "titles for user 1003")) == 20


def test_the_file_chosen_before_the_page_is_ready_is_imported(early):
    page, answer = early
    page.get_by_text("Import a list from MyAnimeList").click()
    content = export((5003, 9, "Completed"), (5008, 2, "Dropped"))
    page.get_by_label("The file").set_input_files({"name": "list.xml", "mimeType": "text/xml", "buffer": content})
    answer()
    wait_for_list(page, "by 2 ratings")
    expect(page.locator("#ratings li")).to_have_count(2)


def test_an_item_of_the_list_can_be_rated_and_gives_similar_ones(page):
    rate(page, "The Title 3", "9")
    wanted = wait_for_list(page, "by 1 rating of yours")[0]
    page.get_by_role("button", name=f"Similar to {wanted}", exact=True).click()
    dialog = page.get_by_role("dialog", name=f"Similar to {wanted}")
    expect(dialog.locator(".item")).to_have_count(10)
    check_accessible(page)
    page.keyboard.press("Escape")
    page.locator("#items").get_by_label(f"My rating of {wanted}", exact=True).select_option("7")
    assert wanted not in wait_for_list(page, "by 2 ratings")


def test_known_and_unknown_users(page):
    page.get_by_label("A user id").check()
    page.get_by_label("User id, as in the data").fill("1003")
    page.get_by_role("button", name="Show the list").click()
    assert len(wait_for_list(page, "titles for user 1003")) == 20
    page.get_by_label("User id, as in the data").fill("77")
    page.keyboard.press("Enter")
    wait_for_list(page, "The data does not know this user, so these are the 20 titles that most people rated.")
    page.get_by_label("User id, as in the data").fill("somebody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text(
        "user 'somebody' is no whole number, as identifiers of this data set are"
    )
    check_accessible(page)


@pytest.mark.parametrize("packed", [False, True])
def test_an_export_of_myanimelist_is_imported(page, packed):
    content = export((5003, 9, "Completed"), (5008, 2, "Dropped"), (5020, 0, "Watching"), (5030, 0, "Plan to Watch"))
    name, kind = ("list.xml.gz", "application/gzip") if packed else ("list.xml", "text/xml")
    page.get_by_text("Import a list from MyAnimeList").click()
    file = {"name": name, "mimeType": kind, "buffer": gzip.compress(content) if packed else content}
    page.get_by_label("The file").set_input_files(file)
    assert "The Title 20" not in wait_for_list(page, "by 2 ratings")
    expect(page.locator("#ratings li")).to_have_count(3)
    page.get_by_text("Import a list from MyAnimeList").click()
    page.get_by_label("Or its content").fill("<html>")
    page.get_by_role("button", name="Take what I pasted").click()
    expect(page.get_by_role("alert")).to_have_text("This is no XML: export the list again, and give all of it.")
    page.get_by_label("Or its content").fill(export((5009, 8, "Completed")).decode())
    page.get_by_role("button", name="Take what I pasted").click()
    wait_for_list(page, "by 3 ratings")


def test_filters_change_the_list_and_are_kept(page):
    rate(page, "The Title 3", "9")
    wait_for_list(page, "by 1 rating")
    page.get_by_text("What may be in it?").click()
    page.get_by_label("type 2").check()
    few = wait_for_list(page, "titles, by 1 rating")
    expect(page.locator("#items .facts").first).to_contain_text("type 2")
    facts = page.locator("#items .facts").all_text_contents()
    assert all("type 2" in text for text in facts)
    check_accessible(page)
    page.reload()
    assert wait_for_list(page, "by 1 rating") == few
    page.get_by_text("What may be in it?").click()
    page.get_by_role("button", name="Reset").click()
    page.get_by_label("Show also: age_rating 1").check()
    expect(page.locator("#items .item")).to_have_count(20)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#items .item")).to_have_count(40)


def test_the_keyboard_is_enough(page):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the list")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="About the model")).to_contain_text("RMSE")
    check_accessible(page)
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Add a title")).to_be_focused()
    page.keyboard.type("title 1")
    expect(page.locator("#matches li").nth(1)).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#matches li").nth(1)).to_have_attribute("aria-selected", "true")
    chosen = page.locator("#matches li").nth(1).evaluate("one => one.firstChild.textContent")
    page.keyboard.press("Enter")
    expect(page.get_by_label(f"My rating of {chosen}", exact=True)).to_be_focused()
    page.keyboard.type("10")
    assert chosen not in wait_for_list(page, "by 1 rating")
    assert page.evaluate("JSON.parse(localStorage['widedeep.ratings'])[0].rating") == 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_narrow_and_wide_screens_in_light_and_dark(visit, address, width, scheme):
    page = visit(viewport={"width": width, "height": 740}, color_scheme=scheme).page
    page.goto(address)
    rate(page, "The Title 3", "9")
    wait_for_list(page, "by 1 rating")
    page.get_by_text("What may be in it?").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) > 382) == (scheme == "light")
    check_accessible(page)
    save_screenshot(page, f"{scheme}-{width}")


def test_errors_of_the_server_are_sentences(page):
    page.route("**/recommendations*", lambda route: route.fulfill(status=503, json={"detail": "the server is busy"}))
    rate(page, "The Title 3", "9")
    expect(page.get_by_role("alert")).to_have_text("the server is busy")
    page.unroute("**/recommendations*")
    page.route("**/recommendations*", lambda route: route.abort())
    page.get_by_label("My rating of The Title 3").select_option("8")
    expect(page.get_by_role("alert")).to_have_text("The server does not answer. Is it still running?")
    check_accessible(page)


def test_titles_are_texts_and_never_markup(visit, address):
    hostile = '<img src=x onerror="document.title=1">'
    page = visit().page
    page.goto(address)
    page.evaluate(
        "title => localStorage.setItem('widedeep.ratings', JSON.stringify([{item_id: 5003, title, rating: 9}]))",
        hostile,
    )
    page.reload()
    wait_for_list(page, "by 1 rating")
    assert page.locator("#ratings li span").text_content() == hostile
    assert page.title().startswith("What next?")


def test_pictures_are_shown_only_where_they_are_switched_on(outputs, visit):
    with serving(outputs, "--posters") as address:
        page = visit().page
        answer = page.goto(address)
        assert answer
        assert "https:" in answer.headers["content-security-policy"]
        rate(page, "The Title 3", "9")
        assert len(wait_for_list(page, "by 1 rating")) == 20


def test_stored_lists_are_enough_for_short_lists(page, address):
    answer = page.request.get(f"{address}/users/1003/recommendations?n={STORED - 4}").json()
    assert answer["source"] == "stored"
