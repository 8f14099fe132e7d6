"""Write the model card: what a trained model is for, how good it is and how to load it. It names no user.

It begins with the front matter that the Hugging Face Hub reads: https://huggingface.co/docs/hub/model-cards.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from widedeep.reporting.markdown import code, document, table
from widedeep.reporting.run_report import METRICS, digits
from widedeep.schema.evaluation import ErrorMetrics
from widedeep.schema.manifest import Manifest
from widedeep.schema.run_report import RunReport


def model_card(report: RunReport, manifest: Manifest) -> str:
    """Return the model card of a finished run, as Markdown.

    Args:
        report: of the run.
        manifest: of the data that it was trained on.

    """
    sections = (
        ("Quality", _quality(report)),
        ("Intended use", _use(report)),
        ("Limits", _limits(report, manifest)),
        ("How to load it", _loading()),
        ("Training", _training(report, manifest)),
    )
    return f"---\n{as_yaml(front_matter(report))}\n---\n\n{document(_head(report), sections)}"


def front_matter(report: RunReport) -> dict[str, Any]:
    """Return what the Hub reads of a model card, with the test metrics as its `model-index`."""
    model = report.systems[0]
    values = {metric: getattr(model, metric) for metric in METRICS}
    metrics = [
        {"type": metric, "name": METRICS[metric], "value": round(value, 6)}
        for metric, value in values.items()
        if value is not None
    ]
    result = {
        "task": {"type": "recommendation", "name": "Recommendation"},
        "dataset": {"type": report.dataset, "name": report.dataset, "split": "test", "revision": report.data_digest},
        "metrics": metrics,
    }
    return {
        "license": "other",  # the code is under MIT, but the weights are made of ratings with terms of their own
        "license_name": "terms-of-the-ratings",
        "library_name": "widedeep",
        "tags": ["recommender-system", "collaborative-filtering", "pytorch", "safetensors", report.model],
        "model-index": [{"name": report.run, "results": [result] if metrics else []}],
    }


def as_yaml(value: Mapping[str, Any] | Sequence[Any], indent: str = "") -> str:
    """Return nested mappings and lists as YAML; single values are written as JSON, which YAML contains."""
    items = value.items() if isinstance(value, Mapping) else (("-", item) for item in value)
    lines = []
    for key, item in items:
        name = key if key == "-" else f"{key}:"
        if isinstance(item, Mapping | list) and item:
            lines += [f"{indent}{name}", as_yaml(item, indent + "  ")]
        else:
            lines.append(f"{indent}{name} {json.dumps(item, ensure_ascii=False)}")
    return "\n".join(lines)


def _head(report: RunReport) -> str:
    return (
        f"# {code(report.run)}: {code(report.model)} on {code(report.dataset)}\n\n"
        "A recommender that was trained with widedeep on "
        f"{report.ratings['train'] + (report.ratings['valid'] if report.refit else 0):,} ratings. "
        + ("It ranks items for users and predicts their ratings." if _rates(report) else "It ranks items for users.")
    )


def _rates(report: RunReport) -> bool:
    return report.systems[0].rmse is not None


def _quality(report: RunReport) -> str:
    rows = ((system.name, *(digits(getattr(system, metric)) for metric in METRICS)) for system in report.systems)
    text = "On the test split, which neither the model nor its features have seen, beside reference models."
    if report.ranking_users:
        text += f" Lists are of items that a user has not rated; those of {report.ranking_users:,} users were judged."
    parts = [text, table(("", *METRICS.values()), rows)]
    if report.rating is not None:
        parts.append("RMSE by how much is known of the user and of the item:")
        parts += [
            _by_known("user", report.rating.by_user_ratings),
            _by_known("item", report.rating.by_item_ratings),
        ]
    return "\n\n".join(parts)


def _by_known(side: str, errors: Mapping[str, ErrorMetrics]) -> str:
    headings = (f"training ratings of the {side}", "test ratings", "RMSE")
    return table(headings, ((name, error.ratings, digits(error.rmse)) for name, error in errors.items()))


def _use(report: RunReport) -> str:
    rate = " and to predict how somebody would rate an item" if _rates(report) else ""
    return (
        f"To recommend items of {code(report.dataset)} to the users of these data{rate}, and to find similar items. It "
        "was not made to decide about people, nor to learn who they are."
    )


def _limits(report: RunReport, manifest: Manifest) -> str:
    limits = [
        "It knows the items of its data alone; items and tastes of later days are not in it.",
        "It knows less of users and items with few ratings than of others: see the tables above.",
        "The metrics are of one split and one seed, so they have an error that a single run cannot tell.",
        "People choose what they rate: errors on their ratings say little of items that they would never choose.",
        "`model.safetensors` has the identifiers of the users and what was learnt of their tastes: who publishes it "
        "publishes these, too.",
    ]
    if manifest.used_leaks:
        named = ", ".join(map(code, manifest.used_leaks))
        limits.insert(0, f"**The errors are too low**: features were computed from held-out ratings ({named}).")
    if manifest.ratings.scale.implicit:
        limits.append("The data have no ratings, so the model cannot tell what people liked from what they tried.")
    if report.refit:
        limits.append("It has learnt from train and valid, so there are no metrics of valid.")
    return "\n".join(f"- {limit}" for limit in limits)


def _loading() -> str:
    return (
        "```python\nimport widedeep\n\n"
        'model = widedeep.load("RUN", data="PREPARED")  # this directory, and the data of the digest below\n'
        "model.recommend(user_id=USER, n=10)\nmodel.similar(ITEM, n=10)\n```"
    )


def _training(report: RunReport, manifest: Manifest) -> str:
    seconds = sum(part.seconds for part in report.time)
    split = manifest.split
    rows = (
        ("data set", code(report.dataset)),
        ("digest of the data", code(report.data_digest)),
        ("split", f"{code(split['kind'])} with the seed {split['seed']}"),
        *((f"ratings of {name}", f"{number:,}") for name, number in report.ratings.items()),
        ("refit on train and valid", "yes" if report.refit else "no"),
        ("epochs", f"{len(report.epochs)}, the best one is {report.best_epoch}"),
        ("time", f"{seconds:,.0f} s with {report.ranks} rank(s) on {report.device}"),
    )
    return table(("", ""), rows) + "\n\n`run.json` has all settings, `report.json` and `report.html` the whole report."
