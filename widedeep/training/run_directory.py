"""The directory of a training run, and the identity that tells whether a command continues that run."""

import json
import shutil
from pathlib import Path
from typing import Any

from widedeep.common.errors import InputError
from widedeep.common.files import write_atomically
from widedeep.models.artifact import MODEL_FILE
from widedeep.parallel.world import World
from widedeep.schema.manifest import Manifest
from widedeep.schema.records import Record
from widedeep.training.checkpoints import CHECKPOINTS
from widedeep.training.metrics_file import METRICS_FILE
from widedeep.training.settings import TrainConfig
from widedeep.training.tracking import CURVE_FILE, TENSORBOARD

IDENTITY_FILE = "run.json"
# Settings that may differ when a run is resumed, because they do not change what it learns.
RESUMABLE_CHANGES = dict.fromkeys(
    ("data", "run_dir", "resume", "device", "eval_batch_size", "checkpoint_seconds", "keep_checkpoints"), True
) | {"loader": {"reader"}}
# How error messages name a field of the identity that is not a setting.
DIFFERENCE_NAMES = {".ranks": "the number of ranks, as each holds a part of the tables"}


class RunIdentity(Record):
    """What must not change when a run is resumed."""

    config: dict[str, Any]
    manifest_digest: str
    ranks: int | None  # None if the run can be resumed by any number of ranks


def run_identity(config: TrainConfig, manifest: Manifest, world: World) -> RunIdentity:
    """Return the identity of a run. Only a run with sharded tables is bound to its number of ranks."""
    return RunIdentity(
        config=config.model_dump(mode="json", exclude=RESUMABLE_CHANGES),
        manifest_digest=manifest.digest,
        ranks=world.size if config.embedding.sharding == "row" else None,
    )


def claim_run_directory(run: Path, identity: RunIdentity, start_anew: bool, world: World) -> None:
    """Create a run's directory, or check that it belongs to the same run. Rank 0 does it, and all ranks raise.

    Args:
        run: the directory.
        identity: of the run that is starting or resuming.
        start_anew: delete an earlier run in the directory first.
        world: all ranks.

    Raises:
        InputError: the directory holds another run or other files.

    """
    refusal = None
    if world.is_main:
        try:
            if start_anew and (run / IDENTITY_FILE).exists():
                _remove_run(run)
            else:
                _check_run_directory(run, identity)
            run.mkdir(parents=True, exist_ok=True)
            write_atomically(run / IDENTITY_FILE, identity.model_dump_json(indent=1).encode())
        except InputError as error:
            refusal = str(error)
    refusal = world.broadcast(refusal)
    if refusal:
        raise InputError(refusal)


def _remove_run(run: Path) -> None:
    for name in (CHECKPOINTS, TENSORBOARD):
        shutil.rmtree(run / name, ignore_errors=True)
    for name in (METRICS_FILE, CURVE_FILE, MODEL_FILE, IDENTITY_FILE):
        (run / name).unlink(missing_ok=True)


def _check_run_directory(run: Path, identity: RunIdentity) -> None:
    """Raise InputError if the directory holds another run, or files without a run."""
    file = run / IDENTITY_FILE
    if file.exists():
        different = differences(json.loads(file.read_text()), identity.model_dump(mode="json"))
        if different:
            raise InputError(
                f"{run} holds a run that differs in {different}: "
                "choose another --run-dir, or start it anew with --resume never"
            )
    elif run.exists() and any(run.iterdir()):
        raise InputError(f"{run} holds files but no {IDENTITY_FILE}, so it is not a run: choose another --run-dir")


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """List the settings in which two identities differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [d for key in sorted({*old, *new}) for d in differences(old.get(key), new.get(key), f"{path}.{key}")]
    name = DIFFERENCE_NAMES.get(path, path.removeprefix(".config").lstrip("."))
    return [] if old == new else [f"{name} ({old} there, {new} now)"]
