"""What makes two commands the same run: a checkpoint of another run is no place to go on from."""

from typing import Any

from widedeep.parallel.world import World
from widedeep.schema.manifest import Manifest
from widedeep.schema.records import Record
from widedeep.training.settings import TrainConfig

# Settings that may differ when a run is resumed, because they do not change what it learns.
RESUMABLE_CHANGES = dict.fromkeys(
    (
        *("data", "run_dir", "resume", "device", "eval_batch_size"),
        *("timeout_seconds", "checkpoint_seconds", "keep_checkpoints"),
    ),
    True,
) | {"loader": {"reader", "verify"}}
# How error messages name a field of the identity that is not a setting.
DIFFERENCE_NAMES = {".ranks": "the number of ranks, as each holds a part of the tables"}


class RunIdentity(Record):
    """What must not change when a run is resumed."""

    config: dict[str, Any]
    manifest_digest: str
    ranks: int | None  # None if the run can be resumed by any number of ranks

    def differences(self, other: "RunIdentity") -> list[str]:
        """List the settings in which another identity differs; see `differences`."""
        return differences(self.model_dump(mode="json"), other.model_dump(mode="json"))


def run_identity(config: TrainConfig, manifest: Manifest, world: World) -> RunIdentity:
    """Return the identity of a run. Only a run with sharded tables is bound to its number of ranks."""
    return RunIdentity(
        config=config.model_dump(mode="json", exclude=RESUMABLE_CHANGES),
        manifest_digest=manifest.digest,
        ranks=world.size if config.embedding.sharding == "row" else None,
    )


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """List the settings in which two identities differ, with both values, such as `optim.lr (0.1 there, 0.2 now)`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [d for key in sorted({*old, *new}) for d in differences(old.get(key), new.get(key), f"{path}.{key}")]
    name = DIFFERENCE_NAMES.get(path, path.removeprefix(".config").lstrip("."))
    return [] if old == new else [f"{name} ({old} there, {new} now)"]
