"""Write the data card: what a prepared directory holds, for people. It follows from the manifest and names no user."""

import json
from itertools import chain

from widedeep.reporting.markdown import code, document, table
from widedeep.schema.manifest import SPLITS, Audit, Column, DataFile, Manifest, Table


def data_card(manifest: Manifest) -> str:
    """Return the data card of a prepared directory, as Markdown."""
    sections = (
        ("Files", _files(manifest)),
        ("Splits", _splits(manifest)),
        ("Columns of the users", _columns(manifest.users)),
        ("Columns of the items", _columns(manifest.items)),
        ("Features that leak", _leaks(manifest)),
        ("Audit of the features", _audit(manifest.audit)),
        ("Quarantine", _quarantine(manifest)),
        ("Settings", f"```json\n{json.dumps(manifest.config, indent=1)}\n```"),
        ("Digest", _digest(manifest)),
    )
    return document(_head(manifest), sections)


def _head(manifest: Manifest) -> str:
    ratings, scale = manifest.ratings, manifest.ratings.scale
    total = sum(ratings.rows(split) for split in SPLITS)
    values = (
        "All are 1: a user has had to do with an item."
        if scale.implicit
        else (
            f"They go from {scale.lowest:g} to {scale.highest:g} in steps of {scale.step:g}; {scale.liked:g} or more "
            f"counts as liked. The mean of the training ratings is {ratings.train_mean:.4f}."
        )
    )
    return (
        f"# Prepared ratings of {code(manifest.dataset.name)}\n\n"
        f"{total:,} ratings of {manifest.items.rows:,} items by {manifest.users.rows:,} users, checked, encoded and "
        f"divided into train, valid and test by `jobs/prepare.py` of widedeep, which also wrote this card. {values}"
    )


def _files(manifest: Manifest) -> str:
    def row(name: str, files: tuple[DataFile, ...], content: str) -> tuple[object, ...]:
        return code(name), len(files), sum(file.rows for file in files), content

    shards = manifest.ratings.shards
    rating = "`user` int32, `item` int32, `rating` float32"
    rows = [row(f"ratings/split={split}/", shards[split], rating) for split in SPLITS]
    rows.append(row("by_user/", manifest.ratings.by_user, "the ratings of train once more, each user's in one file"))
    for name, part in (("users/", manifest.users), ("items/", manifest.items)):
        rows.append(row(name, part.files, f"a row of features for each {name[:-2]} index"))
    rest = "`quarantine/` has the refused rows, `manifest.json` all that was counted and fitted."
    return f"{table(('directory', 'files', 'rows', 'content'), rows)}\n\nAll are Parquet. {rest}"


def _splits(manifest: Manifest) -> str:
    rows = {split: manifest.ratings.rows(split) for split in SPLITS}
    total = max(1, sum(rows.values()))
    shares = table(("split", "ratings", "share"), ((split, n, f"{n / total:.1%}") for split, n in rows.items()))
    kind, seed = manifest.split["kind"], manifest.split["seed"]
    return f"Divided by the kind {code(kind)} with the seed {seed}.\n\n{shares}"


def _columns(part: Table) -> str:
    def values(column: Column) -> int | None:
        return len(part.vocabularies[column.name]) if column.name in part.vocabularies else None

    rows = (
        (code(c.name), c.kind.replace("_", "-"), code(c.source or ""), c.ratings_in_it, values(c)) for c in part.columns
    )
    return table(("column", "kind", "from the column", "ratings in it", "values, with unknown and other"), rows)


def _leaks(manifest: Manifest) -> str:
    if not manifest.leaks:
        return "The description of the data set names no column that is computed from held-out ratings."
    rows = (
        (code(column), leak["file"], "**used all the same**" if leak["used"] else "left out", leak["why"])
        for column, leak in manifest.leaks.items()
    )
    return table(("column", "file", "", "why"), rows)


def _audit(audit: Audit | None) -> str:
    if audit is None:
        return "No feature was audited: it was not asked for, or no rating is held out."
    rows = (
        (
            f.table,
            code(f.name),
            _digits(f.train_r2),
            _digits(f.held_out_r2),
            _digits(f.slope),
            *_verdict(f.used, f.leaks),
        )
        for f in chain(audit.items, audit.users)
    )
    text = (
        f"Each feature alone, fitted on train and measured on {audit.split}. A slope of more than 1 is the sign of a "
        "feature that was computed from held-out ratings."
    )
    headings = ("table", "feature", "R2 on train", f"R2 on {audit.split}", "slope", "used", "sign of a leak")
    return f"{text}\n\n{table(headings, rows)}"


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _verdict(used: bool, leaks: bool) -> tuple[str, str]:
    return "yes" if used else "left out", "yes" if leaks else ""


def _quarantine(manifest: Manifest) -> str:
    ratings = manifest.ratings
    refused = {"ratings": ratings.quarantined, **manifest.quarantined}
    rows = [(file, code(reason), count) for file, reasons in refused.items() for reason, count in reasons.items()]
    sampled = f" {ratings.not_sampled:,} good ones were not sampled." if ratings.not_sampled else ""
    text = f"{ratings.read:,} ratings were read.{sampled}"
    if not rows:
        return f"{text} No row was refused."
    return f"{text} These rows were refused:\n\n{table(('file', 'reason', 'rows'), rows)}"


def _digest(manifest: Manifest) -> str:
    read = table(
        ("input", "file", "bytes"),
        ((kind, code(facts.get("name", "")), facts.get("bytes")) for kind, facts in manifest.inputs.items()),
    )
    same = "Two directories with this digest have the same rows; this card is not part of it."
    return f"{code(manifest.digest)}\n\n{same}" + (f"\n\nIt was made of:\n\n{read}" if manifest.inputs else "")
