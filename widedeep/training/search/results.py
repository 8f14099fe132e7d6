"""What a search found: a table, `summary.json`, and `best.toml`, a preset of the best trial."""

import json
import platform
from importlib.metadata import version
from typing import Any

import optuna
import tomli_w
from optuna.trial import FrozenTrial

from widedeep.common.console import print_table, say
from widedeep.common.files import write_atomically
from widedeep.training.run_identity import RESUMABLE_CHANGES
from widedeep.training.search.space import with_values
from widedeep.training.search.study import OUTCOME, REASON, Search, best_trial, finished_trials, run_name, show_values

BEST_FILE, SUMMARY_FILE = "best.toml", "summary.json"
SHOWN = 10  # trials in the table


def write_results(search: Search, study: optuna.Study) -> None:
    """Write summary.json and, if a trial is complete, best.toml."""
    directory, best = search.config.study, best_trial(study)
    write_atomically(directory / SUMMARY_FILE, json.dumps(summary(search, study), indent=1).encode())
    if best:
        write_atomically(directory / BEST_FILE, preset_of(search, best).encode())


def summary(search: Search, study: optuna.Study) -> dict[str, Any]:
    """Return all that is known of the finished trials, for JSON."""
    best = best_trial(study)
    return {
        "objective": search.config.objective,
        "data": str(search.config.data),
        "data_digest": search.manifest.digest,
        "seed": search.config.seed,
        "versions": {name: version(name) for name in ("widedeep", "torch", "optuna")}
        | {"python": platform.python_version()},
        "best": run_name(best) if best else None,
        "trials": [
            {
                "run": run_name(trial),
                "state": trial.state.name.lower(),
                "value": trial.values[0] if trial.values else None,
                "settings": trial.params,
                "reason": trial.user_attrs.get(REASON),
                **trial.user_attrs.get(OUTCOME, {}),
            }
            for trial in finished_trials(study)
        ],
    }


def preset_of(search: Search, trial: FrozenTrial) -> str:
    """Return the settings of a trial as a preset: what differs from the defaults, but data and directories."""
    config = with_values(search.base, trial.params)
    settings = config.model_dump(mode="json", exclude_defaults=True, exclude=RESUMABLE_CHANGES)
    settings["model"] = {"name": config.model.name, **settings.get("model", {})}
    head = (
        f"{run_name(trial)} of widedeep search, the best of {search.config.trials} trials by {search.config.objective}"
    )
    return f"# {head}: {trial.values[0]:.4f} on valid.\n{tomli_w.dumps(_as_toml(settings))}"


def _as_toml(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without empty sections and without None, which TOML cannot write."""
    written = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            value = _as_toml(value)
        elif value is None:
            value = "none"
        if value != {}:
            written[name] = value
    return written


def show_results(search: Search, study: optuna.Study) -> None:
    """Print the best trials and where the preset is."""
    trials = sorted((t for t in finished_trials(study) if t.values), key=lambda trial: trial.values[0])
    columns = ("run", "value", "RMSE", "NDCG@10", "epoch", "settings")
    rows = [
        (
            run_name(trial),
            f"{trial.values[0]:.4f}",
            *(f"{outcome['valid'][name]:.4f}" if name in outcome["valid"] else "" for name in ("rmse", "ndcg_at_10")),
            outcome["best_epoch"],
            show_values(trial.params),
        )
        for trial in trials[:SHOWN]
        for outcome in [trial.user_attrs[OUTCOME]]
    ]
    title = (
        f"best of {len(finished_trials(study))} trials by {search.config.objective} on valid; lower values are better"
    )
    print_table(title, columns, rows, text=("run", "settings"))
    if trials:
        say(f"train the best: widedeep train --config {search.config.study / BEST_FILE}")
