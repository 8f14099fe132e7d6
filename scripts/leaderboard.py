"""The figures of scripts/leaderboard.sh.

presets: what to train, a line each: name, preset of conf/train, further flags.
best: the baselines that the others are compared with, and the seed on which they are.
write: the tables and the picture.
"""

import argparse
import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from pydantic import ValidationError

from widedeep.common.command import read_toml
from widedeep.evaluation.noise_ceiling import noise_rmse, suspicion
from widedeep.evaluation.significance import Spread, over_seeds
from widedeep.schema.evaluation import (
    BUCKETS,
    EVALUATION_FILE,
    Comparison,
    Difference,
    ErrorMetrics,
    Evaluation,
)
from widedeep.schema.manifest import Audit, Manifest, read_manifest

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "scripts" / "leaderboard.toml"


def evaluations(work: Path) -> dict[str, dict[int, Evaluation]]:
    """System -> seed -> evaluation, of all that is finished below WORK/seed-*/systems."""
    found: dict[str, dict[int, Evaluation]] = {}
    for file in sorted(work.glob(f"seed-*/systems/*/{EVALUATION_FILE}")):
        seed = int(file.parts[-4].removeprefix("seed-"))
        try:
            found.setdefault(file.parts[-2], {})[seed] = Evaluation.model_validate_json(file.read_text())
        except ValidationError as error:
            message = f"{file} is of another release ({error}): delete it and run the leaderboard again"
            raise SystemExit(message) from None
    return found


def figures(of_seeds: Iterable[Evaluation]) -> dict[str, Spread | None]:
    """The leaderboard's columns over seeds; None where the system has no such figure."""
    columns: dict[str, list[float | None]] = {name: [] for name in COLUMNS}
    for one in of_seeds:
        errors = one.rating.overall if one.rating else None
        lists = one.ranking
        columns["rmse"].append(errors and errors.rmse)
        columns["mae"].append(errors and errors.mae)
        columns["r2"].append(errors and errors.r2)
        columns["ndcg_at_10"].append(lists and lists.ndcg_at_10.mean)
        columns["recall_at_20"].append(lists and lists.recall_at_20.mean)
        columns["coverage_at_10"].append(lists and lists.coverage_at_10)
        columns["map_at_10"].append(lists and lists.map_at_10.mean)
        columns["mrr_at_10"].append(lists and lists.mrr_at_10.mean)
        columns["novelty_at_10"].append(lists and lists.novelty_at_10.mean)
        columns["diversity_at_10"].append(lists and lists.diversity_at_10.mean)
    known = {name: [v for v in values if v is not None] for name, values in columns.items()}
    return {name: over_seeds(values) if values else None for name, values in known.items()}


def by_experience(of_seeds: Iterable[Evaluation]) -> dict[str, Any]:
    """RMSE by training ratings of the user and of the anime, and the calibration error: means over seeds."""
    ratings = [one.rating for one in of_seeds if one.rating]
    found: dict[str, Any] = {}
    for key in ("by_user_ratings", "by_item_ratings"):
        parts = {name: [getattr(r, key)[name].rmse for r in ratings if name in getattr(r, key)] for name, _ in BUCKETS}
        found[f"rmse_{key}"] = {name: _mean(values) for name, values in parts.items()}
    return {**found, "calibration_error": _mean([r.calibration_error for r in ratings])}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


# Column of the JSON -> (heading, digits).
COLUMNS = {
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
MOST_TELLING = 6  # features of each table that are shown
UNKNOWN = "no figure known"  # of what was published
SMALLEST_P = 1e-9  # below, only that it is below
MAIN = ("rmse", "mae", "r2", "ndcg_at_10", "recall_at_20", "coverage_at_10")


def best(found: Mapping[str, Mapping[int, Evaluation]], baselines: Iterable[str]) -> list[str]:
    """The baseline with the lowest mean RMSE and that with the highest mean NDCG@10, each once."""
    spreads = {name: figures(found[name].values()) for name in baselines if name in found}
    rmse = {name: s["rmse"].mean for name, s in spreads.items() if s["rmse"]}
    ndcg = {name: s["ndcg_at_10"].mean for name, s in spreads.items() if s["ndcg_at_10"]}
    chosen = [min(rmse, key=rmse.__getitem__)] if rmse else []
    return list(dict.fromkeys([*chosen, *([max(ndcg, key=ndcg.__getitem__)] if ndcg else [])]))


def lowest_seed(found: Mapping[str, Mapping[int, Evaluation]]) -> int:
    """The seed on which systems are compared and features are shown."""
    return min(seed for by_seed in found.values() for seed in by_seed)


def presets(table: Mapping[str, Any]) -> list[list[str]]:
    """Name, preset and flags of each model: the presets of conf/train, then their variants."""
    files = sorted((ROOT / "conf" / "train").glob("*.toml"))
    plain = [[f.stem, f.stem] for f in files if not f.stem.endswith("_published")]
    return plain + [[name, v["preset"], *v["flags"]] for name, v in table["presets"].items() if "preset" in v]


def described(table: Mapping[str, Any], name: str) -> tuple[str, str | None, str | None]:
    """Label, published figure and note of a system."""
    if name in table["baselines"]:
        return table["baselines"][name], None, "baseline, tuned on valid"
    entry = table["presets"].get(name, {})
    return entry.get("label", name), entry.get("published"), entry.get("note")


def against(work: Path, seed: int, name: str) -> dict[str, dict[str, Difference | None]]:
    """System -> figure -> its difference from a baseline on one seed, with interval and p-value."""
    file = work / f"seed-{seed}" / "systems" / f"against_{name}.json"
    if not file.exists():
        return {}
    compared = Comparison.model_validate_json(file.read_text()).systems
    return {system: {"rmse": c.rmse, "ndcg_at_10": c.ndcg_at_10} for system, c in compared.items()}


def rows_of_seeds(work: Path, table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An entry for each system measured over the seeds."""
    found = evaluations(work)
    seed = lowest_seed(found)
    manifest = read_manifest(work / f"seed-{seed}" / "prepared")
    chosen = best(found, table["baselines"])
    by_error, by_lists = (against(work, seed, chosen[place]) if chosen else {} for place in (0, -1))
    entries = []
    for name, by_seed in found.items():
        label, published, note = described(table, name)
        spreads = figures(by_seed.values())
        first = by_seed[min(by_seed)]
        flags = suspected(manifest, first.rating.overall) if first.rating else []
        entries.append(
            {
                "system": name,
                "label": label,
                "kind": "baseline" if name in table["baselines"] else "model",
                "split": split_of(manifest),
                "seeds": sorted(by_seed),
                **{key: spread.mean if spread else None for key, spread in spreads.items()},
                **{f"{key}_sd": spread.sd if spread else None for key, spread in spreads.items()},
                **by_experience(by_seed.values()),
                "rmse_against": difference(chosen[:1], by_error.get(name, {}).get("rmse")),
                "ndcg_at_10_against": difference(chosen[-1:], by_lists.get(name, {}).get("ndcg_at_10")),
                "published": published,
                "suspicion": flags,
                "note": note,
            }
        )
    return sorted(entries, key=lambda e: (e["kind"], e["rmse"] is None, e["rmse"] or -(e["ndcg_at_10"] or 0)))


def difference(names: list[str], found: Difference | None) -> dict[str, Any] | None:
    """A difference from the best baseline, for the JSON."""
    return {"against": names[0], **found.model_dump()} if names and found else None


def suspected(manifest: Manifest, errors: ErrorMetrics) -> list[str]:
    """Why these errors are not to be believed, if so."""
    if errors.rmse is None or errors.r2 is None:
        return []
    leaky = [column for column, leak in manifest.leaks.items() if leak["used"]]
    test = {"rmse": errors.rmse, "r2": errors.r2, "ratings": errors.ratings}
    return [s.why for s in suspicion(test, leaky, noise_rmse(manifest.ratings.lowest))]


def split_of(manifest: Manifest) -> str:
    """How the ratings were divided, in words."""
    split = manifest.config["split"]
    parts = "/".join(f"{100 * split[name]:g}" for name in ("train", "valid", "test"))
    rows = sum(manifest.ratings.rows(name) for name in manifest.ratings.shards)
    what = "ratings" if manifest.ratings.lowest else "entries, those without a score as 0"
    return f"{split['kind']} {parts} of {rows:,} {what}"


def rows_as_published(work: Path, table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An entry for each preset trained with the published sample, split and settings."""
    entries = []
    for file in sorted(work.glob("published/*/run/metrics.json")):
        name = file.parts[-3]
        metrics, manifest = json.loads(file.read_text()), read_manifest(file.parent.parent / "prepared")
        label, published, note = described(table, name if name in table["presets"] else name.removesuffix("_published"))
        bias = metrics["reference_models"]["bias"]
        entries.append(
            {
                "system": name,
                "label": f"{label}, as published",
                "kind": "as published",
                "split": split_of(manifest),
                "seeds": [metrics["train"]["seed"]],
                **{key: metrics["test"][key] for key in ("rmse", "mae", "r2")},
                **{key: metrics["ranking"].get("model", {}).get(key) for key in MAIN[3:]},
                "published": published,
                "suspicion": suspected(manifest, ErrorMetrics(**metrics["test"])),
                "note": f"{note or ''} On that split biases have RMSE {bias['rmse']:.4f}, R2 {bias['r2']:.2f}.".strip(),
            }
        )
    return entries


def shown(entry: Mapping[str, Any], key: str) -> str:
    """A figure with its spread over seeds."""
    value, digits = entry.get(key), COLUMNS[key][1]
    if value is None:
        return ""
    spread = entry.get(f"{key}_sd")
    return f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None else "")


def compared(found: Mapping[str, Any] | None) -> str:
    """A difference with its interval and p-value."""
    if not found:
        return ""
    text = f"{found['difference']:+.4f}"
    if found["low"] is not None:
        text += f" [{found['low']:+.4f}, {found['high']:+.4f}]"
    p_value = found["p_value"]
    if p_value is None:
        return text
    return text + (f", p {p_value:.1g}" if p_value >= SMALLEST_P else f", p < {SMALLEST_P:g}")


def table_of(headings: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table, the first column on the left, the others on the right."""
    lines = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def audited(audit: Audit) -> list[list[str]]:
    """Rows of the table of features: those computed from all ratings, and of the others the most telling."""
    rows = []
    for table, features in (("anime", audit.items), ("user", audit.users)):
        leaks = [f for f in features if f.ratings_in_it == "all"]
        others = [f for f in features if f.ratings_in_it != "all"][:MOST_TELLING]
        for f in sorted([*leaks, *others], key=lambda f: -(f.held_r2 or 0.0)):
            if f.held_r2 is None:
                continue
            slope = "" if f.slope is None else f"{f.slope:+.2f} ± {f.slope_error or 0.0:.2f}"
            held = f"{f.train_r2 or 0.0:.3f}", f"{f.held_r2:.3f}", slope
            verdict = "computed from held-out ratings" if f.sign_of_leak else ""
            rows.append([f"{table}: {f.name}", f.ratings_in_it, "yes" if f.used else "no", *held, verdict])
    return rows


def markdown(entries: list[dict[str, Any]], claims: list[dict[str, Any]], audit: Audit | None = None) -> str:
    """The leaderboard as a page; the audit is that of the first seed's features."""
    seeded = [e for e in entries if e["kind"] != "as published"]
    alone = [e for e in entries if e["kind"] == "as published"]
    seeds = max(len(e["seeds"]) for e in seeded)
    over = f"drawn anew with each of {seeds} seeds; ± is the standard deviation over them" if seeds > 1 else "one seed"
    text = [
        "# Leaderboard",
        f"Written by `scripts/leaderboard.sh`; the figures are also in [leaderboard.json](leaderboard.json). "
        f"Split: {seeded[0]['split']}, {over}. Errors are of test ratings on the 1-10 scale. Lists are judged by test "
        "ratings of 8 or more; the candidates are all anime that the user did not rate in train or valid. Models rank "
        "by predicted rating, as the published systems do.",
        winners(seeded),
        "![RMSE beside NDCG@10 of every system](leaderboard.svg)",
    ]
    for title, kind in (("Models", "model"), ("Baselines", "baseline")):
        part = [e for e in seeded if e["kind"] == kind]
        text += [f"## {title}", table_of(["", *(COLUMNS[c][0] for c in MAIN)], _named(part, MAIN))]
    more = tuple(c for c in COLUMNS if c not in MAIN)
    ranked = sorted((e for e in seeded if e["ndcg_at_10"] is not None), key=lambda e: -e["ndcg_at_10"])
    columns = ("ndcg_at_10", *more)
    text += ["## Lists", table_of(["", *(COLUMNS[c][0] for c in columns)], _named(ranked, columns))]
    rated = sorted((e for e in seeded if e["rmse"] is not None), key=lambda e: e["rmse"])
    text += [
        "## ErrorMetrics by how much is known",
        "RMSE by the number of training ratings of the user, and of the anime; and how far predictions are off "
        "the mean of what they are made for, in bins of half a point.",
        table_of(
            ["", *(f"{side} {name}" for side in ("user", "anime") for name, _ in BUCKETS), "off by"], _known(rated)
        ),
    ]
    pairs = [e for e in seeded if e.get("rmse_against") or e.get("ndcg_at_10_against")]
    if pairs:
        keys = ("rmse_against", "ndcg_at_10_against")
        names = [next((e[key]["against"] for e in pairs if e.get(key)), "") for key in keys]
        text += [
            "## Against the best baselines",
            f"Differences on seed {min(pairs[0]['seeds'])}, paired user by user, with 95 % intervals: RMSE from "
            f"`{names[0]}`, NDCG@10 from `{names[1]}`. The baselines were picked by these very test figures, which "
            "favours them.",
            table_of(
                ["", f"RMSE - {names[0]}", f"NDCG@10 - {names[1]}"],
                ([e["label"], compared(e["rmse_against"]), compared(e["ndcg_at_10_against"])] for e in pairs),
            ),
        ]
    text += ["## Published and measured", _published(seeded, alone, claims)]
    flagged = [f"- {e['label']}: {why}" for e in entries for why in e["suspicion"]]
    text += ["## Suspected of a leak", "\n".join(flagged) or "None: no system is better than it could be without one."]
    if audit:
        text += [
            "## What each feature alone knows",
            f"R2 of predicting ratings by one feature, fitted on train; the {MOST_TELLING} most telling of each table, "
            "and all that the dump computed from all ratings (left out unless the settings name them). The slope tells "
            "what is of held-out ratings: of an honest feature it is at most 1 "
            "([how](../widedeep/evaluation/feature_leakage.py)).",
            table_of(["", "ratings in it", "used", "R2 train", f"R2 {audit.held}", "slope", "sign"], audited(audit)),
        ]
    return "\n\n".join(text) + "\n"


def winners(entries: Iterable[dict[str, Any]]) -> str:
    """Who is best at what, in a sentence each."""
    rated = {e["kind"]: e for e in sorted(entries, key=lambda e: -(e["rmse"] or 99.0)) if e["rmse"] is not None}
    ranked = {e["kind"]: e for e in sorted(entries, key=lambda e: e["ndcg_at_10"] or 0.0)}
    told = []
    for what, key, found in (("Lowest RMSE", "rmse", rated), ("Highest NDCG@10", "ndcg_at_10", ranked)):
        best_of = (f"{e['label']} among the {kind}s ({e[key]:.4f})" for kind, e in sorted(found.items()))
        told.append(f"{what}: {', '.join(best_of)}.")
    return " ".join(told)


def _named(entries: Iterable[dict[str, Any]], columns: Iterable[str]) -> list[list[str]]:
    columns = list(columns)
    return [[e["label"], *(shown(e, c) for c in columns)] for e in entries]


def _known(entries: Iterable[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for e in entries:
        errors = [e[f"rmse_by_{side}_ratings"][name] for side in ("user", "item") for name, _ in BUCKETS]
        rows.append([e["label"], *("" if v is None else f"{v:.3f}" for v in (*errors, e["calibration_error"]))])
    return rows


def _published(seeded: list[dict[str, Any]], alone: list[dict[str, Any]], claims: list[dict[str, Any]]) -> str:
    by_name = {e["system"]: e for e in seeded}
    rows = []
    for entry in alone:
        whole = by_name.get(entry["system"].removesuffix("_published"))
        honest = f"{entry['rmse']:.4f}, R2 {entry['r2']:.2f} ({entry['split']})"
        on_all = shown(whole, "rmse") if whole else ""
        rows.append([entry["label"], entry["published"] or UNKNOWN, honest, on_all, entry["note"]])
    named = {e["system"] for e in alone}
    rows += [
        [e["label"], e["published"] or UNKNOWN, "", shown(e, "rmse"), e["note"] or ""]
        for e in seeded
        if e["kind"] == "model" and (e["published"] or e["note"]) and f"{e['system']}_published" not in named
    ]
    rows += [[c["claim"], c["published"], c["reproduced"], c["honest"], c["reason"]] for c in claims]
    return table_of(["", "published", "as published, measured here", "honest, on all ratings", "why they differ"], rows)


def claims_of(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures of scripts/published.py as rows of the table."""
    label, mean, unscored = (facts[name] for name in ("rmse_0.0729", "rmse_1.70", "rmse_2.79_r2_0.49"))
    zeros = unscored.get("share_of_the_published") or unscored["own_list"]
    return [
        {
            "claim": "test RMSE 0.0729",
            "published": "RMSE 0.0729",
            "reproduced": f"{label['label_rmse']['genres_popularity']:.4f} by a linear model of genres and popularity",
            "honest": f"{label['honest']['rmse']:.4f} by biases, on the same rows",
            "reason": "Its label is the anime's own mean score, scaled to 0-1: no user's rating is predicted. "
            f"The mean label alone has RMSE {label['label_rmse']['constant']:.4f}, rank beside genres and popularity "
            f"{label['label_rmse']['genres_popularity_rank']:.4f}, the score itself 0.",
        },
        {
            "claim": "test RMSE 1.70",
            "published": "RMSE 1.70",
            "reproduced": "arithmetic only",
            "honest": f"{mean['this_dump']['rmse_of_biases']:.4f} by biases",
            "reason": "Worse than the mean of all ratings, whose RMSE on the 2023 dump is "
            f"{mean['official_dump']['rmse_of_mean']:.4f} (R2 {mean['official_dump']['r2_of_published']:.3f}). So "
            "it goes with many epochs and nothing held out to stop by.",
        },
        {
            "claim": "test RMSE 2.79, R2 0.49",
            "published": "RMSE 2.79, R2 0.49",
            "reproduced": f"{zeros['rmse']:.2f}, R2 {zeros['r2']:.2f} by biases; {zeros['unscored_share']:.0%} zeros",
            "honest": f"{zeros['rmse_fitted_on_the_scored']:.4f} by biases, on what is scored",
            "reason": "Unscored entries as ratings of 0: whether an entry is scored at all is "
            f"{zeros['variance_that_is_scored_or_not']:.0%} of that variance.",
        },
    ]


def picture(entries: list[dict[str, Any]], file: Path) -> None:
    """Rating error against ranking quality, systems by numbers; those that only rank are lines across."""
    plt.rcParams["svg.hashsalt"] = "leaderboard"  # the same picture, the same bytes
    figure, axes = plt.subplots(figsize=(11, 6))
    colours = {"model": "tab:blue", "baseline": "tab:orange"}
    ranked = sorted((e for e in entries if e["ndcg_at_10"] is not None), key=lambda e: -e["ndcg_at_10"])
    for number, entry in enumerate(ranked, 1):
        colour, height = colours[entry["kind"]], entry["ndcg_at_10"]
        if entry["rmse"] is None:
            axes.axhline(height, color=colour, linewidth=0.8, linestyle=":", zorder=1)
            place, frame = (0.99, height), ("axes fraction", "data")
            axes.annotate(str(number), place, xycoords=frame, fontsize=8, ha="right", va="bottom", color=colour)
        else:
            mark = f"${number}$"
            axes.scatter(entry["rmse"], height, color=colour, marker=mark, s=60 if number < 10 else 110, zorder=3)
        axes.text(1.02, 1 - 0.045 * number, f"{number:2d}  {entry['label']}", transform=axes.transAxes, color=colour)
    axes.set_yscale("log")  # most models crowd near the bottom
    axes.set_xlabel("RMSE of test ratings (left is better)")
    axes.set_ylabel("NDCG@10 of lists (up is better)")
    axes.set_title("Models (blue) and baselines (orange); dotted lines rank without predicting ratings", fontsize=10)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def main() -> None:
    """Parse, collect, print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("presets", "best", "write"))
    parser.add_argument(
        "--work", type=Path, default=Path("data/leaderboard"), help="directory of scripts/leaderboard.sh"
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the tables go")
    options = parser.parse_args()
    table = read_toml(TABLE)
    if options.action == "presets":
        print(*(shlex.join(line) for line in presets(table)), sep="\n")
        return
    if options.action == "best":
        found = evaluations(options.work)
        print(*(f"{lowest_seed(found)} {name}" for name in best(found, table["baselines"])), sep="\n")
        return
    entries = [*rows_of_seeds(options.work, table), *rows_as_published(options.work, table)]
    claims_file = options.work / "published.json"
    claims = claims_of(json.loads(claims_file.read_text())) if claims_file.exists() else []
    (options.docs / "leaderboard.json").write_text(json.dumps(entries, indent=1) + "\n")
    first = options.work / f"seed-{lowest_seed(evaluations(options.work))}" / "prepared"
    (options.docs / "leaderboard.md").write_text(markdown(entries, claims, read_manifest(first).audit))
    picture([e for e in entries if e["kind"] != "as published"], options.docs / "leaderboard.svg")


if __name__ == "__main__":
    main()
