"""Lists on the screen."""

from rich.console import Console

from widedeep.common import console
from widedeep.reporting.recommendation_table import shorten, show_list
from widedeep.schema.dataset import Identifiers
from widedeep.schema.recommendations import Reason, Recommendation, list_schema, reason_type

ANIME = Identifiers(type="number", item="anime_id")
ROW = Recommendation(rank=1, item_id=5114, title="Steins;Gate", affinity=1.23456, predicted_rating=8.765)


def cells(shown: str) -> list[list[str]]:
    """The heading and the rows."""
    lines = [line.replace("┃", "│") for line in shown.splitlines() if line.startswith(("┃", "│"))]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def test_records_have_the_columns_of_the_files():
    assert list(Recommendation.model_fields) == [name for name in list_schema(Identifiers()).names if name != "user_id"]
    assert list(Reason.model_fields) == [field.name for field in reason_type(Identifiers())]


def test_a_list_without_reasons_has_no_line_for_them(capsys):
    show_list("for user 1", [ROW, ROW.model_copy(update={"reasons": ()})], ANIME)
    shown = capsys.readouterr().out
    assert shown.startswith("for user 1\n")
    assert cells(shown) == [
        ["rank", "anime_id", "title", "affinity", "predicted_rating"],
        *[["1", "5114", "Steins;Gate", "1.2346", "8.77"]] * 2,
    ]


def test_a_rating_that_is_not_predicted_is_not_shown(capsys):
    show_list("", [ROW.model_copy(update={"predicted_rating": None})], ANIME)
    assert cells(capsys.readouterr().out)[1] == ["1", "5114", "Steins;Gate", "1.2346", ""]


def test_reasons_are_shown_the_strongest_first(capsys, monkeypatch):
    monkeypatch.setattr(console, "stdout", Console(width=120))
    reasons = (
        Reason(item_id=1, title="Monster", rating=9.0, share=0.6),
        Reason(item_id=2, title="Nana", rating=7.5, share=0.1),
    )
    show_list("", [ROW.model_copy(update={"reasons": reasons}), ROW], ANIME)
    _, *lines = cells(capsys.readouterr().out)
    assert [line[2] for line in lines] == ["Steins;Gate", "because you rated Monster 9, Nana 7.5", "Steins;Gate"]
    assert lines[1][0] == lines[1][3] == ""


def test_long_titles_are_shortened():
    assert shorten("x" * 24) == "x" * 24
    assert shorten("Hunter x Hunter (2011) and more") == "Hunter x Hunter (2011)…"
