"""The choice of a loader."""

from pathlib import Path

from widedeep.common.errors import InputError
from widedeep.config.train import LoaderConfig
from widedeep.data.history_loaders import ResidentHistoryLoader, StreamingHistoryLoader
from widedeep.data.resident_loader import ResidentLoader
from widedeep.data.streaming_loader import StreamingLoader
from widedeep.parallel.world import World
from widedeep.schema.manifest import Manifest


def make_loader(
    data: Path, manifest: Manifest, world: World, config: LoaderConfig, batch_size: int, seed: int
) -> ResidentLoader | StreamingLoader:
    """Create the loader of ratings that `config.mode` names; `auto` keeps up to `resident_limit` ratings in memory.

    Args:
        data: the prepared directory.
        manifest: its manifest.
        world: the ranks that share the ratings.
        config: how to read them.
        batch_size: ratings of a global batch, over all ranks.
        seed: determines the order of the ratings, together with the number of the epoch.

    Raises:
        InputError: the ranks cannot share the batch, the ratings or the shards equally, or the library of the
            reader is missing or of a release that does not work.

    """
    files = len(manifest.ratings.shards["train"])
    create = StreamingLoader if streams(manifest, world, config, batch_size, files) else ResidentLoader
    return create(data, manifest, world, config, batch_size, seed)


def make_history_loader(
    data: Path, manifest: Manifest, world: World, config: LoaderConfig, batch_size: int, seed: int
) -> ResidentHistoryLoader | StreamingHistoryLoader:
    """Create the loader of whole histories that `config.mode` names; arguments and errors as those of `make_loader`."""
    files = len(manifest.ratings.by_user)
    create = StreamingHistoryLoader if streams(manifest, world, config, batch_size, files) else ResidentHistoryLoader
    return create(data, manifest, world, config, batch_size, seed)


def streams(manifest: Manifest, world: World, config: LoaderConfig, batch_size: int, files: int) -> bool:
    """Return whether to stream the training ratings from their `files`; InputError if the ranks cannot share them."""
    if batch_size % world.size:
        raise InputError(f"batch_size {batch_size} is not a multiple of the {world.size} ranks: choose one that is")
    ratings = manifest.ratings.rows("train")
    if ratings < world.size:
        raise InputError(f"{ratings} training ratings for {world.size} ranks: start fewer ranks")
    if config.mode == "resident" or (config.mode == "auto" and ratings <= config.resident_limit):
        return False
    if files % world.size:
        raise InputError(
            f"{files} training shards cannot be dealt equally to {world.size} ranks: "
            f"prepare with --ranks {world.size}, or use loader.mode = resident"
        )
    return True
