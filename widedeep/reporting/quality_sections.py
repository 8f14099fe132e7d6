"""Write the sections on the gender of users and on the quality of the data: missing values, quarantine, leaks."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from widedeep.reporting import figures
from widedeep.reporting.figures import NOT_STATED
from widedeep.reporting.findings import MIN_RATINGS, Agreement, Findings, Prepared
from widedeep.reporting.panels import (
    MAX_VALUES,
    Panel,
    Section,
    count,
    highest,
    lowest,
    mean_as_text,
    near_one,
    percent,
    several,
)

AUDITED = ("items", "users")


def genders_section(findings: Findings) -> Section:
    """Return the section on the gender that users state."""
    genders = findings.genders
    stated = genders.dropna(subset="gender")
    if stated.empty:
        return Section("gender", "Gender of the users", "No user of this dump states a gender.")
    known = int(stated["users"].sum())
    parts = ", ".join(f"{percent(n / known)} {name}" for name, n in stated[["gender", "users"]].head(4).values)
    text = (
        f"{count(known)} of {several(findings.users, 'user')} ({percent(known / findings.users)}) state a gender: "
        f"{parts}. They wrote {percent(stated['ratings'].sum() / findings.ratings)} of the ratings."
    )
    rated = stated.dropna(subset="mean")
    if len(rated) > 1:
        best, worst = highest(rated, "mean"), lowest(rated, "mean")
        text += (
            f" The mean rating is highest for {best['gender']} ({best['mean']:.2f}) and lowest for "
            f"{worst['gender']} ({worst['mean']:.2f})."
        )
    shown = genders.head(MAX_VALUES)
    table = mean_as_text(shown).fillna({"gender": NOT_STATED})
    panels = (
        Panel("Users", table, figures.bars(shown["gender"], shown["users"], "users")),
        Panel("Ratings", table, figures.bars(shown["gender"], shown["ratings"], "ratings", figures.GREEN)),
        Panel("Mean rating", table, figures.means(shown["gender"], shown["mean"], findings.mean, "mean rating")),
    )
    return Section("gender", "Gender of the users", text, panels)


def missing_section(findings: Findings) -> Section:
    """Return the section on missing values: the share of rows without a value, for each column of each file."""
    text, panels = [], []
    for file, shares in findings.missing.items():
        some, empty = [c for c in shares if shares[c] > 0], [c for c in shares if shares[c] == 1]
        if some:
            most = max(some, key=shares.__getitem__)
            told = f"In the {file} file {len(some)} of {len(shares)} columns have missing values, most of all {most} "
            text.append(told + f"({percent(shares[most])})" + (f"; {len(empty)} without any value." if empty else "."))
        else:
            text.append(f"No value is missing in the {file} file.")
        table = pd.DataFrame({"column": list(shares), "missing": [percent(share) for share in shares.values()]})
        if some:
            figure = figures.bars(list(shares), shares.values(), "rows without a value", form=".2%")
            panels.append(Panel(f"The {file} file", table, figure))
    return Section("missing", "Missing values", " ".join(text), tuple(panels))


def quarantine_section(findings: Findings) -> Section:
    """Return the section on the rows that prepare refuses."""
    read, bad = sum(findings.rows.values()), _reasons(findings.refused)
    total = int(bad["rows"].sum())
    if total:
        worst = bad.iloc[0]
        text = (
            f"{several(total, 'row')} of {count(read)} ({percent(total / read)}) would be put into quarantine, most of "
            f"them ({count(worst['rows'])}) in the {worst['file']} file, as {worst['reason'].replace('_', ' ')}."
        )
    else:
        text = f"All {count(read)} rows are good: none would be put into quarantine."
    panels = []
    if total:
        names = bad["reason"].str.replace("_", " ")
        if bad["file"].nunique() > 1:
            names = bad["file"] + ": " + names
        panels.append(Panel("Refused rows by reason", bad, figures.bars(names, bad["rows"], "rows", figures.ORANGE)))
    if findings.prepared:
        text += " " + _prepared_quarantine(findings.prepared)
        if len(findings.prepared.examples):
            panels.append(Panel("What preparation put aside", findings.prepared.examples))
    return Section("quarantine", "Quarantine", text, tuple(panels))


def _reasons(refused: dict[str, dict[str, int]]) -> pd.DataFrame:
    rows = [(file, reason, n) for file, reasons in refused.items() for reason, n in reasons.items()]
    frame = pd.DataFrame(rows, columns=pd.Index(["file", "reason", "rows"]))
    return frame.sort_values("rows", ascending=False, kind="stable").reset_index(drop=True)


def _prepared_quarantine(prepared: Prepared) -> str:
    aside = sum(n for reasons in prepared.quarantined.values() for n in reasons.values())
    return (
        f"Preparation read {several(prepared.read, 'rating')} and put {several(aside, 'row')} of the three files "
        f"aside, in {prepared.directory}/quarantine."
    )


def leaks_section(findings: Findings) -> Section:
    """Return the section on columns that contain what a model has to predict."""
    text = [_agreed(agreement) for agreement in findings.agreements]
    text.append(
        "The site computes these columns from all ratings: a model that is given them is told part of what it is "
        "tested on."
    )
    panels = [
        Panel(
            f"{agreement.column} of the dump",
            agreement.bins.round(3),
            figures.agreement_line(agreement.bins, agreement.column),
        )
        for agreement in findings.agreements
        if len(agreement.bins)
    ]
    if findings.prepared:
        leaks = findings.prepared.leaks
        used = [name for name, leak in leaks.items() if leak.get("used")]
        left_out = [name for name in leaks if name not in used]
        text.append(f"Preparation left out {_and(left_out)}" + (f" and used {_and(used)}." if used else "."))
        rows = [{"column": name, **{key: _cell(value) for key, value in leak.items()}} for name, leak in leaks.items()]
        panels.append(Panel("What preparation did with the columns", pd.DataFrame(rows)))
        audit = findings.prepared.audit or {}
        text += _signs(audit)
        panels += [Panel(title, table) for title, table in audit_tables(audit)]
    return Section("leaks", "Leaks", " ".join(text), tuple(panels))


def _agreed(agreement: Agreement) -> str:
    if not agreement.entities or agreement.difference is None:
        return f"No {agreement.of} with at least {MIN_RATINGS} ratings state a {agreement.column}."
    correlation = f"a correlation of {near_one(agreement.correlation)} and " if agreement.correlation else ""
    return (
        f"{agreement.column} goes with the mean of the ratings in this dump with {correlation}a typical difference of "
        f"{agreement.difference:.2g} ({count(agreement.entities)} {agreement.of} with at least {MIN_RATINGS} ratings)."
    )


def _and(names: list[str]) -> str:
    return ", ".join(names) or "no column"


def audit_tables(audit: Mapping[str, Any]) -> list[tuple[str, pd.DataFrame]]:
    """Return titles and tables of the audited features, in the order of prepare; empty if nothing was audited."""
    return [
        (
            f"Audit of the {part}: each feature alone, on the {audit.get('split', 'held-out')} ratings",
            pd.DataFrame(
                [{name.replace("_", " "): _cell(value) for name, value in row.items()} for row in audit[part]]
            ),
        )
        for part in AUDITED
        if audit.get(part)
    ]


def _signs(audit: Mapping[str, Any]) -> list[str]:
    """Return a sentence on the features that show signs of held-out ratings; empty if nothing was audited."""
    rows = [row for part in AUDITED for row in audit.get(part) or ()]
    if not rows:
        return []
    seen = [row.get("source") or row["name"] for row in rows if row.get("leaks")]
    return [f"Of {len(rows)} features audited, these show signs of held-out ratings: {', '.join(seen) or 'none'}."]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
