"""report.json, and report.html of it, from a training in this process and from records made by hand."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.decomposition import PCA

from tests.builders import GENRES, PLAYS, TEN_POINTS, write_prepared
from tests.pages import LONGEST_AXIS_TITLE, check_structure
from tests.training import ROOT, command, curve, metrics, train
from widedeep.reporting import figures
from widedeep.reporting.item_map import map_items, principal_plane
from widedeep.reporting.page import THEMES
from widedeep.reporting.run_figures import GROUP_STYLES, item_map
from widedeep.reporting.run_report import read_epochs, times
from widedeep.reporting.run_sections import PAGE_MARK, duration, report_html, run_sections
from widedeep.schema.run_report import ItemMap, MappedItem, RunReport
from widedeep.scoring.vectors import load_trained
from widedeep.training.metrics_file import TrainingStatistics

EVIL = '</script><script>alert(1)</script><b onmouseover="x">%{x}</b>'
ALL_SECTIONS = ["curves", "calibration", "known", "systems", "map", "time"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prepared data, and runs that rate (`rates`) and that only rank (`ranks`)."""
    folder = tmp_path_factory.mktemp("report")
    write_prepared(folder / "prepared", features=True)
    train(command(folder / "prepared", folder / "rates"))
    train(command(folder / "prepared", folder / "ranks", loss="bpr", epochs=2))
    return folder


def read(run) -> RunReport:
    return RunReport.model_validate_json((run / "report.json").read_text())


def test_the_report_has_what_the_run_measured(folder):
    report, found, lines = read(folder / "rates"), metrics(folder / "rates"), curve(folder / "rates")
    assert [(e.epoch, e.train_rmse, e.valid_rmse) for e in report.epochs] == [
        (n + 1, line["train"]["rmse"], line["valid"]["rmse"]) for n, line in enumerate(lines)
    ]
    assert report.rating is not None
    assert report.rating.overall.ratings == found["test"]["ratings"] == report.ratings["test"]
    assert report.rating.overall.rmse == pytest.approx(found["test"]["rmse"], rel=1e-6)
    assert sum(e.ratings for e in report.rating.by_user_ratings.values()) == found["test"]["ratings"]
    model, biases, mean, popular = report.systems
    assert (model.rmse, biases.rmse) == (found["test"]["rmse"], found["reference_models"]["bias"]["rmse"])
    assert (mean.mae, popular.rmse) == (found["reference_models"]["global_mean"]["mae"], None)
    assert popular.ndcg_at_10 == found["ranking"]["popularity"]["ndcg_at_10"]
    assert [part.name for part in report.time][:2] == ["training steps", "waiting for data"]
    assert sum(part.seconds for part in report.time[:2]) == pytest.approx(found["train"]["seconds"])
    assert all(part.seconds > 0 for part in report.time[2:])


def test_a_model_that_ranks_has_the_sections_that_apply(folder):
    report = read(folder / "ranks")
    assert report.rating is None
    assert {epoch.valid_rmse for epoch in report.epochs} == {None}
    assert all(epoch.train_loss for epoch in report.epochs)
    assert report.systems[0].rmse is None
    page = check_structure((folder / "ranks" / "report.html").read_text())
    assert [s["id"] for s in page.of("section")] == ["curves", "systems", "map", "time"]


def test_the_page_shows_every_number_of_the_report(folder):
    text, report = (folder / "rates" / "report.html").read_text(), read(folder / "rates")
    assert text == report_html(report)  # nothing but report.json is in it
    page = check_structure(text)
    assert text.startswith(PAGE_MARK + "\n")
    assert [section["id"] for section in page.of("section")] == ALL_SECTIONS
    for system in report.systems:
        assert all(f"{v:.4f}" in page.text for v in (system.rmse, system.mae, system.ndcg_at_10) if v is not None)
    assert report.rating is not None
    assert all(f"{part.mean_rating:.3f}" in page.text for part in report.rating.calibration)
    assert report.item_map is not None
    points = [len(trace["x"]) for trace in page.json("figures")["map-0"]["data"]]
    assert sum(points) == len(report.item_map.items)


def test_data_without_ratings_have_a_report_too(tmp_path):
    write_prepared(tmp_path / "plays", dataset=PLAYS)
    train(command(tmp_path / "plays", tmp_path / "run", epochs=1))
    report = read(tmp_path / "run")
    assert (report.rating, len(report.systems)) == (None, 2)
    assert report.item_map is not None
    assert report.item_map.items[0].title.startswith("é")  # without titles items have their identifiers
    check_structure((tmp_path / "run" / "report.html").read_text())


def test_a_report_that_is_missing_is_written_again_and_one_that_is_not_wanted_never(folder, tmp_path):
    argv = command(folder / "prepared", tmp_path / "run", epochs=1)
    train([*argv, "--no-report"])
    names = ("report.json", "report.html", "README.md")
    assert not any((tmp_path / "run" / name).exists() for name in names)
    train(argv)
    first = {name: (tmp_path / "run" / name).read_bytes() for name in names}
    (tmp_path / "run" / "report.html").unlink()
    train(argv)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in names} == first


def test_without_the_packages_of_the_page_the_log_says_what_to_install(folder, tmp_path):
    argv = command(folder / "prepared", tmp_path / "run", epochs=1)
    absent = "import sys; sys.modules['plotly'] = None; from widedeep.common.command import run_command; "
    start = f"{absent}from widedeep.train import main; run_command(main)"
    done = subprocess.run([sys.executable, "-c", start, *argv[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pip install -e '.[explore]'") == 1
    assert (tmp_path / "run" / "report.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()


def test_hostile_titles_are_text(folder):
    report = read(folder / "rates")
    assert report.item_map is not None
    items = tuple(item.model_copy(update={"title": EVIL, "group": EVIL}) for item in report.item_map.items)
    evil = report.model_copy(
        update={"run": EVIL, "dataset": EVIL, "item_map": report.item_map.model_copy(update={"items": items})}
    )
    text = report_html(evil)
    page = check_structure(text)
    assert len(page.of("script")) == len(check_structure(report_html(report)).of("script"))
    assert not {"b", "img"} & set(page.tags)
    assert EVIL in page.text
    (trace,) = page.json("figures")["map-0"]["data"]
    # plotly takes tags in texts for markup, and shows entities as the signs they stand for
    for shown in (*trace["text"], trace["name"], *(group for group, _ in trace["customdata"])):
        assert not re.search("[<>]", shown)
        assert "&lt;script&gt;" in shown
    assert "%{x}" not in trace["hovertemplate"]


def test_the_plane_is_that_of_sklearn():
    vectors = np.random.default_rng(0).normal(size=(50, 7)) * np.arange(1, 8)
    places, variance = principal_plane(vectors)
    expected = PCA(2, svd_solver="full").fit(vectors)
    np.testing.assert_allclose(np.abs(places), np.abs(expected.transform(vectors)), atol=1e-9)
    assert variance == pytest.approx(expected.explained_variance_ratio_)
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in places.T)
    flat, along = principal_plane(np.array([[1.0], [3.0], [5.0]]))
    assert (flat[:, 1].tolist(), along) == ([0.0, 0.0, 0.0], (1.0, 0.0))


def test_the_map_has_the_most_rated_items_by_their_most_frequent_genre(folder):
    found = map_items(load_trained(folder / "rates", folder / "prepared"), most=20)
    table = pq.read_table(folder / "prepared" / "items").to_pydict()
    order = sorted(range(len(table["item"])), key=lambda i: (-table["train_ratings"][i], i))[:20]
    assert found is not None
    assert found.grouped_by == "genres"
    assert [item.title for item in found.items] == [table["title"][i] for i in order]
    assert [item.item_id for item in found.items] == [table["item_id"][i] for i in order]
    genres = [[GENRES[g] for g in table["genres"][i]] for i in order]
    frequency = {name: sum(name in row for row in genres) for name in GENRES}
    for item, row in zip(found.items, genres, strict=True):
        assert item.group in row if row else item.group is None
        assert not row or frequency[item.group] == max(frequency[name] for name in row)
    # The places keep the distances of the vectors as far as two dimensions can: those of sklearn's PCA.
    vectors = load_trained(folder / "rates", folder / "prepared").vectors("items")[order].numpy()
    expected = PCA(2, svd_solver="full").fit_transform(vectors.astype(float))
    np.testing.assert_allclose([abs(item.x) for item in found.items], np.abs(expected[:, 0]), atol=1e-3)


def test_rare_groups_share_a_style():
    names = [f"g{n}" for n in range(9) for _ in range(10 - n)] + [None]
    items = tuple(
        MappedItem(item_id=n, title="t", group=name, train_ratings=1, x=0, y=0) for n, name in enumerate(names)
    )
    drawn = item_map(ItemMap(grouped_by="genres", variance=(0.5, 0.25), items=items))
    assert [(trace.name, len(trace.x)) for trace in drawn.data] == [
        *((f"g{n}", 10 - n) for n in range(7)),
        ("other", 3 + 2 + 1),
    ]


def test_epochs_without_a_number_have_none():
    lines = [
        json.dumps({"epoch": 0, "train": {"rmse": 1.5, "loss": 2.0}, "valid": {"rmse": math.nan, "ratings": 0}}),
        json.dumps({"epoch": 1, "train": {"rmse": 1.25}, "valid": {"rmse": 1.0, "ndcg_at_10": 0.5}}),
    ]
    found = [(e.epoch, e.train_rmse, e.train_loss, e.valid_rmse, e.valid_ndcg_at_10) for e in read_epochs(lines, True)]
    assert found == [(1, 1.5, 2.0, None, None), (2, 1.25, None, 1.0, 0.5)]
    assert [(e.train_rmse, e.valid_rmse) for e in read_epochs(lines, False)] == [(None, None), (None, None)]


def test_the_time_of_a_run_by_hand():
    statistics = TrainingStatistics(
        samples_per_second=1.0,
        seconds=8.0,
        data_wait_share=0.25,
        samples=8,
        epochs=1,
        best_epoch=1,
        steps_per_epoch=1,
        dropped_per_epoch=0,
        ranks=1,
        device="cpu",
        seed=0,
        valid_seconds=3.0,
    )
    assert [(part.name, part.seconds) for part in times(statistics)] == [
        ("training steps", 6.0),
        ("waiting for data", 2.0),
        ("validation", 3.0),
    ]
    assert [duration(seconds) for seconds in (4.21, 95, 7384.2)] == ["4.2 s", "1 min 35 s", "2 h 3 min"]


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_texts_and_figures_can_be_seen_in_both_color_schemes():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    style = (ROOT / "widedeep/reporting/page.html").read_text()
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", line)) for line in style.splitlines() if "--back: #" in line]
    assert len(schemes) == 2
    for scheme, theme in zip(schemes, (THEMES["light"], THEMES["dark"]), strict=True):
        for ground in (scheme["back"], scheme["card"]):
            texts = (scheme["text"], scheme["quiet"], scheme["accent"], theme["layout"]["font"]["color"])
            assert min(contrast(text, ground) for text in texts) >= 4.5
        colors = (figures.BLUE, figures.ORANGE, figures.GREEN, figures.PINK, figures.EDGE)
        for color in (*colors, *(color for color, _ in GROUP_STYLES)):
            assert contrast(color, scheme["card"]) >= 3, color


def test_every_axis_has_a_title(folder):
    for section in run_sections(read(folder / "rates")):
        for panel in section.panels:
            if panel.figure is not None:
                assert 0 < len(panel.figure.layout.xaxis.title.text) <= LONGEST_AXIS_TITLE, panel.title
    assert read(folder / "rates").scale == TEN_POINTS
