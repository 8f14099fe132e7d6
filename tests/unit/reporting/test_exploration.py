"""Tails, sentences and the page, from findings made up by hand."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.builders import TEN_POINTS
from tests.pages import LONGEST_AXIS_TITLE, check_structure
from widedeep.reporting.findings import Agreement, Findings, Prepared
from widedeep.reporting.page import script_json
from widedeep.reporting.panels import percent, several
from widedeep.reporting.quality_sections import audit_tables
from widedeep.reporting.sections import PAGE_MARK, exploration_html, sections
from widedeep.reporting.tails import at_least, gini_of_tail, lorenz, quantile, top_share

EVIL = '<img src="http://evil.example/x.png" onerror="alert(1)"></script><b>Studio & Söhne</b>'

SLUGS = ("ratings", "tails", "genres", "types", "studios", "years", "gender", "missing", "quarantine", "leaks")


# A record of prepare's audit, as far as it matters here.
AUDITED = {
    "name": "dump_score",
    "source": "Score",
    "used": False,
    "held_out_r2": 0.123456,
    "slope": None,
    "leaks": True,
}


def tail_of(counts: list[int]) -> pd.DataFrame:
    n, entities = np.unique(counts, return_counts=True)
    return pd.DataFrame({"n": n, "entities": entities})


def grouped(values: list, anime: list[int], ratings: list[int], mean: list[float | None]) -> pd.DataFrame:
    return pd.DataFrame({"value": values, "anime": anime, "ratings": ratings, "mean": mean})


def some_findings(name: str = "Action") -> Findings:
    """Ten ratings of 3 users and 3 anime; `name` is every text of the dump."""
    categories = grouped([None, name, f"{name} too"], [1, 2, 1], [0, 8, 5], [None, 7.0, 6.0])
    bins = pd.DataFrame(
        {"stated": [6.5, 7.5], "entities": [1, 2], "low": [6.0, 7.0], "own": [6.1, 7.2], "high": [6.4, 8]}
    )
    return Findings(
        source=name,
        scale=TEN_POINTS,
        histogram=pd.DataFrame({"rating": [2, 8, 10], "n": [1, 6, 3]}),
        type_levels=pd.DataFrame({"type": [name, name], "rating": [8, 10], "n": [6, 2]}),
        score_quantiles=pd.DataFrame(
            {"type": [name], "anime": [2], "q5": 5.0, "q25": 6.0, "q50": 7.0, "q75": 8.0, "q95": 9.0}
        ),
        genres=categories,
        types=categories,
        studios=categories,
        studio_count=2,
        premieres=pd.DataFrame({"year": [1998], "season": ["spring"], "anime": [2], "ratings": [8], "mean": [7.5]}),
        years=pd.DataFrame({"year": [1998, 1999], "anime": [2, 1], "ratings": [400, 2], "mean": [7.5, 6.0]}),
        genders=pd.DataFrame(
            {"gender": [None, name], "users": [3, 1], "raters": [2, 1], "ratings": [8, 2], "mean": [8.0, 7.0]}
        ),
        user_tail=tail_of([1, 3, 6]),
        anime_tail=tail_of([2, 8]),
        users=4,
        anime=4,
        rows={"ratings": 12, "users": 4, "anime": 4},
        refused={"ratings": {"wrong_arity": 2}, "users": {}, "anime": {}},
        missing={"ratings": {"rating": 0.0}, "users": {name: 0.25, "Gender": 1.0}},
        agreements=(Agreement("Score", "anime", 3, 0.9, 0.25, bins),),
        prepared=Prepared(
            directory=name,
            read=12,
            quarantined={"ratings": {"wrong_arity": 2}},
            examples=pd.DataFrame({"file": [name], "reason": ["wrong_arity"], "rows": [2], "example": [name]}),
            leaks={"Score": {"file": "anime", "why": name, "used": False}},
            audit={"split": "test", "items": [AUDITED | {"name": name}], "users": []},
        ),
    )


def empty_findings() -> Findings:
    """A dump that states nothing but ratings."""
    full, nothing = some_findings(), grouped([None], [4], [10], [8.0])
    return replace(
        full,
        type_levels=pd.DataFrame({"type": [None], "rating": [8], "n": [10]}),
        score_quantiles=full.score_quantiles.head(0),
        genres=nothing,
        types=nothing,
        studios=nothing,
        studio_count=0,
        premieres=full.premieres.head(0),
        years=full.years.head(0),
        genders=full.genders.head(1),
        refused={"ratings": {}},
        missing={"ratings": {"rating": 0.0}},
        agreements=(Agreement("Score", "anime", 0, None, None, full.agreements[0].bins.head(0)),),
        prepared=None,
    )


@pytest.mark.parametrize("counts", [[1, 1, 2, 6], [5, 5, 5], [1, 2, 3, 4, 100], [7]])
def test_gini_is_half_the_relative_mean_difference(counts):
    x = np.array(counts, float)
    expected = np.abs(x[:, None] - x).sum() / (2 * len(x) ** 2 * x.mean())
    assert gini_of_tail(tail_of(counts)) == pytest.approx(expected)


def test_shares_of_a_tail_worked_out_by_hand():
    tail = tail_of([1, 1, 2, 6])  # ten ratings
    assert at_least(tail).tolist() == [1.0, 0.5, 0.25]
    assert [part.tolist() for part in lorenz(tail)] == [[0.0, 0.25, 0.5, 1.0], [0.0, 0.6, 0.8, 1.0]]
    assert top_share(tail, 0.25) == pytest.approx(0.6)
    assert top_share(tail, 0.75) == pytest.approx(0.9)
    assert [quantile(tail, share) for share in (0.25, 0.5, 0.75, 0.76, 1.0)] == [1, 1, 2, 6, 6]


def test_shares_read_as_people_write_them():
    shares = (0.0, 1e-7, 0.0000123, 0.0304, 0.123, 0.2, 0.99999, 1.0)
    assert [percent(share) for share in shares] == [
        "0 %",
        "less than 0.001 %",
        "0.001 %",
        "3.04 %",
        "12.3 %",
        "20 %",
        "more than 99.9 %",
        "100 %",
    ]
    assert (several(1, "row"), several(1234, "row")) == ("1 row", "1,234 rows")


def test_totals_follow_from_the_aggregates():
    found = some_findings()
    values = np.repeat([2, 8, 10], [1, 6, 3])
    assert (found.ratings, found.raters, found.rated_anime) == (10, 3, 2)
    assert found.density == pytest.approx(10 / 6)
    assert (found.mean, found.sd) == pytest.approx((values.mean(), values.std()))


def test_sentences_carry_the_computed_numbers():
    said = {section.slug: section.text for section in sections(some_findings())}
    assert "commonest rating is 8 (60 %)" in said["ratings"]
    assert "90 % of the ratings are 8 or more and 10 % are 4 or less" in said["ratings"]
    assert "Action is in 80 % of the ratings" in said["genres"]
    assert "2 studios are named. Action has most anime (2, with 80 % of the ratings)" in said["studios"]
    assert "1 user (25 %) rated nothing, and nobody rated 2 of the anime (50 %)" in said["tails"]
    assert "1 of 4 users (25 %) state a gender: 100 % Action. They wrote 20 % of the ratings." in said["gender"]
    assert "most of all Gender (100 %); 1 without any value" in said["missing"]
    assert "2 rows of 20 (10 %) would be put into quarantine" in said["quarantine"]
    assert "a correlation of 0.900 and a typical difference of 0.25 (3 anime" in said["leaks"]


@pytest.mark.parametrize(
    "found", [some_findings(), some_findings(EVIL), empty_findings()], ids=["plain", "evil", "empty"]
)
def test_the_page_holds_every_section_and_loads_nothing(found):
    text = exploration_html(found)
    page = check_structure(text)
    assert text.startswith(PAGE_MARK + "\n")
    assert set(SLUGS) <= set(page.ids)
    assert not {"img", "iframe", "b"} & set(page.tags)
    figures = page.json("figures")
    assert set(figures) == {i for i in page.ids if i.rpartition("-")[2].isdigit()}
    assert all(figure["data"] and "template" not in figure["layout"] for figure in figures.values())
    assert set(page.json("themes")) == {"light", "dark"}
    assert text.count("plotly.js v") == 1


def test_totals_of_the_seasons_are_those_of_all_years():
    premieres = pd.DataFrame(
        {
            "year": [1998, 1998, 1999, 1999],
            "season": ["fall", "spring", "spring", "winter"],
            "anime": [3, 2, 4, 1],
            "ratings": [8, 8, 8, 0],
            "mean": [7.5, 7.0, 6.0, None],
        }
    )
    (years,) = (s for s in sections(replace(some_findings(), premieres=premieres)) if s.slug == "years")
    panel = years.panels[0]
    assert panel.title == "Anime by season"
    assert panel.table.to_numpy().tolist() == [["winter", 1, "10 %"], ["spring", 6, "60 %"], ["fall", 3, "30 %"]]
    assert panel.figure is not None
    (bar,) = panel.figure.data
    assert (list(bar.y), list(bar.x)) == (["winter", "spring", "fall"], [1, 6, 3])
    assert len(set(bar.marker.color)) == 3


def test_the_studios_with_most_anime_come_first_and_so_does_their_number():
    (studios,) = (section for section in sections(some_findings()) if section.slug == "studios")
    titles = [panel.title for panel in studios.panels]
    assert titles == ["Anime by studio", "Ratings by studio", "Mean rating by studio"]


def test_every_axis_has_a_title():
    for section in sections(some_findings()):
        for panel in section.panels:
            if panel.figure is not None:
                layout = panel.figure.layout
                assert 0 < len(layout.xaxis.title.text) <= LONGEST_AXIS_TITLE, panel.title
                # bars and dots name their rows themselves
                horizontal = any(t.orientation == "h" for t in panel.figure.data if t.type in ("bar", "box"))
                assert layout.yaxis.title.text or horizontal or layout.yaxis.dtick == 1, panel.title


def test_scripts_cannot_be_left_by_a_text_of_the_dump():
    value = {"a": "</script><!-- & <b>"}
    text = script_json(value)
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


def test_the_audit_is_shown_where_there_is_one():
    honest = {"name": "damped_mean", "source": None, "leaks": False}
    audit = {"split": "test", "items": [AUDITED, honest], "users": []}
    ((title, table),) = audit_tables(audit)
    assert title == "Audit of the items: each feature alone, on the test ratings"
    assert table.iloc[0].tolist() == ["dump_score", "Score", "no", "0.1235", "", "yes"]
    assert table.columns[-1] == "leaks"
    found = some_findings()
    assert found.prepared is not None
    said = sections(replace(found, prepared=replace(found.prepared, audit=audit)))[-1].text
    assert said.endswith("Of 2 features audited, these show signs of held-out ratings: Score.")
    assert "audited" not in sections(replace(found, prepared=replace(found.prepared, audit=None)))[-1].text
