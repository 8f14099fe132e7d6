"""The directory of a training run: who may use it, and which command continues the run in it."""

import shutil
from pathlib import Path

from pydantic import ValidationError

from widedeep.common.errors import InputError, WriteError
from widedeep.common.files import refusals_named, write_atomically
from widedeep.common.lock import Lock
from widedeep.models.artifact import MODEL_FILE
from widedeep.parallel.world import World
from widedeep.schema.manifest import CARD_FILE
from widedeep.schema.run_report import REPORT_FILE, REPORT_PAGE
from widedeep.training.checkpoints import CHECKPOINTS
from widedeep.training.metrics_file import METRICS_FILE
from widedeep.training.run_identity import RunIdentity
from widedeep.training.tracking import CURVE_FILE, MLFLOW, TENSORBOARD

IDENTITY_FILE, LOCK_FILE = "run.json", ".lock"


def claim_run_directory(run: Path, identity: RunIdentity, start_anew: bool, world: World) -> Lock | None:
    """Take a run's directory: create it, or check that it belongs to the same run. Rank 0 does it, and all ranks raise.

    Args:
        run: the directory.
        identity: of the run that is starting or resuming.
        start_anew: delete an earlier run in the directory first.
        world: all ranks.

    Returns:
        the lock that keeps other commands out; None on ranks other than 0.

    Raises:
        InputError: the directory holds another run or other files, another command is using it, or not all ranks see
            it.
        WriteError: nothing can be written there.

    """
    lock, refused = None, None
    if world.is_main:
        try:
            with refusals_named(f"run directory {run}", "choose another --run-dir"):
                lock = _claim(run, identity, start_anew)
        except (InputError, WriteError) as error:
            refused = error
    refused = world.broadcast(refused)
    if refused:
        raise refused
    _require_shared(run, identity, world)
    return lock


def check_run_directory(run: Path, identity: RunIdentity, start_anew: bool) -> None:
    """Raise InputError if the directory holds other files, or another run that is not to be deleted."""
    if not (run / IDENTITY_FILE).exists():
        _require_empty(run)
    elif not start_anew:
        _require_same_run(run, identity)


def _claim(run: Path, identity: RunIdentity, start_anew: bool) -> Lock:
    if not (run / IDENTITY_FILE).exists():
        _require_empty(run)
    run.mkdir(parents=True, exist_ok=True)
    lock = Lock(run / LOCK_FILE, str(run), "wait for it to end, or choose another --run-dir")
    try:
        check_run_directory(run, identity, start_anew)
        if start_anew:
            _remove_run(run)
        write_atomically(run / IDENTITY_FILE, _as_text(identity).encode())
    except BaseException:
        lock.close()
        raise
    return lock


def _as_text(identity: RunIdentity) -> str:
    return identity.model_dump_json(indent=1)


def _require_empty(run: Path) -> None:
    # Hidden files are what file managers leave, and our own drafts and lock. Disks have a lost+found.
    names = [path.name for path in run.iterdir()] if run.exists() else []
    others = [name for name in names if not name.startswith(".") and name != "lost+found"]
    if others:
        raise InputError(
            f"{run} holds files but no {IDENTITY_FILE}, so it is not a run (first: {min(others)}): "
            "choose another --run-dir"
        )


def _require_same_run(run: Path, identity: RunIdentity) -> None:
    file = run / IDENTITY_FILE
    try:
        there = RunIdentity.model_validate_json(file.read_bytes())
    except ValidationError:
        raise InputError(
            f"{file} is damaged or of another release: choose another --run-dir, or start it anew with --resume never"
        ) from None
    different = there.differences(identity)
    if different:
        raise InputError(
            f"{run} holds a run that differs in {different}: "
            "choose another --run-dir, or start it anew with --resume never"
        )


def _require_shared(run: Path, identity: RunIdentity, world: World) -> None:
    """Raise InputError on all ranks if one of them does not see what rank 0 wrote."""
    file = run / IDENTITY_FILE
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    missing = [rank for rank, seen in enumerate(world.gather(text == _as_text(identity))) if not seen]
    if missing:
        raise InputError(
            f"rank {missing[0]} does not see {file}, which rank 0 wrote: --run-dir must be a directory that all nodes "
            "share"
        )


def _remove_run(run: Path) -> None:
    for name in (CHECKPOINTS, TENSORBOARD, MLFLOW):
        shutil.rmtree(run / name, ignore_errors=True)
    for name in (METRICS_FILE, CURVE_FILE, MODEL_FILE, REPORT_FILE, REPORT_PAGE, CARD_FILE, IDENTITY_FILE):
        (run / name).unlink(missing_ok=True)
