"""What a training would do: its checks without the training."""

from pathlib import Path

from widedeep.common.console import print_table
from widedeep.common.errors import InputError
from widedeep.common.files import GB, free_space
from widedeep.data.loaders import streams
from widedeep.data.refit import STREAMED, merged_manifest
from widedeep.data.shards import check_files
from widedeep.models import REGISTRY
from widedeep.parallel.world import World
from widedeep.schema.manifest import read_manifest
from widedeep.training.checkpoints import CHECKPOINTS, newest_first
from widedeep.training.metrics_file import METRICS_FILE
from widedeep.training.run_directory import check_run_directory
from widedeep.training.run_identity import run_identity
from widedeep.training.settings import TrainConfig
from widedeep.training.tracking import require_boards

RATING_BYTES = 12  # of a resident rating: user, item and rating


def plan(config: TrainConfig, world: World) -> None:
    """Check the settings, every file of the data and the run's directory, and print what would be done.

    Raises:
        InputError: as the training itself would, before its first step.
        DamagedFileError: a file differs from the manifest.

    """
    require_boards(config.track)
    manifest = read_manifest(config.data)
    if config.refit:
        manifest = merged_manifest(config.data, manifest)
    identity = run_identity(config, manifest)
    check_run_directory(config.run_dir, identity, config.resume == "never")
    learns_from_histories = REGISTRY[config.model.name].learns_from_histories
    shards = manifest.ratings.shards
    read = manifest.ratings.by_user if learns_from_histories else shards["train"]
    check_files(config.data, [*read, *shards["valid"], *shards["test"]], config.loader.verify)
    check_files(config.data, [*manifest.users.files, *manifest.items.files], config.loader.verify, "feature table")
    streamed = streams(manifest, world, config.loader, config.batch_size, len(read))
    if config.refit and learns_from_histories and streamed:
        raise InputError(STREAMED)
    if not world.is_main:
        return
    ratings = manifest.ratings.rows("train")
    steps = -(-ratings // config.batch_size)
    memory = "streamed" if streamed else f"{RATING_BYTES * ratings / world.size / GB:.2f} GB in memory of each rank"
    print_table(
        "plan: all of this is there and fits together",
        ("what", "how much"),
        [
            ("model", f"{config.model.name}, loss {config.loss or REGISTRY[config.model.name].default_loss}"),
            ("training ratings", f"{ratings:,}, {memory}"),
            ("ranks", f"{world.size} on {world.device.type}"),
            ("epochs", f"{config.epochs} of about {steps:,} steps"),
            ("run", _begins(config)),
            ("free space", f"{free_space(config.run_dir) / GB:.1f} GB"),
        ],
        text=("what",),
    )


def _begins(config: TrainConfig) -> str:
    """Return where the training would begin."""
    run: Path = config.run_dir
    if config.resume == "never":
        return "starts anew, and deletes what is there" if run.exists() else "new"
    if (run / METRICS_FILE).exists():
        return "finished already"
    found = newest_first(run / CHECKPOINTS) if config.resume == "auto" else [Path(config.resume)]
    return f"goes on from {found[0].name}" if found else "new"
