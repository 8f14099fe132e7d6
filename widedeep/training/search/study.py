"""A search: trainings with different settings, of which Optuna chooses the next by the valid metrics of those before.

STUDY/study.db         all trials, as Optuna stores them; running the command again continues from here
STUDY/trial-0000/      the run of a trial; it never computes test metrics
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from widedeep.common.console import log
from widedeep.common.errors import DivergedError, InputError, Stopped
from widedeep.common.lock import Lock
from widedeep.models.artifact import MODEL_FILE
from widedeep.parallel.world import World
from widedeep.schema.manifest import Manifest, read_manifest
from widedeep.training.checkpoints import CHECKPOINTS
from widedeep.training.run import TrainingRun
from widedeep.training.run_identity import differences, run_identity
from widedeep.training.search.space import Space, read_space, value_of, with_values
from widedeep.training.settings import SearchConfig, TrainConfig
from widedeep.training.tracking import require_boards

STUDY_FILE, LOCK_FILE = "study.db", "lock"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
# Before this many trials are complete, and in this many epochs of a trial, nothing is pruned.
TRIALS_BEFORE_PRUNING, EPOCHS_BEFORE_PRUNING = 5, 2
# Attributes of trials.
RUN, INTERRUPTED, REASON, OUTCOME = "run", "interrupted", "reason", "outcome"


class Search(NamedTuple):
    """What the trials of a search have in common."""

    config: SearchConfig
    base: TrainConfig  # the settings of a trial, without its own values and its directory
    space: Space
    manifest: Manifest
    world: World


def prepare_search(config: SearchConfig, world: World) -> Search:
    """Check what the trials need before the first one starts.

    Raises:
        InputError: the space is wrong, or the valid split cannot tell trials apart.

    """
    require_boards(config.track)
    # A search goes on by itself: what an earlier run of a trial has left is always continued.
    given = config.model_dump(include=set(TrainConfig.model_fields))
    base = TrainConfig.model_validate(given | {"select_by": config.objective, "resume": "auto"})
    manifest = read_manifest(config.data)
    if not manifest.ratings.rows("valid"):
        raise InputError(
            f"{config.data} has no valid ratings, by which trials are compared: prepare it with a valid split"
        )
    if config.refit:
        raise InputError("refit: a search compares trials by the valid split: refit with its result instead")
    if config.objective != "rmse" and not config.ranking_users:
        raise InputError(f"ranking_users: objective {config.objective} needs users to rank for: give more than 0")
    return Search(config, base, read_space(config.space, base), manifest, world)


@contextmanager
def open_study(search: Search) -> Iterator[optuna.Study]:
    """Open or create the study in its directory, for this process alone.

    Raises:
        InputError: another process has it open, or it is of a search with other settings.

    """
    directory, config = search.config.study, search.config
    directory.mkdir(parents=True, exist_ok=True)
    with Lock(directory / LOCK_FILE, str(directory), "wait for it to end, or choose another --study"):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # The connection is made by the path, because a URL cannot hold every path.
        connect = {"creator": lambda: sqlite3.connect(directory / STUDY_FILE, timeout=60, check_same_thread=False)}
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs=connect)
        study = optuna.create_study(
            study_name="search",
            storage=storage,
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, EPOCHS_BEFORE_PRUNING)
            if config.prune
            else optuna.pruners.NopPruner(),
        )
        # A sampler of the same seed would begin again with the values that it chose before.
        study.sampler = optuna.samplers.TPESampler(seed=config.seed + len(study.trials))
        _check_identity(study, search)
        yield study


def _check_identity(study: optuna.Study, search: Search) -> None:
    identity = run_identity(search.base, search.manifest).model_dump(mode="json")
    identity["space"] = {setting: values.model_dump(mode="json") for setting, values in search.space.items()}
    stored = study.user_attrs.get("identity")
    if stored is None:
        study.set_user_attr("identity", identity)
    elif different := differences(stored, identity):
        raise InputError(f"{search.config.study} holds a search that differs in {different}: choose another --study")


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were run to their end or pruned."""
    return study.get_trials(deepcopy=False, states=FINISHED)


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """Return the complete trial with the lowest value, None if there is none."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return min(complete, key=lambda trial: trial.values[0], default=None)


def run_name(trial: FrozenTrial | optuna.Trial) -> str:
    """Return the name of a trial's run directory; a trial that takes up an interrupted one has that one's."""
    return trial.user_attrs.get(RUN, f"trial-{trial.number:04d}")


def run_trials(search: Search, study: optuna.Study, after_trial: Callable[[], None]) -> None:
    """Run trials until there are as many as wanted, or the time is over; `after_trial` is called after each."""
    config = search.config
    _queue_interrupted(study)
    if not study.trials:
        _queue_given_settings(search, study)
    remaining = config.trials - len(finished_trials(study))
    if remaining <= 0:
        log.info("%s has %d trials already: give more --trials to go on", config.study, config.trials)
        return

    def on_end(study: optuna.Study, trial: FrozenTrial) -> None:
        _log_end(study, trial)
        _delete_worse(config.study, study)
        after_trial()

    seconds = None if config.hours is None else 3600 * config.hours
    study.optimize(lambda trial: run_trial(search, trial), remaining, seconds, gc_after_trial=True, callbacks=[on_end])


def _queue_interrupted(study: optuna.Study) -> None:
    """Let trials that were killed or interrupted come first: their runs go on from their checkpoints."""
    newest = {run_name(trial): trial for trial in study.trials}
    for run, trial in newest.items():
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.state == TrialState.RUNNING or (trial.state == TrialState.FAIL and trial.user_attrs.get(INTERRUPTED)):
            study.enqueue_trial(trial.params, user_attrs={RUN: run})


def _queue_given_settings(search: Search, study: optuna.Study) -> None:
    """Let the first trial have the settings that were given, to compare all others with, if they are in the space."""
    given = {setting: value_of(search.base, setting) for setting in search.space}
    outside = [setting for setting, value in given.items() if not search.space[setting].has(value)]
    if outside:
        log.info("the given settings are no trial: %s is outside of the space", ", ".join(outside))
    else:
        study.enqueue_trial(given)


def run_trial(search: Search, trial: optuna.Trial) -> float:
    """Train with the trial's values, and return the value of the best epoch by the valid split; lower is better.

    Raises:
        TrialPruned: the trial is worse than others, diverged, or cannot be trained.

    """
    values = {setting: of_setting.suggest(trial, setting) for setting, of_setting in search.space.items()}
    number = len(finished_trials(trial.study)) + 1
    log.info("trial %d/%d (%s): %s", number, search.config.trials, run_name(trial), show_values(values))

    def on_epoch(epoch: int, value: float) -> None:
        trial.report(value, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned(f"after {epoch + 1} epochs it is worse than half of the other trials")

    try:
        config = with_values(search.base, values | {"run_dir": search.config.study / run_name(trial)})
        run = TrainingRun(config, search.world)
        try:
            run.resume()
            run.train(on_epoch)
        finally:
            run.close()
            trial.set_user_attr(OUTCOME, _outcome(run))
    except (optuna.TrialPruned, ValidationError, DivergedError, torch.OutOfMemoryError) as error:
        trial.set_user_attr(REASON, str(error).splitlines()[0])
        raise optuna.TrialPruned from error
    except Stopped:
        trial.set_user_attr(INTERRUPTED, True)
        raise
    except BaseException as error:
        if _is_interrupt(error):
            trial.set_user_attr(INTERRUPTED, True)
            raise KeyboardInterrupt from error
        raise
    return run.state.progress.best_value


def _is_interrupt(error: BaseException | None) -> bool:
    """Return whether an exception comes from Ctrl-C; if that hits torch.save, an error of its file follows."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _outcome(run: TrainingRun) -> dict[str, Any]:
    progress = run.state.progress
    return {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch + 1,
        "valid": dict(progress.valid),
        "seconds": progress.seconds,
        "seed": run.config.seed,
    }


def show_values(values: dict[str, Any]) -> str:
    """Return the values of a trial as text."""
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )


def _log_end(study: optuna.Study, trial: FrozenTrial) -> None:
    best = best_trial(study)
    said = f"{trial.values[0]:.4f}" if trial.values else f"pruned: {trial.user_attrs.get(REASON)}"
    log.info("%s: %s%s", run_name(trial), said, f"; best: {best.values[0]:.4f} of {run_name(best)}" if best else "")


def _delete_worse(directory: Path, study: optuna.Study) -> None:
    """Delete models and checkpoints of all finished trials but the best, which would fill the disk."""
    best = best_trial(study)
    kept = run_name(best) if best else None
    for run in {run_name(trial) for trial in finished_trials(study)} - {kept}:
        shutil.rmtree(directory / run / CHECKPOINTS, ignore_errors=True)
        (directory / run / MODEL_FILE).unlink(missing_ok=True)
