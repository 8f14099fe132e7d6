"""Evaluations over seeds -> the entries of leaderboard.json."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from widedeep.common.errors import InputError
from widedeep.evaluation.noise_ceiling import noise_rmse, suspicion
from widedeep.evaluation.significance import Spread, holm, over_seeds
from widedeep.schema.evaluation import (
    BUCKETS,
    EVALUATION_FILE,
    Comparison,
    Difference,
    ErrorMetrics,
    Evaluation,
    MeanOverUsers,
    parse_evaluation,
)
from widedeep.schema.manifest import SPLITS, Manifest, read_manifest

E = TypeVar("E", bound=Mapping[str, Any])
Evaluations = Mapping[str, Mapping[int, Evaluation]]  # system -> seed -> evaluation
RATING_METRICS = ("rmse", "mae", "r2")
RANKING_METRICS = (
    "ndcg_at_10",
    "recall_at_20",
    "coverage_at_10",
    "map_at_10",
    "mrr_at_10",
    "novelty_at_10",
    "diversity_at_10",
)


def read_evaluations(work: Path) -> dict[str, dict[int, Evaluation]]:
    """All evaluations below WORK/seed-*/systems; InputError if another release wrote one."""
    evaluations: dict[str, dict[int, Evaluation]] = {}
    for file in sorted(work.glob(f"seed-*/systems/*/{EVALUATION_FILE}")):
        evaluation = parse_evaluation(file.read_text(), str(file))
        if evaluation.seed is None:
            raise InputError(f"{file}: seed is null, so it belongs to no leaderboard: prepare and evaluate again")
        evaluations.setdefault(evaluation.system, {})[evaluation.seed] = evaluation
    return evaluations


def lowest_seed(evaluations: Evaluations) -> int:
    """The seed on which systems are compared and features are shown."""
    return min(seed for by_seed in evaluations.values() for seed in by_seed)


def seed_directory(work: Path, seed: int) -> Path:
    """Where scripts/leaderboard.sh keeps the data and the systems of a seed."""
    return work / f"seed-{seed}"


def metrics_over_seeds(evaluations: Iterable[Evaluation]) -> dict[str, Spread | None]:
    """Metric -> its spread over seeds; None where the system has no such metric."""
    runs = list(evaluations)
    columns = {name: [_metric(run, name) for run in runs] for name in (*RATING_METRICS, *RANKING_METRICS)}
    known = {name: [v for v in values if v is not None] for name, values in columns.items()}
    return {name: over_seeds(values) if values else None for name, values in known.items()}


def _of_seeds(by_seed: Mapping[int, Evaluation], name: str) -> list[float] | None:
    """A metric of each seed, in the order of the seeds; None if one of them lacks it."""
    values = [_metric(by_seed[seed], name) for seed in sorted(by_seed)]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _metric(evaluation: Evaluation, name: str) -> float | None:
    if name in RATING_METRICS:
        return getattr(evaluation.rating.overall, name) if evaluation.rating else None
    return _number(getattr(evaluation.ranking, name)) if evaluation.ranking else None


def _number(metric: MeanOverUsers | float) -> float | None:
    return metric.mean if isinstance(metric, MeanOverUsers) else metric


def _by_experience(evaluations: Iterable[Evaluation]) -> dict[str, Any]:
    """Means over seeds of the RMSE by training ratings of the user and of the item, and of the calibration error."""
    ratings = [one.rating for one in evaluations if one.rating]
    means: dict[str, Any] = {}
    for key in ("by_user_ratings", "by_item_ratings"):
        parts = {name: [getattr(r, key)[name].rmse for r in ratings if name in getattr(r, key)] for name, _ in BUCKETS}
        means[f"rmse_{key}"] = {name: _mean(values) for name, values in parts.items()}
    return {**means, "calibration_error": _mean([r.calibration_error for r in ratings])}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def best_baselines(evaluations: Evaluations, baselines: Iterable[str]) -> list[str]:
    """The baseline with the lowest mean RMSE, then the one with the highest mean NDCG@10; one if they are the same."""
    spreads = {name: metrics_over_seeds(evaluations[name].values()) for name in baselines if name in evaluations}
    rmse = {name: s["rmse"].mean for name, s in spreads.items() if s["rmse"]}
    ndcg = {name: s["ndcg_at_10"].mean for name, s in spreads.items() if s["ndcg_at_10"]}
    best = [*sorted(rmse, key=rmse.__getitem__)[:1], *sorted(ndcg, key=ndcg.__getitem__, reverse=True)[:1]]
    return list(dict.fromkeys(best))


def describe_system(table: Mapping[str, Any], name: str) -> tuple[str, str | None, str | None]:
    """Label, published result and note of a system, from scripts/leaderboard.toml."""
    if name in table["baselines"]:
        return table["baselines"][name], None, "baseline, tuned on valid"
    entry = table["presets"].get(name, {})
    return entry.get("label", name), entry.get("published"), entry.get("note")


def _read_differences(work: Path, seed: int, baseline: str) -> dict[str, dict[str, Difference | None]]:
    """System -> metric -> its difference from a baseline on one seed."""
    file = seed_directory(work, seed) / "systems" / f"against_{baseline}.json"
    if not file.exists():
        return {}
    systems = Comparison.model_validate_json(file.read_text()).systems
    return {name: {"rmse": metrics.rmse, "ndcg_at_10": metrics.ndcg_at_10} for name, metrics in systems.items()}


def entries_over_seeds(work: Path, table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry per system that was evaluated over the seeds: baselines, then models, each by RMSE."""
    evaluations = read_evaluations(work)
    seed = lowest_seed(evaluations)
    manifest = read_manifest(seed_directory(work, seed) / "prepared")
    best = best_baselines(evaluations, table["baselines"])
    differences = {
        metric: (baseline[0], _read_differences(work, seed, baseline[0]))
        for metric, baseline in (("rmse", best[:1]), ("ndcg_at_10", best[-1:]))
        if baseline
    }
    entries = [_entry(name, by_seed, manifest, table, differences) for name, by_seed in evaluations.items()]
    correct_p_values(entries)
    return sorted(entries, key=lambda e: (e["kind"], e["rmse"] is None, e["rmse"] or -(e["ndcg_at_10"] or 0)))


def _entry(
    name: str,
    by_seed: Mapping[int, Evaluation],
    manifest: Manifest,
    table: Mapping[str, Any],
    differences: Mapping[str, tuple[str, Mapping[str, Mapping[str, Difference | None]]]],
) -> dict[str, Any]:
    """The entry of one system.

    Args:
        name: of the system.
        by_seed: seed -> its evaluation.
        manifest: of the prepared data of the lowest seed.
        table: content of scripts/leaderboard.toml.
        differences: metric -> the best baseline by it, and the differences of all systems from that.

    """
    label, published, note = describe_system(table, name)
    spreads = metrics_over_seeds(by_seed.values())
    rating = by_seed[min(by_seed)].rating
    return {
        "system": name,
        "label": label,
        "kind": "baseline" if name in table["baselines"] else "model",
        "split": describe_split(manifest),
        "seeds": sorted(by_seed),
        **{key: spread.mean if spread else None for key, spread in spreads.items()},
        **{f"{key}_sd": spread.sd if spread else None for key, spread in spreads.items()},
        **{f"{key}_of_seeds": _of_seeds(by_seed, key) for key in ("rmse", "ndcg_at_10")},
        **_by_experience(by_seed.values()),
        "rmse_against": _against("rmse", name, differences),
        "ndcg_at_10_against": _against("ndcg_at_10", name, differences),
        "published": published,
        "suspicion": _suspicions(manifest, rating.overall) if rating else [],
        "note": note,
    }


def correct_p_values(entries: Iterable[dict[str, Any]]) -> None:
    """Set `p_value_holm` of the differences from the best baselines: by each metric, over all systems."""
    for key in ("rmse_against", "ndcg_at_10_against"):
        compared = [e[key] for e in entries if e.get(key)]
        tested = [difference for difference in compared if difference["p_value"] is not None]
        corrected = holm([difference["p_value"] for difference in tested])
        for difference in compared:
            difference["p_value_holm"] = None
        for difference, p_value in zip(tested, corrected, strict=True):
            difference["p_value_holm"] = p_value


def _against(
    metric: str, name: str, differences: Mapping[str, tuple[str, Mapping[str, Mapping[str, Difference | None]]]]
) -> dict[str, Any] | None:
    """The difference from the best baseline by a metric, if there is one."""
    baseline, systems = differences.get(metric, ("", {}))
    difference = systems.get(name, {}).get(metric)
    return {"against": baseline, **difference.model_dump()} if difference else None


def _suspicions(manifest: Manifest, errors: ErrorMetrics) -> list[str]:
    """The reasons to suspect that these errors come from a leak."""
    if errors.rmse is None or errors.r2 is None:
        return []
    test = {"rmse": errors.rmse, "r2": errors.r2, "ratings": errors.ratings}
    return [s.why for s in suspicion(test, noise_rmse(manifest.ratings.scale), manifest.used_leaks)]


def describe_split(manifest: Manifest) -> str:
    """How the ratings are divided into splits, in words."""
    split = manifest.config["split"]
    parts = "/".join(f"{100 * split[name]:g}" for name in SPLITS)
    rows = sum(manifest.ratings.rows(name) for name in manifest.ratings.shards)
    with_zeros = manifest.config.get("ratings", {}).get("unscored") == "zero"
    what = "entries, those without a score as 0" if with_zeros else "ratings"
    return f"{split['kind']} {parts} of {rows:,} {what}"


def entries_as_published(work: Path, table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry per preset that was trained with the published sample, split and settings."""
    entries = []
    for file in sorted(work.glob("published/*/run/metrics.json")):
        name = file.parts[-3]
        metrics, manifest = json.loads(file.read_text()), read_manifest(file.parent.parent / "prepared")
        described = name if name in table["presets"] else name.removesuffix("_published")
        label, published, note = describe_system(table, described)
        said = table["presets"].get(described, {})
        bias = metrics["reference_models"]["bias"]
        reached = f"On that split biases have RMSE {bias['rmse']:.4f}, R2 {bias['r2']:.2f}."
        entries.append(
            {
                "system": name,
                "label": f"{label}, as published",
                "kind": "as published",
                "split": describe_split(manifest),
                "seeds": [metrics["train"]["seed"]],
                **{key: metrics["test"][key] for key in RATING_METRICS},
                **{key: metrics["ranking"].get("model", {}).get(key) for key in RANKING_METRICS[:3]},
                "published": published,
                "measured": said.get("measured"),
                "honest": said.get("honest", name.removesuffix("_published")),
                "suspicion": _suspicions(manifest, ErrorMetrics(**metrics["test"])),
                "note": f"{note or ''} {reached}".strip(),
            }
        )
    return entries


def over_seeds_only(entries: Iterable[E]) -> list[E]:
    """The entries of systems that were evaluated over the seeds."""
    return [e for e in entries if e["kind"] != "as published"]
