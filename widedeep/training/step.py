"""The training loop: a state that owns all that resuming needs, a step, an evaluation.

Legend: b ratings of this rank's batch.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from widedeep.config import TrainConfig
from widedeep.data.loaders import Batch, Loader
from widedeep.evaluation.rating_errors import RatingErrors
from widedeep.models import Recommender
from widedeep.parallel.sharding import holders
from widedeep.parallel.world import World, held
from widedeep.training.optimizer import Optimizer, learning_rate


@dataclass
class Progress:
    """Where a run is; saved in every checkpoint."""

    epoch: int = 0  # the epoch under way, from 0
    step: int = 0  # steps done of it
    best_rmse: float = math.inf
    best_epoch: int = -1
    seconds: float = 0.0  # spent training, evaluation left out, over all tries
    wait_seconds: float = 0.0  # of these, spent waiting for data
    samples: int = 0  # ratings trained on, over all ranks
    valid: dict[str, float] = field(default_factory=dict)  # metrics of the best epoch


class TrainState:
    """Model, optimizer, random state and progress of one rank."""

    def __init__(self, model: Recommender, config: TrainConfig, world: World, steps: int):
        self.model, self.config, self.world = model, config, world
        self.steps = steps  # of an epoch
        self.optimizer = Optimizer(model, config.optim, world)
        self.progress = Progress()
        # Sum of squared errors and count of this epoch's batches; read only when shown.
        self.loss_sums = torch.zeros(2, dtype=torch.float64, device=world.device)
        self._wrapped: nn.Module = model
        if world.size > 1:
            # Buffers are feature tables, the same on every rank; `evaluate` takes care of batch norm's.
            # Shares of tables differ from rank to rank: rank 0's must not go to all. The seed made the rest alike.
            alike = holders(model, world).size == 1
            self._wrapped = DistributedDataParallel(model, forward_sync_buffers=False, init_sync=alike)

    def train_step(self, batch: Batch) -> None:
        """One update; nothing here waits for the device."""
        self._wrapped.train()
        progress, optim = self.progress, self.config.optim
        rate = learning_rate(optim, progress.epoch * self.steps + progress.step, self.config.epochs * self.steps)
        predicted = self._wrapped(batch.user, batch.item)  # [b]
        self.model.loss(predicted, batch.rating).mean().backward()
        self.optimizer.step(rate)
        with torch.no_grad():
            self.loss_sums[0] += (predicted - batch.rating).square().sum()
            self.loss_sums[1] += len(predicted)
        progress.step += 1
        progress.samples += len(batch) * self.world.size

    def train_rmse(self) -> float:
        """RMSE over this epoch's batches so far, on this rank."""
        squared, count = self.loss_sums.tolist()
        return math.sqrt(squared / count) if count else math.nan

    def state_dict(self) -> dict[str, Any]:
        """All that resuming needs, in plain types and tensors; of sharded tables this rank's share."""
        return {
            "model": {name: held(value) for name, value in self.model.state_dict().items()},
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress) | {"valid": dict(self.progress.valid)},
            "loss_sums": self.loss_sums,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.world.device) if self.world.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        self.loss_sums.copy_(state["loss_sums"])
        torch.set_rng_state(state["random"])
        if self.world.device.type == "cuda" and state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"], self.world.device)


def train_epoch(state: TrainState, loader: Loader, on_step: Callable[[], None]) -> None:
    """Run the rest of the epoch that `state.progress` stands in; `on_step` is not counted as training time."""
    progress = state.progress
    if progress.step == 0:
        state.loss_sums.zero_()
    batches = loader.epoch(progress.epoch, progress.step)
    while True:
        asked = time.monotonic()
        batch = next(batches, None)
        if batch is None:
            break
        arrived = time.monotonic()
        state.train_step(batch)
        progress.wait_seconds += arrived - asked
        progress.seconds += time.monotonic() - asked
        on_step()
    if state.world.device.type == "cuda":
        start = time.monotonic()
        torch.cuda.synchronize()
        progress.seconds += time.monotonic() - start


@torch.inference_mode()
def evaluate(model: Recommender, loader: Loader, split: str, world: World, size: int) -> dict[str, float]:
    """RMSE, MAE and R2 of a split, each rating counted once, whatever the number of ranks."""
    model.eval()
    _average_statistics(model, world)
    model.settle()
    errors = RatingErrors(world.device, loader.lowest)
    batches = (
        rows.take(slice(start, start + size)) for rows in loader.rows(split) for start in range(0, len(rows), size)
    )
    for batch in _in_step(batches, holders(model, world)):
        errors.add(model(batch.user, batch.item), batch.rating)
    return errors.result(world)


def _in_step(batches: Iterator[Batch], world: World) -> Iterator[Batch]:
    """Yield as many batches on every rank: empty ones where there are no more but another rank has some."""
    none = torch.empty(0, dtype=torch.int32, device=world.device)
    while True:
        batch = next(batches, None)
        going = torch.tensor(int(batch is not None), device=world.device)
        if not world.sum(going):
            return
        yield batch if batch is not None else Batch(none, none, none.float())


def _average_statistics(model: Recommender, world: World) -> None:
    """Batch norm's running statistics are each rank's own: let all evaluate with their mean."""
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            world.sum(buffer).div_(world.size)


def weights(model: Recommender) -> dict[str, Tensor]:
    """A copy of the weights, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
