"""A training run from its settings to its metrics."""

import os
import random
import time
from collections.abc import Callable
from contextlib import closing
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from widedeep.common.console import log
from widedeep.common.errors import DivergedError, InputError, Stopped
from widedeep.common.files import refusals_named
from widedeep.data.batches import Batch
from widedeep.data.feature_tables import Tables
from widedeep.data.histories import UserHistories
from widedeep.data.history_loaders import StreamingHistoryLoader
from widedeep.data.loaders import make_history_loader, make_loader
from widedeep.data.refit import STREAMED, merge_valid
from widedeep.data.streaming_loader import StreamingLoader
from widedeep.evaluation.rating_cells import RatingCells
from widedeep.evaluation.reference_models import measure_reference_models, valid_rmse_of_biases
from widedeep.evaluation.sampled_ranking import Split, measure_ranking
from widedeep.models import REGISTRY
from widedeep.models.artifact import MODEL_FILE, NO_EPOCH, BestEpoch, load_artifact, read_best_epoch, save_artifact
from widedeep.parallel.sharding import embedding_kind, send_local_parts, shard_group
from widedeep.parallel.world import World
from widedeep.schema.manifest import read_manifest
from widedeep.training.checkpoints import Checkpointer, load_checkpoint
from widedeep.training.metrics_file import Metrics, RunMetrics, TrainingStatistics, read_metrics, write_metrics
from widedeep.training.negatives import NegativeSampler
from widedeep.training.progress import EpochBar, format_metrics
from widedeep.training.run_directory import claim_run_directory
from widedeep.training.run_identity import run_identity
from widedeep.training.settings import TrainConfig
from widedeep.training.step import Progress, TrainState, evaluate, train_epoch
from widedeep.training.stop_requests import StopRequests
from widedeep.training.tracking import Tracker, require_boards
from widedeep.training.warm_start import begin_from

CHECKPOINT_STEPS = 64  # how often, in steps, the numbers and the time since the last checkpoint are looked at
SHOWN_ROWS = 5  # of a batch, in an error

# Called after each epoch with its number, from 0, and the value that chooses the best epoch; lower is better.
OnEpoch = Callable[[int, float], None]


class EpochResult(NamedTuple):
    """What an epoch reached."""

    train: Metrics  # means over the epoch, on this rank
    valid: Metrics
    value: float  # chooses the best epoch, lower is better
    is_best: bool


class TrainingRun:
    """One run in its directory. Each rank has one, and all ranks call its methods together."""

    def __init__(self, config: TrainConfig, world: World):
        self.config, self.world = config, world
        require_boards(config.track)
        manifest = read_manifest(config.data)
        if config.refit:
            self.manifest, self.tables = merge_valid(config.data, manifest, config.loader.verify, world.device)
        else:
            self.manifest, self.tables = manifest, Tables(config.data, manifest, config.loader.verify, world.device)
        self.identity = run_identity(config, self.manifest)
        # After a restart by torchrun the same command goes on with what it has begun.
        restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
        self.resume_from = "auto" if restarted and config.resume == "never" else config.resume
        self._lock = claim_run_directory(config.run_dir, self.identity, self.resume_from == "never", world)
        seed_everything(config.seed)
        # The loader comes first: its first permutation is drawn in the background while the model is built.
        architecture = REGISTRY[config.model.name]
        make = make_history_loader if architecture.learns_from_histories else make_loader
        self.loader = make(config.data, self.manifest, world, config.loader, config.batch_size, config.seed)
        if config.refit and isinstance(self.loader, StreamingHistoryLoader):
            raise InputError(STREAMED)
        embedding = embedding_kind(config.embedding, world)
        self.model = architecture.from_tables(config.model, self.tables, embedding)
        self.model.to(world.device)
        self.shard_group = shard_group(self.model, world)
        sampler = NegativeSampler(self.tables.items.values("train_ratings"), config.ranking, config.seed, world)
        self.state = TrainState(self.model, config, world, self.loader.steps, sampler)
        self.select_by = self._chosen_metric()
        self.checkpointer = Checkpointer(
            config.run_dir, self.identity, config.checkpoint_seconds, config.keep_checkpoints, world, self.shard_group
        )

    def close(self) -> None:
        """Let other commands have the run's directory."""
        if self._lock:
            self._lock.close()

    def _chosen_metric(self) -> str:
        """Return the metric that chooses the best epoch.

        Raises:
            InputError: it is of ratings, and the loss trains none.

        """
        config, rates = self.config, self.model.rates
        chosen = config.select_by or ("rmse" if rates else "ndcg")
        if chosen != "ndcg" and not rates:
            raise InputError(
                f"select_by: with loss {config.loss or self.model.default_loss} no ratings are predicted, so {chosen} "
                "cannot choose the best epoch: give --select-by ndcg, or to a search --objective ndcg"
            )
        return chosen

    def execute(self) -> RunMetrics:
        """Train, resuming from a checkpoint if there is one, and measure; a finished run only returns its metrics.

        Raises:
            WriteError: the disk of the run takes no more. The same command goes on from the checkpoint before.

        """
        try:
            with refusals_named(f"run directory {self.config.run_dir}", "name another --run-dir"):
                finished = self._finished_metrics()
                if finished:
                    return finished
                self.resume()
                self.train()
                metrics = self.measure()
                if self.world.is_main:
                    self._show_result(metrics)
                    write_metrics(self.config.run_dir, metrics)
                return metrics
        finally:
            self.close()

    def _finished_metrics(self) -> RunMetrics | None:
        """Return the metrics of a finished run; rank 0 looks, so that all ranks do the same."""
        if self.resume_from == "never":
            return None
        finished = self.world.broadcast(read_metrics(self.config.run_dir) if self.world.is_main else None)
        if finished and self.world.is_main:
            log.info("%s is finished already; --resume never trains it anew", self.config.run_dir)
        return finished

    def resume(self) -> None:
        """Restore the state from a checkpoint, if there is one and `config.resume` allows it; else start."""
        config, world = self.config, self.world
        found = load_checkpoint(config.run_dir, self.resume_from, self.identity, world, self.shard_group)
        if found is None:
            if config.warm_start:
                begin_from(config, self.model, self.manifest, self.tables, world)
            return
        checkpoint, written, states = found
        try:
            mine = len(written.parts) == self.shard_group.size
            self.state.load_state_dict(states[0] if mine else self.state.own_state(states))
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"checkpoint {checkpoint} does not fit this run's model or release: {error}") from None
        progress = self.state.progress
        streams = isinstance(self.loader, StreamingLoader | StreamingHistoryLoader)
        if streams and progress.step and written.ranks != world.size:
            raise InputError(
                f"checkpoint {checkpoint} was written by {written.ranks} ranks within an epoch of streamed shards, "
                f"which {world.size} would share otherwise: start {written.ranks} ranks, or name a checkpoint of "
                "an epoch's end with --resume (its name ends in step-00000000)"
            )
        self._adopt_best_model()
        if world.is_main:
            log.info("resumed from %s: epoch %d, step %d", checkpoint, progress.epoch + 1, progress.step)

    def _adopt_best_model(self) -> None:
        """Let the progress say what the model in the directory is: a crash may have parted it from the checkpoint."""
        progress, file = self.state.progress, self.config.run_dir / MODEL_FILE
        best = None
        if self.world.is_main and (progress.best_epoch >= 0 or file.exists()):
            try:
                best = read_best_epoch(file)
            except InputError as error:
                log.warning("the best model so far is lost (%s): the next epoch's is kept in its place", error)
        best = self.world.broadcast(best) or NO_EPOCH
        progress.best_epoch, progress.best_value, progress.valid = best.epoch, best.value, best.valid

    def train(self, on_epoch: OnEpoch = lambda number, value: None) -> None:
        """Run the remaining epochs, until the last one, until the patience is used up, or until `on_epoch` raises.

        Raises:
            DivergedError: a loss or a prediction is no finite number. No checkpoint has one.
            Stopped: a signal asked for it; the checkpoint is written.

        """
        progress = self.state.progress
        if self.world.is_main:
            self._log_start()
        with StopRequests(self.world) as stop, self._tracker() as tracker:
            while self.state.total_steps < self.state.last_step and not self._out_of_patience():
                result = self._run_epoch(stop, tracker)
                speed = {"samples_per_second": progress.effort.samples_per_second}
                tracker.record(progress.epoch, {"train": {**result.train, **speed}, "valid": result.valid})
                if self.world.is_main:
                    self._log_epoch(result)
                progress.epoch, progress.step = progress.epoch + 1, 0
                self._save_checkpoint()
                on_epoch(progress.epoch - 1, result.value)
                self._stop_if_asked(stop.received())

    def _tracker(self) -> Tracker:
        """Return what shows the curves from here on."""
        return Tracker(self.config, self.state.progress.epoch, self.state.total_steps, self.world.is_main)

    def _show_result(self, metrics: RunMetrics) -> None:
        """Let the boards show the final metrics; a board that cannot does not spoil the run."""
        try:
            with self._tracker() as tracker:
                tracker.finish(metrics)
        except InputError as error:
            log.warning("only %s has the final metrics: %s", self.config.run_dir, error)

    def _run_epoch(self, stop: StopRequests, tracker: Tracker) -> EpochResult:
        """Run the rest of an epoch, evaluate it, and keep the model if it is the best so far."""
        config, progress = self.config, self.state.progress
        steps = min(self.loader.steps, self.state.last_step - progress.epoch * self.loader.steps)
        label = f"epoch {progress.epoch + 1}/{config.epochs}"
        with EpochBar(label, progress.step, steps, progress.effort, self.world.is_main) as bar:
            train_epoch(self.state, self.loader, lambda: self._after_step(bar, stop, tracker))
        self._require_finite()
        with progress.timing("valid_seconds"):
            valid = evaluate(self.model, self.loader, "valid", self.world, config.eval_batch_size)
            value = self._selection_value(valid)
        best = is_best(value, progress)
        if best:
            progress.best_value, progress.best_epoch, progress.valid = value, progress.epoch, valid
            self._save_model()
        return EpochResult(self.state.train_metrics(), valid, value, best)

    def _require_finite(self) -> None:
        """Raise DivergedError, naming the batch, if a loss or a weight is infinite or NaN."""
        bad = self.state.first_bad_step()
        if bad is None:
            return
        epoch, step = divmod(bad, self.loader.steps)
        with closing(self.loader.epoch(epoch, step)) as batches:
            batch = next(batches, None)
        raise DivergedError(
            f"the training diverged in epoch {epoch + 1}, step {step + 1} of {self.loader.steps}: the loss of its "
            f"batch is no finite number{describe_batch(batch)}. Lower optim.lr, or tame it with optim.warmup and "
            "optim.clip_norm; the same command goes on from the checkpoint before"
        )

    def _selection_value(self, valid: Metrics) -> float:
        """Return the value that chooses the best epoch, lower is better; NDCG is added to `valid`."""
        if self.select_by == "rmse" or not valid["ratings"]:
            return valid["rmse"]
        valid["ndcg_at_10"] = self._ranking("valid")["model"]["ndcg_at_10"]
        share = valid["rmse"] / self._rmse_of_biases if self.select_by == "both" else 0.0
        return share - valid["ndcg_at_10"]

    @cached_property
    def _rmse_of_biases(self) -> float:
        """The valid RMSE of user + item biases, by which `both` makes RMSEs of different data comparable."""
        tables = self.tables
        return valid_rmse_of_biases(self.loader, self.world, tables.users.rows, tables.items.rows, tables.train_mean)

    def _ranking(self, split: Split) -> dict[str, Metrics]:
        """Measure the ranking of a split on `ranking_users` of its users."""
        config, tables = self.config, self.tables
        popularity, users = tables.items.values("train_ratings"), tables.users.rows
        count, seed = config.ranking_users, config.seed
        return measure_ranking(self.model, self.loader, self.world, popularity, users, count, seed, split)

    def _out_of_patience(self) -> bool:
        progress, patience = self.state.progress, self.config.patience
        return patience is not None and progress.best_epoch >= 0 and progress.epoch - progress.best_epoch > patience

    def _after_step(self, bar: EpochBar, stop: StopRequests, tracker: Tracker) -> None:
        progress = self.state.progress
        if bar.is_due():
            bar.update(progress.step, self.state.train_metrics(), progress.effort, self.state.limit)
        if scalars := self.state.tracked_scalars():
            tracker.record_step(self.state.total_steps, scalars)
        if progress.step >= self.loader.steps or self.state.total_steps >= self.state.last_step:
            return  # the end of the epoch does all that follows
        # All ranks must come to the same answer, so they ask each other at the same steps.
        looks = progress.step % CHECKPOINT_STEPS == 0
        if looks:
            self._require_finite()
        stopped_by = stop.received_after(progress.step)
        if stopped_by or (looks and self.checkpointer.is_due()):
            self._save_checkpoint()
        self._stop_if_asked(stopped_by)

    def _stop_if_asked(self, signal: str | None) -> None:
        """Raise Stopped if there was a signal; its checkpoint must be written."""
        if signal:
            progress = self.state.progress
            raise Stopped(
                f"stopped by {signal} after a checkpoint at epoch {progress.epoch + 1}, step {progress.step}: "
                "the same command goes on from there"
            )

    def _save_checkpoint(self) -> None:
        self._require_finite()
        progress = self.state.progress
        with progress.timing("save_seconds"):
            self.checkpointer.save((progress.epoch, progress.step), self.state.state_dict)

    def _save_model(self) -> None:
        progress = self.state.progress
        with progress.timing("save_seconds"):
            if self.world.is_main:
                file = self.config.run_dir / MODEL_FILE
                best = BestEpoch(epoch=progress.best_epoch, value=progress.best_value, valid=progress.valid)
                save_artifact(file, self.model, self.manifest, self.tables, self.config.refit, best)
            else:
                send_local_parts(self.model)

    def _log_start(self) -> None:
        loader = self.loader
        log.info(
            "%s on %s, %d rank(s); %s ratings, %d steps of %d an epoch (%d dropped), %s parameters",
            self.config.model.name,
            self.world.device.type,
            self.world.size,
            f"{self.manifest.ratings.rows('train'):,}",
            loader.steps,
            loader.local_batch_size * self.world.size,
            loader.dropped,
            f"{sum(p.numel() for p in self.model.parameters()):,}",
        )

    def _log_epoch(self, result: EpochResult) -> None:
        log.info(
            "epoch %d/%d  train %s  valid %s%s",
            self.state.progress.epoch + 1,
            self.config.epochs,
            format_metrics(result.train),
            format_metrics(result.valid, rated=self.model.rates),
            "  best" if result.is_best else "",
        )

    def measure(self) -> RunMetrics:
        """Measure the best epoch's model on the test split, beside the reference models."""
        config, world, tables, start = self.config, self.world, self.tables, time.monotonic()
        world.barrier()  # rank 0 may still be writing the artifact
        best = load_artifact(config.run_dir / MODEL_FILE)
        self.model.load_state_dict(best.model.state_dict())
        users, scale = tables.users, self.loader.scale
        cells = None
        if self.model.rates and not scale.implicit:
            known = (table.values("train_ratings") for table in (users, tables.items))
            cells = RatingCells(world.device, scale, *known)
        test = evaluate(self.model, self.loader, "test", world, config.eval_batch_size, cells)
        reference_models = {}
        if not scale.implicit:
            items, mean = tables.items.rows, tables.train_mean
            reference_models, _ = measure_reference_models(self.loader, world, users.rows, items, mean)
        ranking = self._ranking("test") if config.ranking_users else {}
        return RunMetrics(
            scale=(scale.lowest, scale.highest),
            rates=self.model.rates,
            refit=config.refit,
            valid=self.state.progress.valid,
            test=test,
            reference_models=reference_models,
            ranking=ranking,
            train=self._statistics(time.monotonic() - start),
            rating=cells.result(world) if cells else None,
        )

    def _statistics(self, measure_seconds: float) -> TrainingStatistics:
        progress = self.state.progress
        return TrainingStatistics(
            samples_per_second=progress.effort.samples_per_second,
            seconds=progress.seconds,
            data_wait_share=progress.effort.wait_share,
            samples=progress.samples,
            epochs=progress.epoch,
            best_epoch=progress.best_epoch + 1,
            steps_per_epoch=self.loader.steps,
            dropped_per_epoch=self.loader.dropped,
            ranks=self.world.size,
            device=self.world.device.type,
            seed=self.config.seed,
            valid_seconds=progress.valid_seconds,
            save_seconds=progress.save_seconds,
            measure_seconds=measure_seconds,
        )


def is_best(value: float, progress: Progress) -> bool:
    """Whether an epoch's value is the lowest so far. Without valid ratings (NaN), the newest epoch is best."""
    return not value >= progress.best_value


def describe_batch(batch: Batch | UserHistories | None) -> str:
    """Return what a person needs to find a batch's ratings in the data; empty if there is no batch."""
    if batch is None or not len(batch.rating):
        return ""
    users = batch.user.unique().tolist()
    shown = ", ".join(map(str, users[:SHOWN_ROWS])) + (", …" if len(users) > SHOWN_ROWS else "")
    low, high = float(batch.rating.min()), float(batch.rating.max())
    return f" ({len(batch.rating)} ratings from {low:g} to {high:g}, of the users with index {shown})"


def seed_everything(seed: int) -> None:
    """Seed all generators that initial weights and dropout use."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
