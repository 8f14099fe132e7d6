"""Training on train and valid together, for the final model: its settings were chosen on valid before."""

from pathlib import Path

import torch

from widedeep.common.errors import InputError
from widedeep.data.feature_tables import CPU, Tables
from widedeep.schema.manifest import Manifest

STREAMED = "refit: streamed histories cannot take in those of valid: give --loader.mode resident"


def merge_valid(
    data: Path, manifest: Manifest, verify: bool = True, device: torch.device = CPU
) -> tuple[Manifest, Tables]:
    """Return a manifest and tables of prepared data whose train split has the valid ratings, too; valid is empty.

    Counts of training ratings and their mean are of both. The other numbers that were computed from ratings, such as
    the scores of items, stay those of train: jobs/prepare.py has computed and scaled them. `Tables` says what
    `verify` and `device` are.

    Raises:
        InputError: there are no valid ratings.

    """
    merged = merged_manifest(data, manifest)
    tables = Tables(data, merged, verify, device)
    tables.add_training_ratings(*tables.read_ratings(manifest.ratings.shards["valid"]))
    return merged, tables


def merged_manifest(data: Path, manifest: Manifest) -> Manifest:
    """Return the manifest alone; see `merge_valid`."""
    ratings, valid = manifest.ratings, manifest.ratings.shards["valid"]
    if not ratings.rows("valid"):
        raise InputError(f"refit: {data} has no valid ratings that could be trained on, too: train without it")
    merged = ratings.model_copy(
        update={
            "shards": {**ratings.shards, "train": (*ratings.shards["train"], *valid), "valid": ()},
            "by_user": (*ratings.by_user, *valid),  # only resident loaders can put whole users together again
        }
    )
    return manifest.model_copy(update={"ratings": merged})
