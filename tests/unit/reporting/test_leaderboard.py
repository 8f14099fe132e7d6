"""The tables of the leaderboard, of evaluations with known metrics."""

import json
import shutil
from pathlib import Path

import pytest

from tests.builders import save_manifest, write_prepared
from widedeep.reporting.leaderboard.board import Board, measured_data, read_board, shown_audit, write_board
from widedeep.reporting.leaderboard.entries import (
    best_baselines,
    entries_as_published,
    entries_over_seeds,
    read_evaluations,
)
from widedeep.reporting.leaderboard.page import FEATURES_SHOWN, leaderboard_page
from widedeep.reporting.leaderboard.picture import draw_leaderboard
from widedeep.reporting.leaderboard.verbal_claims import verbal_claims
from widedeep.schema.evaluation import (
    EVALUATION_FILE,
    Comparison,
    Difference,
    ErrorMetrics,
    Evaluation,
    MeanOverUsers,
    RankingMetrics,
    RatingMetrics,
    SystemDifferences,
)
from widedeep.schema.manifest import Audit, AuditedFeature, Column, Numeric, read_manifest

TABLE = {"baselines": {"bias": "biases", "ease": "EASE"}, "presets": {"wide": {"label": "wide", "note": "a note"}}}


def evaluation(name: str, rmse: float | None, ndcg: float | None, seed: int) -> Evaluation:
    mean = MeanOverUsers(mean=ndcg, standard_error=0.01, users=9)
    rating = ranking = None
    if rmse is not None:
        overall = ErrorMetrics(ratings=400, rmse=rmse, mae=rmse / 2, r2=1 - rmse**2 / 2.5)
        rating = RatingMetrics(
            overall=overall,
            by_user_ratings={"1-5": overall},
            by_item_ratings={},
            calibration=(),
            calibration_error=0.25,
        )
    if ndcg is not None:
        ranking = RankingMetrics(
            **{"users": 9, "users_with_list": 9, "longest_list": 20, "coverage_at_10": 0.5, "gini_at_10": 0.5},
            **{name: mean for name in ("ndcg_at_10", "recall_at_20", "map_at_10", "mrr_at_10", "hit_rate_at_10")},
            **{name: mean for name in ("novelty_at_10", "diversity_at_10")},
        )
    return Evaluation(system=name, seed=seed, data_digest="d", inputs={}, liked=8.0, rating=rating, ranking=ranking)


@pytest.fixture
def work(tmp_path):
    """Two seeds of a model and of two baselines; EASE only ranks."""
    figures = {"wide": [(1.18, 0.02), (1.20, 0.04)], "bias": [(1.21, 0.08), (1.21, 0.08)], "ease": [(None, 0.3)] * 2}
    for seed in (0, 1):
        split = {"kind": "random", "train": 0.8, "valid": 0.1, "test": 0.1}
        config = {"split": split, "ratings": {"unscored": "drop"}}
        prepared = tmp_path / f"seed-{seed}" / "prepared"
        prepared.mkdir(parents=True)
        manifest = write_prepared(prepared, users=30, items=20, ratings=400)
        (prepared / "manifest.json").write_text(manifest.model_copy(update={"config": config}).seal())
        for name, pairs in figures.items():
            system = tmp_path / f"seed-{seed}" / "systems" / name
            system.mkdir(parents=True)
            (system / EVALUATION_FILE).write_text(evaluation(name, *pairs[seed], seed).model_dump_json())
    return tmp_path


def board_of(work: Path, entries: list, audit: Audit | None = None) -> Board:
    manifest = read_manifest(work / "seed-0" / "prepared").model_copy(update={"audit": audit})
    return Board(
        data=measured_data(manifest, liked=8.0, about="Ratings of a club."),
        entries=tuple(entries),
        claims=(),
        verbal_claims=verbal_claims(TABLE, entries),
        audit=shown_audit(manifest),
    )


def test_best_baselines_by_error_and_by_lists(work):
    assert best_baselines(read_evaluations(work), TABLE["baselines"]) == ["bias", "ease"]


def test_entries_are_means_over_seeds(work):
    entries = {entry["system"]: entry for entry in entries_over_seeds(work, TABLE)}
    wide = entries["wide"]
    assert (wide["kind"], wide["label"], wide["note"], wide["seeds"]) == ("model", "wide", "a note", [0, 1])
    assert wide["split"] == "random 80/10/10 of 400 ratings"
    assert (wide["rmse"], wide["ndcg_at_10"]) == pytest.approx((1.19, 0.03))
    assert (wide["rmse_sd"], wide["ndcg_at_10_sd"]) == pytest.approx((0.02 / 2**0.5, 0.02 / 2**0.5))
    assert entries["ease"]["rmse"] is None
    assert not wide["suspicion"]


def test_an_impossible_error_is_flagged(work):
    for seed in (0, 1):
        file = work / f"seed-{seed}" / "systems" / "wide" / EVALUATION_FILE
        file.write_text(evaluation("wide", 0.3, 0.02, seed).model_dump_json())
    entries = entries_over_seeds(work, TABLE)
    assert [bool(e["suspicion"]) for e in entries if e["system"] == "wide"] == [True]
    assert "wide: its R2" in leaderboard_page(board_of(work, entries))


def test_differences_name_what_they_are_from(work):
    difference = Difference(system=1.19, baseline=1.21, difference=-0.02, low=-0.03, high=-0.01, p_value=1e-30, users=9)
    comparison = Comparison(
        against="bias", data_digest="d", systems={"wide": SystemDifferences(ndcg_at_10=None, rmse=difference)}
    )
    (work / "seed-0" / "systems" / "against_bias.json").write_text(comparison.model_dump_json())
    page = leaderboard_page(board_of(work, entries_over_seeds(work, TABLE)))
    assert "RMSE - bias" in page
    assert "| wide | -0.0200 [-0.0300, -0.0100], p < 1e-09 |  |" in page


def test_page_and_picture(work, tmp_path):
    entries = entries_over_seeds(work, TABLE)
    page = leaderboard_page(board_of(work, entries))
    assert "| wide | 1.1900 ± 0.0141 | 0.5950 ± 0.0071 |" in page
    assert "| wide |  | 1.190 |  |  |  |  |  |  |  |  | 0.250 |" in page
    assert "Lowest RMSE: among the baselines 1.2100 (biases); among the models 1.1900 (wide)." in page
    json.dumps(entries)
    draw_leaderboard(entries, tmp_path / "a.svg")
    draw_leaderboard(entries, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_system_that_was_measured_on_fewer_seeds_is_named(work):
    assert "fewer seeds" not in leaderboard_page(board_of(work, entries_over_seeds(work, TABLE)))
    (work / "seed-1" / "systems" / "ease" / EVALUATION_FILE).unlink()
    page = leaderboard_page(board_of(work, entries_over_seeds(work, TABLE)))
    assert "Measured on fewer seeds: EASE (0)." in page


def test_a_run_as_published_stands_beside_the_honest_one_that_the_settings_name(work):
    table = {
        "baselines": TABLE["baselines"],
        "presets": {
            "wide": {"label": "wide"},
            "wide_published": {"label": "narrow", "published": "RMSE 2.79", "honest": "bias", "measured": "generated"},
            "deep": {"label": "deep", "published": "R2 0.9"},
        },
    }
    errors = {"rmse": 2.7, "mae": 1.9, "r2": 0.5, "ratings": 400}
    metrics = {
        "test": errors,
        "ranking": {},
        "train": {"seed": 7},
        "reference_models": {"bias": {"rmse": 3.1, "r2": 0.4}},
    }
    for name in ("wide_published", "deep_published"):
        run = work / "published" / name / "run"
        run.mkdir(parents=True)
        (run / "metrics.json").write_text(json.dumps(metrics))
        shutil.copytree(work / "seed-0" / "prepared", run.parent / "prepared")
    published = {entry["system"]: entry for entry in entries_as_published(work, table)}
    assert [published[f"{name}_published"]["honest"] for name in ("wide", "deep")] == ["bias", "deep"]
    page = leaderboard_page(board_of(work, [*entries_over_seeds(work, table), *published.values()]))
    measured = "RMSE 2.7000, MAE 1.9000, R2 0.5000 (random 80/10/10 of 400 ratings; generated)"
    assert f"| narrow, as published | RMSE 2.79 | {measured} | 1.2100 ± 0.0000 (biases) | On that split" in page
    assert "| deep, as published | R2 0.9 | RMSE 2.7000" in page


def test_features_of_all_ratings_are_shown_and_of_the_others_the_most_telling(work):
    def feature(name: str, held_out_r2: float, ratings_in_it: str, slope: float = 0.1, sign: bool = False):
        figures = {"train_rmse": 1.5, "train_r2": held_out_r2, "held_out_rmse": 1.5, "held_out_r2": held_out_r2}
        return AuditedFeature.model_validate(
            {**figures, "table": "items", "name": name, "kind": "numeric", "source": None, "used": not sign}
            | {"ratings_in_it": ratings_in_it, "slope": slope, "slope_error": 0.1, "leaks": sign}
        )

    honest = [feature(f"honest {place}", 0.2 - 0.01 * place, "none") for place in range(FEATURES_SHOWN + 1)]
    audit = Audit(split="test", items=(*honest, feature("score", 0.001, "all", slope=5.0, sign=True)), users=())
    page = leaderboard_page(board_of(work, entries_over_seeds(work, TABLE), audit=audit))
    assert "| anime: score | all | no | 0.001 | 0.001 | +5.00 ± 0.10 | computed from held-out ratings |" in page
    assert "honest 0" in page
    assert f"honest {FEATURES_SHOWN}" not in page


def test_an_empty_column_is_named_and_not_audited(work):
    file = work / "seed-0" / "prepared" / "manifest.json"
    manifest = read_manifest(file.parent)
    fitted = {"impute": "median", "fill": 0.0, "scaler": "minmax", "center": 0.0, "scale": 1.0, "unparsed": 0}
    empty, full = "age", "completed"
    columns, numeric = [*manifest.users.columns], {**manifest.users.numeric}
    for name, missing in ((empty, manifest.users.rows), (full, 3)):
        columns.append(Column(name=name, kind="numeric", source=name.title()))
        numeric[name] = Numeric(**fitted, missing=missing)
    users = manifest.users.model_copy(update={"columns": tuple(columns), "numeric": numeric})
    save_manifest(file.parent, manifest.model_copy(update={"users": users}))
    measured = {"train_rmse": 1.5, "train_r2": 0.0, "held_out_rmse": 1.5, "held_out_r2": 0.0, "slope": 0.0}
    features = [
        AuditedFeature.model_validate(
            {**measured, "table": "users", "name": name, "kind": "numeric", "source": None, "used": True}
            | {"ratings_in_it": "none", "slope_error": 0.1, "leaks": False}
        )
        for name in (empty, full)
    ]
    audit = Audit(split="valid", items=(), users=tuple(features))
    page = leaderboard_page(board_of(work, entries_over_seeds(work, TABLE), audit=audit))
    assert f"| user: {full} |" in page
    assert f"| user: {empty} |" not in page
    assert f"Of users the data have `{full}`. These columns are empty, " in page
    assert f"what they are worth: `{empty}`." in page


def test_the_data_behind_a_page_are_read_as_they_were_written(work, tmp_path):
    board = board_of(work, entries_over_seeds(work, TABLE))
    write_board(board, tmp_path / "a.json")
    assert leaderboard_page(read_board(tmp_path / "a.json")) == leaderboard_page(board)
    assert json.loads((tmp_path / "a.json").read_text())["entries"][0]["system"] == "bias"


def test_entries_have_the_metrics_of_each_seed(work):
    entries = {entry["system"]: entry for entry in entries_over_seeds(work, TABLE)}
    assert (entries["wide"]["rmse_of_seeds"], entries["wide"]["ndcg_at_10_of_seeds"]) == ([1.18, 1.20], [0.02, 0.04])
    assert entries["ease"]["rmse_of_seeds"] is None
