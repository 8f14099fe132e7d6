"""What prepare prints: rows read, refused and written, and the features that predict held-out ratings best."""

from widedeep.common.console import print_table, say
from widedeep.schema.manifest import SPLITS, Audit, AuditedFeature, Manifest
from widedeep.spark.preparation.leak_audit import most_predictive


def show_summary(manifest: Manifest, output: str) -> None:
    """Print what was read, refused and written."""
    print_table(f"prepared {output}", ("what", "count"), _counts(manifest))
    if manifest.config["ratings"]["unscored"] == "zero":
        say(
            f"WARNING: entries without a score count as ratings of {manifest.ratings.scale.lowest:g}: "
            "errors depend on predicting who gives a score, too"
        )
    used = manifest.used_leaks
    left_out = [name for name in manifest.leaks if name not in used]
    say(f"left out because they contain test ratings: {', '.join(left_out) or 'none'}")
    if used:
        say(f"WARNING: used although they contain test ratings: {', '.join(used)}")
    if manifest.audit:
        show_audit(manifest.audit)


def counts_of(manifest: Manifest) -> dict[str, int]:
    """Return the rows read, refused, left out and written: the first are the sum of the others, of each file."""
    ratings = manifest.ratings
    counts = {"ratings_read": ratings.read, "ratings_not_sampled": ratings.not_sampled}
    counts |= {f"ratings_{split}": ratings.rows(split) for split in SPLITS}
    counts["ratings_quarantined"] = sum(ratings.quarantined.values())
    counts |= {f"{file}_quarantined": sum(bad.values()) for file, bad in manifest.quarantined.items()}
    return counts | {"users": manifest.users.rows, "items": manifest.items.rows}


def _counts(manifest: Manifest) -> list[tuple[str, str]]:
    ratings = manifest.ratings
    rows = [("ratings read", ratings.read)]
    rows += [(f"  {split} ({len(ratings.shards[split])} shards)", ratings.rows(split)) for split in SPLITS]
    rows.append((f"  train by user ({len(ratings.by_user)} files)", sum(file.rows for file in ratings.by_user)))
    if ratings.not_sampled:
        rows.append(("  not sampled", ratings.not_sampled))
    for file, reasons in {"ratings": ratings.quarantined, **manifest.quarantined}.items():
        rows += [(f"  quarantined, {file}: {reason}", count) for reason, count in reasons.items()]
    rows += [(f"  of another encoding in part, {file}", count) for file, count in manifest.replaced.items() if count]
    rows += [("users", manifest.users.rows), ("items", manifest.items.rows)]
    return [(name, f"{count:,}") for name, count in rows]


def show_audit(audit: Audit) -> None:
    """Print how well the most predictive features alone predict held-out ratings."""
    columns = ("feature", "ratings in it", "R2 train", f"R2 {audit.split}", "slope", "sign of a leak")
    shown = most_predictive({"items": audit.items, "users": audit.users})
    title = f"one feature alone, fitted on train, measured on {audit.split}"
    print_table(title, columns, map(_audit_row, shown), text=columns[:2])
    say("slope: at most 1 for a feature without held-out ratings; manifest.json has all of them under audit")


def _audit_row(feature: AuditedFeature) -> tuple[str, ...]:
    name = f"{feature.table}: {feature.source if feature.ratings_in_it == 'all' else feature.name}"
    slope = "" if feature.slope is None else f"{feature.slope:.2f} ± {feature.slope_error:.2f}"
    scores = ("" if r2 is None else f"{r2:.3f}" for r2 in (feature.train_r2, feature.held_out_r2))
    left_out = "" if feature.used else " (left out)"
    return (name + left_out, feature.ratings_in_it, *scores, slope, "yes" if feature.leaks else "")
