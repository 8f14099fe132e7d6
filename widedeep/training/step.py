"""The state of a training, the training step, and the evaluation.

Legend: b ratings of this rank's batch.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from widedeep.data.batches import Batch, Loader
from widedeep.data.histories import HistoryLoader, UserHistories
from widedeep.evaluation.rating_cells import RatingCells
from widedeep.evaluation.rating_errors import RatingErrors
from widedeep.models import Recommender
from widedeep.models.history.fitted import fitted_names
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.parallel.sharding import shard_group
from widedeep.parallel.world import World, local_part
from widedeep.training.limit import MachineLimit
from widedeep.training.losses import find_loss
from widedeep.training.negatives import NegativeSampler
from widedeep.training.optimizer import Optimizer, learning_rate
from widedeep.training.passes import Outcome, make_pass
from widedeep.training.progress import Effort
from widedeep.training.settings import TrainConfig


@dataclass
class Progress:
    """How far a run is; part of every checkpoint."""

    epoch: int = 0  # the current epoch, from 0
    step: int = 0  # steps done in it
    best_value: float = math.inf  # of the metric that `select_by` names; lower is better
    best_epoch: int = -1
    seconds: float = 0.0  # spent in training steps, over all resumed parts of the run
    wait_seconds: float = 0.0  # part of `seconds` spent waiting for data
    valid_seconds: float = 0.0  # spent measuring the valid split, over all resumed parts of the run
    save_seconds: float = 0.0  # spent writing checkpoints and the best model, likewise
    samples: int = 0  # ratings trained on, over all ranks
    valid: dict[str, float] = field(default_factory=dict)  # metrics of the best epoch

    @property
    def effort(self) -> Effort:
        """What the training has taken so far."""
        return Effort(self.samples, self.seconds, self.wait_seconds)

    @contextmanager
    def timing(self, name: Literal["valid_seconds", "save_seconds"]) -> Iterator[None]:
        """Add the time that the block takes to one of the sums."""
        start = time.monotonic()
        yield
        setattr(self, name, getattr(self, name) + time.monotonic() - start)


class TrainState:
    """Model, optimizer, random state and progress of one rank: everything that resuming needs."""

    def __init__(
        self,
        model: Recommender,
        config: TrainConfig,
        world: World,
        steps: int,
        sampler: NegativeSampler | None = None,
    ):
        """Begin a training.

        Args:
            model: an untrained model.
            config: the settings of the run.
            world: all ranks.
            steps: steps of an epoch.
            sampler: draws the negatives; only losses of the ranking need it.

        """
        self.model, self.config, self.world, self.steps = model, config, world, steps
        self.loss = find_loss(config.loss, model)
        model.rates = self.loss.of_rating is not None
        self.optimizer = Optimizer(model, config.optim, world)
        self.progress = Progress()
        self.limit = MachineLimit(world.device, world.size)
        self._track_steps = config.track_steps if config.track else None
        self._tracked: dict[str, float] | None = None  # of the last step, if it is tracked
        self._tracked_effort = Effort()  # until the last tracked step
        self._fitted = fitted_names(model)
        # Sums of squared errors and losses, and number of ratings in this epoch. Reading them waits for the device.
        self.loss_sums = torch.zeros(3, dtype=torch.float64, device=world.device)
        self._first_bad_step = torch.full((), -1, device=world.device)  # whose loss is not finite; -1: none
        weight = config.ranking.weight
        self._wrapped: nn.Module = make_pass(model, self.loss, weight, config.seed, world, sampler)
        if world.size > 1 and self.optimizer.dense_parameters:  # DDP takes no model of embedding tables alone
            # Buffers need no sync: feature tables are equal on all ranks, and `evaluate` averages those of batch norm.
            # Sharded tables differ between ranks, so DDP must not copy rank 0's; equal seeds made all else equal.
            sharded = shard_group(model, world).size > 1
            self._wrapped = DistributedDataParallel(self._wrapped, forward_sync_buffers=False, init_sync=not sharded)

    @property
    def total_steps(self) -> int:
        """Steps done in all epochs."""
        return self.progress.epoch * self.steps + self.progress.step

    @property
    def last_step(self) -> int:
        """Steps after which the training ends at the latest."""
        steps = self.config.epochs * self.steps
        return min(steps, self.config.max_steps or steps)

    def train_step(self, batch: Batch | UserHistories) -> None:
        """Update the model once, without waiting for the device unless the step is tracked."""
        self._wrapped.train()
        progress, optim = self.progress, self.config.optim
        rate = learning_rate(optim, self.total_steps, self.last_step)
        outcome = self.apply(batch)
        outcome.loss.backward()
        tracked = self._track_steps is not None and (self.total_steps + 1) % self._track_steps == 0
        squared_norm = self.optimizer.step(rate, measured=tracked)
        with torch.no_grad():
            first = ~outcome.loss.isfinite() & (self._first_bad_step < 0)
            self._first_bad_step = torch.where(first, self.total_steps, self._first_bad_step)
            self.loss_sums[0] += outcome.squared_errors
            self.loss_sums[1] += outcome.loss * outcome.ratings
            self.loss_sums[2] += outcome.ratings
        progress.step += 1
        progress.samples += len(batch.rating) * self.world.size
        self._tracked = self._fetch(outcome, rate, squared_norm) if tracked else None

    def _fetch(self, outcome: Outcome, rate: float, squared_norm: Tensor | float) -> dict[str, float]:
        """Return loss and gradient norm of a step over all ranks, and its learning rate. Waits for the device."""
        squared = torch.as_tensor(squared_norm, dtype=torch.float64, device=self.world.device)
        ratings = torch.as_tensor(outcome.ratings, dtype=torch.float64, device=self.world.device)
        sums = self.world.sum(torch.stack([outcome.loss.detach() * ratings, ratings]))
        losses, count, squared = torch.stack([*sums, squared]).tolist()
        return {
            "loss": losses / count if count else math.nan,
            "learning_rate": rate,
            "gradient_norm": math.sqrt(squared),
        }

    def tracked_scalars(self) -> dict[str, float] | None:
        """Return what is tracked of the last step; None if it is not tracked. Speeds are since the tracked one before.

        The gradient norm is that of the whole gradient before it is clipped: dense layers and embeddings.
        """
        if self._tracked is None:
            return None
        effort = self.progress.effort
        pace, self._tracked_effort = effort.since(self._tracked_effort), effort
        return self._tracked | {"samples_per_second": pace.samples_per_second, "data_wait_share": pace.wait_share}

    def apply(self, batch: Batch | UserHistories) -> Outcome:
        """Return what the model makes of a batch at the current step."""
        return self._wrapped(batch, self.total_steps)

    def first_bad_step(self) -> int | None:
        """Return the step, of all, whose loss on this rank was not finite; None if there is none. Waits for the device.

        If all losses were finite but a weight is not any more, it is the last step.
        """
        step = int(self._first_bad_step)
        if step < 0 and all(bool(weight.isfinite().all()) for weight in map(local_part, self.model.parameters())):
            return None
        return step if step >= 0 else self.total_steps - 1

    def train_metrics(self) -> dict[str, float]:
        """Return the loss, and the RMSE if ratings are trained, of this epoch so far on this rank."""
        squared, losses, count = self.loss_sums.tolist()
        rmse = {"rmse": math.sqrt(squared / count) if count else math.nan}
        return (rmse if self.model.rates else {}) | {"loss": losses / count if count else math.nan}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that resuming needs, as plain types and tensors; sharded tables as this rank's rows."""
        return {
            "model": {name: local_part(v) for name, v in self.model.state_dict().items() if name not in self._fitted},
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress) | {"valid": dict(self.progress.valid)},
            "loss_sums": self.loss_sums,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.world.device) if self.world.device.type == "cuda" else None,
        }

    def own_state(self, states: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return this rank's part of what `state_dict` returned on each of any number of ranks."""
        model = dict(states[0]["model"])
        for name, table in self.model.named_modules():
            if isinstance(table, RowEmbedding) and (weight := f"{name}.weight") in model:
                model[weight] = table.own_rows([state["model"][weight] for state in states])
        optimizer = self.optimizer.own_state([state["optimizer"] for state in states])
        return states[0] | {"model": model, "optimizer": optimizer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        fitted = {name: value for name, value in self.model.state_dict().items() if name in self._fitted}
        self.model.load_state_dict(state["model"] | fitted)
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        self._tracked_effort = self.progress.effort
        self.loss_sums.copy_(state["loss_sums"])
        torch.set_rng_state(state["random"])
        if self.world.device.type == "cuda" and state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"], self.world.device)


def train_epoch(state: TrainState, loader: Loader | HistoryLoader, on_step: Callable[[], None]) -> None:
    """Run the rest of the current epoch, or as much of it as `TrainState.last_step` allows.

    `on_step` is called after every step and not counted as training time.
    """
    progress = state.progress
    if progress.step == 0:
        state.loss_sums.zero_()
    whole = state.last_step - progress.epoch * state.steps >= state.steps
    with closing(loader.epoch(progress.epoch, progress.step)) as batches:
        # The end of a whole epoch is asked for: the loader checks it.
        while whole or state.total_steps < state.last_step:
            requested = time.monotonic()
            batch = next(batches, None)
            if batch is None:
                break
            arrived = time.monotonic()
            with state.limit.counting(len(batch.rating)):
                state.train_step(batch)
            progress.wait_seconds += arrived - requested
            progress.seconds += time.monotonic() - requested
            on_step()
    if state.world.device.type == "cuda":
        start = time.monotonic()
        torch.cuda.synchronize()
        progress.seconds += time.monotonic() - start


@torch.inference_mode()
def evaluate(
    model: Recommender,
    loader: Loader | HistoryLoader,
    split: str,
    world: World,
    size: int,
    cells: RatingCells | None = None,
) -> dict[str, float]:
    """Return RMSE, MAE and R2 of a split; each rating counts once, whatever the number of ranks.

    Args:
        model: what predicts the ratings.
        loader: the ratings.
        split: which of them.
        world: all ranks.
        size: ratings of a batch on each rank.
        cells: is given all ratings and predictions, too, so that one pass serves both.

    """
    model.eval()
    _average_statistics(model, world)
    model.fill_cold_rows()
    errors = RatingErrors(world.device, loader.scale)
    parts = loader.batches(split)
    if model.learns_from_histories:  # then it answers for all pairs of a user together
        parts = (part.take(part.user.argsort(stable=True)) for part in parts)
    batches = (part.take(slice(start, start + size)) for part in parts for start in range(0, len(part), size))
    for batch in _equal_steps(batches, shard_group(model, world)):
        predicted = model(batch.user, batch.item).rating
        errors.add(predicted, batch.rating)
        if cells is not None:
            cells.add(batch, predicted)
    return errors.result(world)


def _equal_steps(batches: Iterator[Batch], world: World) -> Iterator[Batch]:
    """Yield equally many batches on all ranks, with empty batches at the end on ranks that have fewer."""
    empty = torch.empty(0, dtype=torch.int32, device=world.device)
    while True:
        batch = next(batches, None)
        remaining = torch.tensor(int(batch is not None), device=world.device)
        if not world.sum(remaining):
            return
        yield batch if batch is not None else Batch(empty, empty, empty.float())


def _average_statistics(model: Recommender, world: World) -> None:
    """Replace the running statistics of batch norm, which each rank has collected, by their mean over ranks."""
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            world.sum(buffer).div_(world.size)
