"""The table of scripts/bench.py: medians and spread of rounds, verdicts, and the page."""

import json
import re
import shutil
import sys

import pytest

from tests.training import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
from benchmarks.report import BEGIN, END, RESULTS, figures_of, read_results, shown, write_page, write_results

ROUNDS = {
    "prepare": [
        {"seconds": 150.0, "vs_duckdb": 0.09},
        {"seconds": 170.0, "vs_duckdb": 0.25},
        {"seconds": 160.0, "vs_duckdb": 0.3},
    ],
    "train": [{"data_wait_share": 0.021}],
}
GROWTH = {"growth": [dict.fromkeys(RESULTS["growth"], 1.5) | {"prepare_seconds": 40.0, "prepare_peak_bytes": 3.2e9}]}
TABLES = "\n\n".join(
    f"{BEGIN.format(name)}\nold\n{END.format(name)}" for name in ("table of results", "table of growth")
)


def test_figures_are_medians_with_the_spread_of_the_rounds():
    figures = {(one.stage, one.name): one for one in figures_of(ROUNDS)}
    assert next(iter(figures)) == ("prepare", "vs_duckdb")
    assert figures["prepare", "seconds"].median == 160.0
    assert figures["prepare", "seconds"].spread == "150 to 170"
    assert figures["train", "data_wait_share"].spread == ""


def test_what_has_a_goal_comes_first_in_each_stage():
    for results in RESULTS.values():
        without = [result.goal is None for result in results.values()]
        assert without == sorted(without)


def test_the_readme_counts_the_goals_that_are_met():
    _, sizes = read_results(ROOT / "docs" / "benchmarks.json")
    verdicts = [one.verdict for one in figures_of(sizes[24_300_000]) if one.goal]
    met = {0: "none", 1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}[verdicts.count("met")]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert re.search(rf"Of {len(verdicts)} speed goals {met} (is|are) met", readme)


def test_a_goal_is_met_from_its_bound_on_in_its_own_direction():
    met, missed = figures_of(ROUNDS)[0], figures_of(ROUNDS)[-1]
    assert (met.goal, met.verdict) == (">= 0.25", "met")
    assert (missed.goal, missed.verdict) == ("<= 0.02", "missed")
    assert figures_of({"prepare": [{"vs_duckdb": 0.249}]})[0].verdict == "missed"
    assert figures_of({"prepare": [{"seconds": 1.0}]})[0].verdict == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.000123, "0.000123"), (999.4, "999"), (999.9, "1 K"), (12_345, "12.3 K"), (999_999, "1 M"), (2.81e9, "2.81 G")],
)
def test_numbers_have_three_digits(value, text):
    assert shown(value) == text


def test_the_page_gets_the_tables_between_their_marks_each_time(tmp_path):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text(f"before\n\n{TABLES}\n\nafter\n")
    write_results(results, 24_325_191, ROUNDS)
    write_page(results, page)
    once = page.read_text()
    write_page(results, page)
    assert page.read_text() == once
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "old" not in once
    assert "over that of DuckDB, which does most of the same | 0.25 (0.09 to 0.3) | >= 0.25 | met |" in once
    assert "1 and 3 round(s)" in once


def test_each_size_has_a_column_and_the_largest_gives_the_verdict(tmp_path):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text(TABLES)
    write_results(results, 24_325_191, ROUNDS)
    write_results(results, 1_000_000, {"prepare": [{"seconds": 40.0, "vs_duckdb": 0.01}]})
    write_results(results, 100_000_000, GROWTH)
    write_page(results, page)
    lines = page.read_text().splitlines()
    assert any(line.endswith("| what it is | 1,000,000 ratings | 24,325,191 ratings | goal |  |") for line in lines)
    assert any(line.endswith("the same | 0.01 | 0.25 (0.09 to 0.3) | >= 0.25 | met |") for line in lines)
    assert any(line.endswith("resident |  | 0.021 | <= 0.02 | **missed** |") for line in lines)


def test_growth_shows_whole_commands_and_a_million_ratings(tmp_path):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text(TABLES)
    write_results(results, 1_000_000, GROWTH)
    write_results(results, 4_000_000, GROWTH)
    write_page(results, page)
    text = page.read_text()
    assert "| command | 1,000,000 ratings | 4,000,000 ratings |" in text
    assert "| `jobs/prepare.py` | 40 s | 40 s |\n| a million ratings | 40 s | 10 s |" in text
    assert "| memory of all its processes | 3.2 GB | 3.2 GB |" in text


def test_the_committed_page_says_what_its_data_give(tmp_path):
    page, results = tmp_path / "page.md", ROOT / "docs" / "benchmarks.json"
    shutil.copy(ROOT / "docs" / "benchmarks.md", page)
    write_page(results, page)
    assert page.read_text() == (ROOT / "docs" / "benchmarks.md").read_text()
    _, sizes = read_results(results)
    for size in (1_000_000, 24_300_000):
        measured = {stage: set(rounds[0]) for stage, rounds in sizes[size].items()}
        assert measured == {stage: set(names) for stage, names in RESULTS.items()}


def test_a_stage_measured_again_leaves_other_stages_and_sizes(tmp_path):
    results = tmp_path / "results.json"
    write_results(results, 10_000, ROUNDS)
    write_results(results, 10_000, {"train": [{"data_wait_share": 0.5}]})
    write_results(results, 20_000, {"train": [{"data_wait_share": 0.6}]})
    _, sizes = read_results(results)
    assert sizes == {
        10_000: ROUNDS | {"train": [{"data_wait_share": 0.5}]},
        20_000: {"train": [{"data_wait_share": 0.6}]},
    }


def test_results_of_another_machine_are_replaced(tmp_path):
    results = tmp_path / "results.json"
    write_results(results, 10_000, ROUNDS)
    content = json.loads(results.read_text())
    results.write_text(json.dumps(content | {"machine": content["machine"] | {"cores": 1000}}))
    write_results(results, 20_000, ROUNDS)
    _, sizes = read_results(results)
    assert set(sizes) == {20_000}


def test_a_page_without_marks_is_left_alone(tmp_path):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text("text\n")
    write_results(results, 10_000, ROUNDS)
    with pytest.raises(SystemExit, match="lacks the marks"):
        write_page(results, page)
    assert page.read_text() == "text\n"
