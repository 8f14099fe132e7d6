"""A warm start: a new model begins with the weights of an older run on older data, matched by ids and values.

Legend: K entries of an axis that both models have.
"""

from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.data.feature_tables import Tables
from widedeep.models import Recommender
from widedeep.models.artifact import MODEL_FILE, Artifact, load_artifact
from widedeep.models.labels import DataNames, Labels
from widedeep.parallel.sharding import shard_bounds, shard_group
from widedeep.parallel.world import World, local_part
from widedeep.schema.manifest import Manifest
from widedeep.training.run_identity import differences
from widedeep.training.settings import TrainConfig

# Kinds of splits where a rating can be held out that was not in an older dump: its place among all ratings decides.
MOVING_SPLITS = ("per_user", "stratified")
# Axis -> the entries of the new tensor [K] int64, and those of the old one that they take over [K] int64.
Matches = dict[int, tuple[Tensor, Tensor]]


def names_of(tables: Tables) -> DataNames:
    """Return the ids and values of prepared data."""
    users, items = tables.users, tables.items
    return DataNames(
        users.values("user_id"), items.values("item_id"), users.table.vocabularies, items.table.vocabularies
    )


def begin_from(config: TrainConfig, model: Recommender, manifest: Manifest, tables: Tables, world: World) -> None:
    """Replace the weights of a new model by those of an older run, as far as both know what they stand for.

    Args:
        config: of the new run; `warm_start` is the directory of the older one.
        model: the new model.
        manifest: of its data.
        tables: of its data.
        world: all ranks; each takes over its part of tables that they share.

    Raises:
        InputError: the older run has another architecture or other sizes, may have learnt from what is held out now,
            or its model cannot be read.

    """
    run = config.warm_start
    assert run is not None
    old, names = load_artifact(run / MODEL_FILE), names_of(tables)
    _check_kind(run, model, old)
    _check_held_out(config, manifest, old)
    old_names = DataNames(old.user_id, old.item_id, old.vocabularies["users"], old.vocabularies["items"])
    try:
        matches = _match_all(model.labels(names), old.model.labels(old_names))
    except NotImplementedError:
        raise InputError(f"warm_start: {model.name()} cannot begin from an older run: train it without") from None
    ours, stored = model.state_dict(), old.model.state_dict()
    learnt = _learnt_names(model)
    taken = [name for name in ours if name in learnt or name in matches]
    misfits = [name for name in taken if not _fits(ours[name], stored.get(name), matches.get(name, {}))]
    if misfits:
        raise _difference(run, model, old, misfits)
    group = shard_group(model, world)
    for name in taken:
        _take_over(ours[name], stored[name], matches.get(name, {}), group)
    if world.is_main:
        known = [f"{np.isin(*ids).sum():,} of {len(ids[0]):,}" for ids in zip(names[:2], old_names[:2], strict=True)]
        log.info("begins from %s, which knows %s users and %s items", run, *known)


def _check_held_out(config: TrainConfig, manifest: Manifest, old: Artifact) -> None:
    """Raise InputError if the older model may have learnt from ratings that are held out now."""
    if old.refit and not config.refit:
        raise InputError(
            f"warm_start: the model in {config.warm_start} was refit on valid ratings, by which this run would choose "
            "its best epoch: refit this one, too (--refit), or begin from a run without it"
        )
    if old.split != manifest.split or manifest.split["kind"] in MOVING_SPLITS:
        raise InputError(
            f"warm_start: the model in {config.warm_start} may have learnt from ratings that {config.data} holds out, "
            f"whose errors would then be too low: its data was split by {old.split}, this one by {manifest.split}. "
            "Prepare both with one seed, one split.train and split.valid, and one split.kind that does not depend on "
            "how many ratings there are (random, cold_item or cold_user)"
        )


def _check_kind(run: Path, model: Recommender, old: Artifact) -> None:
    """Raise InputError unless the weights of both models mean the same."""
    if old.model.name() != model.name():
        raise InputError(
            f"warm_start: {run} has a model {old.model.name()}, this run trains {model.name()}: "
            f"give --model.name {old.model.name()}, or begin from another run"
        )
    if old.scale != model.scale:
        raise InputError(f"warm_start: {run} has ratings of {old.scale}, this data of {model.scale}: train without it")
    ours, theirs = (config.model_dump(mode="json") for config in (model.config, old.config))
    # Numbers are widths, which must fit, or matter in training alone. The rest, such as names of columns, says what
    # weights mean.
    if any(type(value) not in (int, float) and value != theirs.get(name) for name, value in ours.items()):
        raise _difference(run, model, old, [])


def _difference(run: Path, model: Recommender, old: Artifact, misfits: list[str]) -> InputError:
    """Return the error that names the settings in which two models differ; if there are none, the tensors."""
    theirs, ours = (config.model_dump(mode="json") for config in (old.config, model.config))
    different = differences(theirs, ours, "model") or misfits
    return InputError(
        f"warm_start: the model in {run} differs in {different}: give the settings that it has, or train without it"
    )


def _learnt_names(model: nn.Module) -> set[str]:
    """Return the names of all weights, and of the statistics of batch norm."""
    norms = [path for path, module in model.named_modules() if isinstance(module, nn.BatchNorm1d)]
    return {name for name, _ in model.named_parameters()} | {
        f"{path}.{name}" for path in norms for name in ("running_mean", "running_var", "num_batches_tracked")
    }


def _match_all(labels: Labels, old_labels: Labels) -> dict[str, Matches]:
    """Return the matches of all tensors."""
    return {
        name: {axis: match_labels(of_axis, old_labels[name][axis]) for axis, of_axis in axes.items()}
        for name, axes in labels.items()
        if name in old_labels
    }


def match_labels(new: Sequence[Hashable] | np.ndarray, old: Sequence[Hashable] | np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the places of the labels that are in both, in `new` and in `old`: [K] int64 each."""
    place = {label: number for number, label in enumerate(old)}
    pairs = [(number, place[label]) for number, label in enumerate(new) if label in place]
    to, source = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).unbind(1)
    return to, source


def _fits(new: Tensor, old: Tensor | None, matches: Matches) -> bool:
    """Return whether all axes without labels have equal sizes."""
    if old is None or new.dim() != old.dim():
        return False
    return all(new.shape[axis] == old.shape[axis] for axis in range(new.dim()) if axis not in matches)


@torch.no_grad()
def _take_over(new: Tensor, old: Tensor, matches: Matches, group: World) -> None:
    """Copy the matching entries; of a sharded table, those of this rank's rows."""
    part, matches = local_part(new), dict(matches)
    if 0 in matches and len(part) < len(new):
        low, high = shard_bounds(len(new), group.rank, group.size)
        to, source = matches[0]
        here = (to >= low) & (to < high)
        matches[0] = to[here] - low, source[here]
    _copy(part, old.to(part.device), list(matches.items()))


def _copy(new: Tensor, old: Tensor, matches: Sequence[tuple[int, tuple[Tensor, Tensor]]]) -> None:
    if not matches:
        new.copy_(old)
        return
    (axis, (to, source)), *others = matches
    part = new.index_select(axis, to := to.to(new.device))
    _copy(part, old.index_select(axis, source.to(new.device)), others)
    new.index_copy_(axis, to, part)
