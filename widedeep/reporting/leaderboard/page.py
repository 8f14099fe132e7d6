"""Write the leaderboard as a Markdown page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from widedeep.reporting.leaderboard.board import FEATURES_SHOWN, Board, MeasuredData
from widedeep.reporting.leaderboard.cells import (
    METRIC_COLUMNS,
    Entry,
    metric_table,
    signed_interval,
)
from widedeep.reporting.leaderboard.entries import RANKING_METRICS, RATING_METRICS, over_seeds_only
from widedeep.reporting.leaderboard.published_tables import claims_in_words, published_and_measured, published_figures
from widedeep.reporting.markdown import code, table
from widedeep.schema.evaluation import BUCKETS
from widedeep.schema.manifest import Audit, AuditedFeature

SMALLEST_P = 1e-9  # a smaller p-value is shown as less than this
MAIN_METRICS = (*RATING_METRICS, *RANKING_METRICS[:3])


def leaderboard_page(board: Board, name: str = "leaderboard") -> str:
    """Return the Markdown page.

    Args:
        board: the content of leaderboard.json, which is all that the page shows.
        name: of the files beside the page.

    """
    seeded, items = over_seeds_only(board.entries), board.data.item
    blocks = [
        *_introduction(seeded, board.data, name),
        *_metrics_by_kind(seeded),
        *_ranked_lists(seeded),
        *_errors_by_experience(seeded, items),
        *_differences(seeded),
        *published_and_measured(board.entries),
        *published_figures(board.claims),
        *claims_in_words(board.verbal_claims),
        "## Suspected of a leak",
        "\n".join(f"- {e['label']}: {why}" for e in board.entries for why in e["suspicion"])
        or "None: no system is better than it could be without one.",
        *(_features(board.audit, items) if board.audit else ()),
        *_names(board.entries),
    ]
    return "\n\n".join(blocks) + "\n"


def _introduction(seeded: Sequence[Entry], data: MeasuredData, name: str) -> list[str]:
    seeds = max(len(e["seeds"]) for e in seeded)
    over = f"drawn anew with each of {seeds} seeds; ± is the standard deviation over them" if seeds > 1 else "one seed"
    return [
        f"# {': '.join(name.replace('-', ' ').capitalize().split(' ', 1))}",
        *([data.about] if data.about else []),
        f"Written by `scripts/leaderboard.sh`; all that it shows is also in [{name}.json]({name}.json). "
        f"Split: {seeded[0]['split']}, {over}. Errors are of test ratings on the {data.scale} scale. Lists "
        f"are judged by test ratings of {data.liked:g} or more; the candidates are all {data.items:,} items that "
        "the user did not rate in train or valid. Models that only predict ratings rank by them. Wide & deep over "
        "histories, autoencoders, neighbours (kNN), and systems without an RMSE rank by an affinity of their own.",
        *_on_fewer_seeds(seeded, seeds),
        _known_of_users(data),
        _winners(seeded),
        f"![RMSE beside NDCG@10 of every system]({name}.svg)",
    ]


def _on_fewer_seeds(seeded: Iterable[Entry], seeds: int) -> list[str]:
    """Return a sentence on the systems that were measured on fewer seeds than others, if there are any."""
    fewer = [f"{e['label']} ({', '.join(map(str, e['seeds']))})" for e in seeded if len(e["seeds"]) < seeds]
    return [f"Measured on fewer seeds: {'; '.join(fewer)}."] if fewer else []


def _known_of_users(data: MeasuredData) -> str:
    """Return a sentence on what the data have of users besides their ratings."""
    known, empty = (", ".join(f"`{name}`" for name in names) for names in (data.known_of_users, data.empty_of_users))
    return f"Of users the data have {known or 'nothing but their ratings'}." + (
        f" These columns are empty, so no figure here tells what they are worth: {empty}." if empty else ""
    )


def _winners(seeded: Iterable[Entry]) -> str:
    """Return a sentence on the best model and baseline by RMSE, and one by NDCG@10."""
    by_rmse = {e["kind"]: e for e in sorted(seeded, key=lambda e: -(e["rmse"] or 99.0)) if e["rmse"] is not None}
    by_ndcg = {e["kind"]: e for e in sorted(seeded, key=lambda e: e["ndcg_at_10"] or 0.0)}
    sentences = []
    for what, key, best in (("Lowest RMSE", "rmse", by_rmse), ("Highest NDCG@10", "ndcg_at_10", by_ndcg)):
        names = (f"among the {kind}s {e[key]:.4f} ({e['label']})" for kind, e in sorted(best.items()))
        sentences.append(f"{what}: {'; '.join(names)}.")
    return " ".join(sentences)


def _metrics_by_kind(seeded: Sequence[Entry]) -> list[str]:
    blocks = []
    for title, kind in (("Models", "model"), ("Baselines", "baseline")):
        blocks += [f"## {title}", metric_table([e for e in seeded if e["kind"] == kind], MAIN_METRICS)]
    return blocks


def _ranked_lists(seeded: Iterable[Entry]) -> list[str]:
    ranked = sorted((e for e in seeded if e["ndcg_at_10"] is not None), key=lambda e: -e["ndcg_at_10"])
    columns = ("ndcg_at_10", *(name for name in METRIC_COLUMNS if name not in MAIN_METRICS))
    return ["## Lists", metric_table(ranked, columns)]


def _errors_by_experience(seeded: Iterable[Entry], items: str) -> list[str]:
    rows = []
    for e in sorted((e for e in seeded if e["rmse"] is not None), key=lambda e: e["rmse"]):
        errors = [e[f"rmse_by_{side}_ratings"][name] for side in ("user", "item") for name, _ in BUCKETS]
        rows.append([e["label"], *("" if v is None else f"{v:.3f}" for v in (*errors, e["calibration_error"]))])
    headings = ["", *(f"{side} {name}" for side in ("user", items) for name, _ in BUCKETS), "calibration error"]
    return [
        "## Errors by how much is known",
        f"RMSE by the number of training ratings of the user, and of the {items}; and the calibration error: in bins "
        "of half a rating step, how far the mean prediction is from the mean rating.",
        table(headings, rows),
    ]


def _differences(seeded: Iterable[Entry]) -> list[str]:
    compared = [e for e in seeded if e.get("rmse_against") or e.get("ndcg_at_10_against")]
    if not compared:
        return []
    keys = ("rmse_against", "ndcg_at_10_against")
    names = [next((e[key]["against"] for e in compared if e.get(key)), "") for key in keys]
    return [
        "## Against the best baselines",
        f"Differences on seed {min(compared[0]['seeds'])}, paired user by user, with 95 % intervals: RMSE from "
        f"`{names[0]}`, NDCG@10 from `{names[1]}`. p-values are corrected for the number of systems (Holm, 1979). The "
        "baselines were picked by these very test figures, which favours them.",
        table(
            ["", f"RMSE - {names[0]}", f"NDCG@10 - {names[1]}"],
            ([e["label"], *(_difference(e[key]) for key in keys)] for e in compared),
        ),
    ]


def _difference(measured: Mapping[str, Any] | None) -> str:
    """Return a difference with its interval and corrected p-value."""
    if not measured:
        return ""
    text = signed_interval(measured["difference"], measured["low"], measured["high"])
    p_value = measured["p_value_holm"]
    if p_value is None:
        return text
    return text + (f", p {p_value:.1g}" if p_value >= SMALLEST_P else f", p < {SMALLEST_P:g}")


def _features(audit: Audit, items: str) -> list[str]:
    return [
        "## What each feature alone knows",
        f"R2 of predicting ratings by one feature, fitted on train; the {FEATURES_SHOWN} most telling of each table, "
        "and all that the files have computed from all ratings (left out unless the settings name them); empty columns "
        "are not shown. The slope "
        "tells what is of held-out ratings: of an honest feature it is at most 1 ([how](leak-audit.md)).",
        table(
            ["", "ratings in it", "used", "R2 train", f"R2 {audit.split}", "slope", "sign"], _feature_rows(audit, items)
        ),
    ]


def _names(entries: Iterable[Entry]) -> list[str]:
    return [
        "## Names",
        "The name is that of the directory below `systems/`. A model's is also that of a preset in `conf/train/`, or "
        "of a section of the file of `--systems`, which has its flags; a baseline's is that of `jobs/baselines.py`.",
        table(("name", "system"), ((code(e["system"]), e["label"]) for e in entries)),
    ]


def _feature_rows(audit: Audit, items: str) -> list[list[str]]:
    return [
        _feature_row(table, feature)
        for table, features in ((items, audit.items), ("user", audit.users))
        for feature in features
    ]


def _feature_row(table: str, feature: AuditedFeature) -> list[str]:
    slope = "" if feature.slope is None else f"{feature.slope:+.2f} ± {feature.slope_error or 0.0:.2f}"
    verdict = "computed from held-out ratings" if feature.leaks else ""
    r2 = (f"{value or 0.0:.3f}" for value in (feature.train_r2, feature.held_out_r2))
    name, used = f"{table}: {feature.name}", "yes" if feature.used else "no"
    return [name, feature.ratings_in_it, used, *r2, slope, verdict]
