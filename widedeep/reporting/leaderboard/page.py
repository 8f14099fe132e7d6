"""Write the leaderboard as a Markdown page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from widedeep.reporting.leaderboard.entries import RANKING_METRICS, RATING_METRICS
from widedeep.schema.evaluation import BUCKETS
from widedeep.schema.manifest import Audit, AuditedFeature, Manifest

# Metric -> (heading, digits).
METRIC_COLUMNS = {
    "rmse": ("RMSE", 4),
    "mae": ("MAE", 4),
    "r2": ("R2", 3),
    "ndcg_at_10": ("NDCG@10", 4),
    "recall_at_20": ("Recall@20", 4),
    "coverage_at_10": ("coverage@10", 3),
    "map_at_10": ("MAP@10", 4),
    "mrr_at_10": ("MRR@10", 4),
    "novelty_at_10": ("novelty, bits", 2),
    "diversity_at_10": ("diversity", 3),
}
FEATURES_SHOWN = 6  # of each table, the most predictive
NOTHING_PUBLISHED = "no figure known"
SMALLEST_P = 1e-9  # a smaller p-value is shown as less than this
MAIN_METRICS = (*RATING_METRICS, *RANKING_METRICS[:3])


Entry = Mapping[str, Any]


def leaderboard_page(
    entries: Sequence[Entry],
    claims: Sequence[Mapping[str, str]],
    manifest: Manifest,
    liked: float,
    name: str = "leaderboard",
) -> str:
    """Return the Markdown page.

    Args:
        entries: the content of leaderboard.json.
        claims: rows of `published_claims`.
        manifest: of the prepared data of the lowest seed.
        liked: lowest rating that makes an item relevant.
        name: of the files beside the page.

    """
    items = manifest.dataset.ids.item.removesuffix("_id")
    seeded = [e for e in entries if e["kind"] != "as published"]
    as_published = [e for e in entries if e["kind"] == "as published"]
    blocks = [
        *_introduction(seeded, manifest, liked, name),
        *_metrics_by_kind(seeded),
        *_ranked_lists(seeded),
        *_errors_by_experience(seeded, items),
        *_differences(seeded),
        *_published(seeded, as_published, claims),
        "## Suspected of a leak",
        "\n".join(f"- {e['label']}: {why}" for e in entries for why in e["suspicion"])
        or "None: no system is better than it could be without one.",
        *(_features(manifest.audit, items) if manifest.audit else ()),
    ]
    return "\n\n".join(blocks) + "\n"


def _introduction(seeded: Sequence[Entry], manifest: Manifest, liked: float, name: str) -> list[str]:
    seeds = max(len(e["seeds"]) for e in seeded)
    over = f"drawn anew with each of {seeds} seeds; ± is the standard deviation over them" if seeds > 1 else "one seed"
    return [
        "# Leaderboard",
        f"Written by `scripts/leaderboard.sh`; the figures are also in [{name}.json]({name}.json). "
        f"Split: {seeded[0]['split']}, {over}. Errors are of test ratings on the {manifest.ratings.scale} scale. Lists "
        f"are judged by test ratings of {liked:g} or more; the candidates are all {manifest.items.rows:,} items that "
        "the user did not rate in train or valid. Models of single ratings rank by predicted rating, as the published "
        "systems do; wide & deep over histories has an affinity of its own.",
        _known_of_users(manifest),
        _winners(seeded),
        f"![RMSE beside NDCG@10 of every system]({name}.svg)",
    ]


def _known_of_users(manifest: Manifest) -> str:
    """Return a sentence on what the data have of users besides their ratings."""
    known, empty = (", ".join(f"`{c}`" for c in manifest.users.file_columns(filled)) for filled in (True, False))
    return f"Of users the data have {known or 'nothing but their ratings'}." + (
        f" These columns are empty: {empty}." if empty else ""
    )


def _winners(seeded: Iterable[Entry]) -> str:
    """Return a sentence on the best model and baseline by RMSE, and one by NDCG@10."""
    by_rmse = {e["kind"]: e for e in sorted(seeded, key=lambda e: -(e["rmse"] or 99.0)) if e["rmse"] is not None}
    by_ndcg = {e["kind"]: e for e in sorted(seeded, key=lambda e: e["ndcg_at_10"] or 0.0)}
    sentences = []
    for what, key, best in (("Lowest RMSE", "rmse", by_rmse), ("Highest NDCG@10", "ndcg_at_10", by_ndcg)):
        names = (f"{e['label']} among the {kind}s ({e[key]:.4f})" for kind, e in sorted(best.items()))
        sentences.append(f"{what}: {', '.join(names)}.")
    return " ".join(sentences)


def _metrics_by_kind(seeded: Sequence[Entry]) -> list[str]:
    blocks = []
    for title, kind in (("Models", "model"), ("Baselines", "baseline")):
        blocks += [f"## {title}", _metric_table([e for e in seeded if e["kind"] == kind], MAIN_METRICS)]
    return blocks


def _ranked_lists(seeded: Iterable[Entry]) -> list[str]:
    ranked = sorted((e for e in seeded if e["ndcg_at_10"] is not None), key=lambda e: -e["ndcg_at_10"])
    columns = ("ndcg_at_10", *(name for name in METRIC_COLUMNS if name not in MAIN_METRICS))
    return ["## Lists", _metric_table(ranked, columns)]


def _errors_by_experience(seeded: Iterable[Entry], items: str) -> list[str]:
    rows = []
    for e in sorted((e for e in seeded if e["rmse"] is not None), key=lambda e: e["rmse"]):
        errors = [e[f"rmse_by_{side}_ratings"][name] for side in ("user", "item") for name, _ in BUCKETS]
        rows.append([e["label"], *("" if v is None else f"{v:.3f}" for v in (*errors, e["calibration_error"]))])
    headings = ["", *(f"{side} {name}" for side in ("user", items) for name, _ in BUCKETS), "off by"]
    return [
        "## Errors by how much is known",
        f"RMSE by the number of training ratings of the user, and of the {items}; and how far predictions are off "
        "the mean of what they are made for, in bins of half a point.",
        _markdown_table(headings, rows),
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
        f"`{names[0]}`, NDCG@10 from `{names[1]}`. The baselines were picked by these very test figures, which "
        "favours them.",
        _markdown_table(
            ["", f"RMSE - {names[0]}", f"NDCG@10 - {names[1]}"],
            ([e["label"], *(_difference(e[key]) for key in keys)] for e in compared),
        ),
    ]


def _difference(measured: Mapping[str, Any] | None) -> str:
    """Return a difference with its interval and p-value."""
    if not measured:
        return ""
    text = f"{measured['difference']:+.4f}"
    if measured["low"] is not None:
        text += f" [{measured['low']:+.4f}, {measured['high']:+.4f}]"
    p_value = measured["p_value"]
    if p_value is None:
        return text
    return text + (f", p {p_value:.1g}" if p_value >= SMALLEST_P else f", p < {SMALLEST_P:g}")


def _published(
    seeded: Iterable[Entry], as_published: Sequence[Entry], claims: Iterable[Mapping[str, str]]
) -> list[str]:
    """Return the table of published results beside ours: as published, and on all ratings."""
    by_name = {e["system"]: e for e in seeded}
    rows = []
    for entry in as_published:
        whole = by_name.get(entry["system"].removesuffix("_published"))
        honest = f"{entry['rmse']:.4f}, R2 {entry['r2']:.2f} ({entry['split']})"
        on_all = _metric(whole, "rmse") if whole else ""
        rows.append([entry["label"], entry["published"] or NOTHING_PUBLISHED, honest, on_all, entry["note"]])
    named = {e["system"] for e in as_published}
    rows += [
        [e["label"], e["published"] or NOTHING_PUBLISHED, "", _metric(e, "rmse"), e["note"] or ""]
        for e in seeded
        if e["kind"] == "model" and (e["published"] or e["note"]) and f"{e['system']}_published" not in named
    ]
    rows += [[c["claim"], c["published"], c["reproduced"], c["honest"], c["reason"]] for c in claims]
    if not rows:
        return []
    headings = ["", "published", "as published, measured here", "honest, on all ratings", "why they differ"]
    return ["## Published and measured", _markdown_table(headings, rows)]


def _features(audit: Audit, items: str) -> list[str]:
    return [
        "## What each feature alone knows",
        f"R2 of predicting ratings by one feature, fitted on train; the {FEATURES_SHOWN} most telling of each table, "
        "and all that the files have computed from all ratings (left out unless the settings name them). The slope "
        "tells what is of held-out ratings: of an honest feature it is at most 1 ([how](leak-audit.md)).",
        _markdown_table(
            ["", "ratings in it", "used", "R2 train", f"R2 {audit.split}", "slope", "sign"], _feature_rows(audit, items)
        ),
    ]


def _feature_rows(audit: Audit, items: str) -> list[list[str]]:
    """Return rows of all features computed from all ratings, and of the most predictive others."""
    rows = []
    for table, features in ((items, audit.items), ("user", audit.users)):
        leaks = [f for f in features if f.ratings_in_it == "all"]
        others = [f for f in features if f.ratings_in_it != "all"][:FEATURES_SHOWN]
        chosen = sorted([*leaks, *others], key=lambda f: -(f.held_out_r2 or 0.0))
        rows += [_feature_row(table, feature) for feature in chosen if feature.held_out_r2 is not None]
    return rows


def _feature_row(table: str, feature: AuditedFeature) -> list[str]:
    slope = "" if feature.slope is None else f"{feature.slope:+.2f} ± {feature.slope_error or 0.0:.2f}"
    verdict = "computed from held-out ratings" if feature.leaks else ""
    r2 = (f"{value or 0.0:.3f}" for value in (feature.train_r2, feature.held_out_r2))
    name, used = f"{table}: {feature.name}", "yes" if feature.used else "no"
    return [name, feature.ratings_in_it, used, *r2, slope, verdict]


def _metric_table(entries: Iterable[Entry], columns: Sequence[str]) -> str:
    rows = [[e["label"], *(_metric(e, name) for name in columns)] for e in entries]
    return _markdown_table(["", *(METRIC_COLUMNS[name][0] for name in columns)], rows)


def _metric(entry: Mapping[str, Any], key: str) -> str:
    """Return a metric with its standard deviation over seeds."""
    value, digits = entry.get(key), METRIC_COLUMNS[key][1]
    if value is None:
        return ""
    spread = entry.get(f"{key}_sd")
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")


def _markdown_table(headings: list[str], rows: Iterable[list[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right."""
    lines = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
