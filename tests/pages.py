"""What tests ask of every HTML page."""

import json
from html.parser import HTMLParser
from itertools import pairwise

LONGEST_AXIS_TITLE = 36  # signs; more are cut off in a window of 360 pixels
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What of a page would be loaded, its landmarks, headings and scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._attributes: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.elements.append((tag, values))
        if tag not in VOID:
            self.open.append(tag)
        self.links += [
            value or "" for key, value in attrs if key in ("src", "href", "srcset", "action", "data", "poster")
        ]
        if values.get("id"):
            self.ids.append(values["id"] or "")
        self._attributes = values if tag == "script" else None

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self._attributes is not None:
            self.scripts.append((self._attributes, data))
            self._attributes = None
        elif self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def json(self, name: str):
        return next(json.loads(text) for attributes, text in self.scripts if attributes.get("id") == name)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def check_structure(text: str) -> Page:
    """A page that loads nothing, with landmarks, headings in order, and a name for whatever is shown or focused."""
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert sorted(link for link in page.links if not link.startswith("#")) == ["data:,"]  # no icon is asked for
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert [page.tags.count(tag) for tag in ("header", "main", "nav", "h1", "title")] == [1] * 5
    levels = [int(tag[1]) for tag in page.tags if tag in ("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.of("html")[0]["lang"] == "en"
    viewport = next(meta for meta in page.of("meta") if meta.get("name") == "viewport")
    assert viewport["content"] == "width=device-width, initial-scale=1"  # nobody is kept from zooming
    for tag in ("section", "figure", "nav"):
        for attributes in page.of(tag):
            assert attributes.get("aria-label") or attributes.get("aria-labelledby") in page.ids
    drawn = [box for box in page.of("div") if box.get("role") == "img"]
    assert [box["id"] for box in drawn] == list(page.json("figures"))
    assert all(box.get("aria-label") for box in drawn)
    tables = [box for box in page.of("div") if box.get("role") == "region"]
    assert len(tables) == page.tags.count("table")  # each scrolls in a box of its own, with the keyboard too
    assert all(box["tabindex"] == "0" and box["aria-labelledby"] in page.ids for box in tables)
    assert all(cell.get("scope") == "col" for cell in page.of("th"))
    return page
