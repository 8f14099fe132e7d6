"""What makes two commands the same run: a checkpoint of another run is no place to go on from."""

from typing import Any

from widedeep.schema.manifest import Manifest
from widedeep.schema.records import Record
from widedeep.training.settings import TrainConfig

# Settings that may differ when a run is resumed, because they do not change what it learns.
RESUMABLE_CHANGES = dict.fromkeys(
    (
        *("data", "run_dir", "resume", "device", "eval_batch_size"),
        *("timeout_seconds", "checkpoint_seconds", "keep_checkpoints", "track", "track_steps", "report"),
    ),
    True,
) | {"loader": {"reader", "verify"}}


class RunIdentity(Record):
    """What must not change when a run is resumed."""

    config: dict[str, Any]
    manifest_digest: str

    def differences(self, other: "RunIdentity") -> list[str]:
        """List the settings in which another identity differs; see `differences`."""
        return differences(self.model_dump(mode="json"), other.model_dump(mode="json"))


def run_identity(config: TrainConfig, manifest: Manifest) -> RunIdentity:
    """Return the identity of a run."""
    settings = config.model_dump(mode="json", exclude=RESUMABLE_CHANGES)
    return RunIdentity(config=settings, manifest_digest=manifest.digest)


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """List the settings in which two identities differ, with both values, such as `optim.lr (0.1 there, 0.2 now)`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [d for key in sorted({*old, *new}) for d in differences(old.get(key), new.get(key), f"{path}.{key}")]
    name = path.removeprefix(".config").lstrip(".")
    return [] if old == new else [f"{name} ({old} there, {new} now)"]
