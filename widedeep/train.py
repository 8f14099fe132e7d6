"""Train a model on prepared ratings: one process, or many ranks under torchrun.

torchrun widedeep/train.py --data data/prepared --run-dir runs/wide_deep
"""

from widedeep.common.launch import enter_tuned_process

if __name__ == "__main__":
    enter_tuned_process()

import json
import math
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as View

from widedeep.common.command import load_config, presets, run_command
from widedeep.common.console import log, stderr, stdout
from widedeep.common.errors import InputError
from widedeep.common.files import write_atomically
from widedeep.config import TrainConfig
from widedeep.data.feature_tables import Tables
from widedeep.data.loaders import make_loader
from widedeep.evaluation.reference_models import measure_reference_models
from widedeep.evaluation.sampled_ranking import measure_ranking
from widedeep.models import REGISTRY
from widedeep.models.artifact import FILE, load_artifact, save_artifact
from widedeep.parallel.sharding import embedding_kind, holders, send_shares
from widedeep.parallel.world import World, join_world
from widedeep.schema.manifest import MAX_RATING, Manifest, read_manifest
from widedeep.training.checkpoints import load_checkpoint, save_checkpoint
from widedeep.training.step import TrainState, evaluate, train_epoch
from widedeep.training.tracking import Tracker

LOG_SECONDS = 10.0
# Settings that may change between the tries of one run without changing what it learns.
FREE = dict.fromkeys(
    ("data", "run_dir", "resume", "device", "eval_batch_size", "checkpoint_seconds", "keep_checkpoints"), True
) | {"loader": {"reader"}}


class Run:
    """One training run in its directory; the steps that `main` puts together."""

    def __init__(self, config: TrainConfig, world: World):
        self.config, self.world = config, world
        self.manifest: Manifest = read_manifest(config.data)
        self.tables = Tables(config.data, self.manifest)
        self.identity = {
            "config": config.model_dump(mode="json", exclude=FREE),
            "manifest_digest": self.manifest.digest,
        }
        if config.embedding.sharding == "row":  # a share goes on only where it was left
            self.identity["ranks, as each holds a share of the tables"] = world.size
        refusal = world.share(self._claim_directory() if world.is_main else None)
        if refusal:
            raise InputError(refusal)
        seed_everything(config.seed)
        # The loader first: it reads, and draws its first permutation, while the model is made.
        loader = config.loader
        try:
            self.loader = make_loader(
                config.data,
                self.manifest,
                world,
                reader=loader.reader,
                mode=loader.mode,
                resident_limit=loader.resident_limit,
                batch_size=config.batch_size,
                shuffle_buffer=loader.shuffle_buffer,
                seed=config.seed,
                verify=loader.verify,
            )
        except ValueError as error:
            raise InputError(str(error)) from None
        self.model, self.shape = REGISTRY[config.model.name].from_tables(
            config.model, self.tables, embedding_kind(config.embedding, world)
        )
        self.model.to(world.device)
        self.holders = holders(self.model, world)
        self.state = TrainState(self.model, config, world, self.loader.steps)
        self._saved = time.monotonic()
        self._checkpoints = config.run_dir / "checkpoints"

    def _claim_directory(self) -> str | None:
        """Make the run's directory, or check that it is this very run's.

        Returns:
            why not, if it holds a run with other settings or other data: for all ranks to end alike.

        """
        run = self.config.run_dir
        note = run / "run.json"
        if note.exists() and self.config.resume == "never":
            for name in ("checkpoints", "tensorboard"):
                shutil.rmtree(run / name, ignore_errors=True)
            for name in ("metrics.json", "metrics.jsonl", FILE, "best.pt", "run.json"):
                (run / name).unlink(missing_ok=True)
        if note.exists():
            different = _differences(json.loads(note.read_text()), self.identity)
            if different:
                return (
                    f"{run} holds a run that differs in {different}: "
                    "choose another --run-dir, or start it anew with --resume never"
                )
        elif run.exists() and any(run.iterdir()):
            return f"{run} holds files but no run.json, so it is no run of ours: choose another --run-dir"
        run.mkdir(parents=True, exist_ok=True)
        write_atomically(note, json.dumps(self.identity, indent=1).encode())
        return None

    def finished(self) -> dict[str, Any] | None:
        """The metrics of a run that has been finished before."""
        file = self.config.run_dir / "metrics.json"
        return json.loads(file.read_text()) if file.exists() and self.config.resume != "never" else None

    def resume(self) -> None:
        """Take up the newest checkpoint, if there is one and it is wanted."""
        found = load_checkpoint(self.config.run_dir, self.config.resume, self.holders)
        if found is None:
            return
        file, state = found
        try:
            self.state.load_state_dict(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"checkpoint {file} does not fit this run's model or release: {error}") from None
        progress = self.state.progress
        if self.world.is_main:
            log.info("resumed from %s: epoch %d, step %d", file, progress.epoch + 1, progress.step)

    def train(self) -> None:
        """All epochs that are left, until the last or until valid RMSE no longer falls."""
        config, progress = self.config, self.state.progress
        tracker = Tracker(config.run_dir, progress.epoch) if self.world.is_main else None
        if self.world.is_main:
            self._describe()
        while progress.epoch < config.epochs and not self._out_of_patience():
            with EpochBar(self, progress.epoch) as bar:
                train_epoch(self.state, self.loader, lambda bar=bar: self._after_step(bar))
            measured = {"rmse": self.state.train_rmse()}
            valid = evaluate(self.model, self.loader, "valid", self.world, config.eval_batch_size)
            if valid["ratings"] and math.isnan(valid["rmse"]):
                raise InputError(
                    f"the training diverged in epoch {progress.epoch + 1}, its predictions are no numbers: "
                    "lower optim.lr, or tame it with optim.warmup and optim.clip_norm"
                )
            # Without a valid split there is nothing to choose by: the newest epoch is kept.
            if not valid["rmse"] >= progress.best_rmse:
                progress.best_rmse, progress.best_epoch, progress.valid = valid["rmse"], progress.epoch, valid
                self._keep_best()
            if tracker:
                rate = progress.samples / max(progress.seconds, 1e-9)
                tracker.record(progress.epoch, {"train": {**measured, "samples_per_second": rate}, "valid": valid})
                log.info(
                    "epoch %d/%d  train RMSE %.4f  valid RMSE %.4f  MAE %.4f  R2 %.4f%s",
                    progress.epoch + 1,
                    config.epochs,
                    measured["rmse"],
                    valid["rmse"],
                    valid["mae"],
                    valid["r2"],
                    "  best" if progress.best_epoch == progress.epoch else "",
                )
            progress.epoch, progress.step = progress.epoch + 1, 0
            self._checkpoint()
        if tracker:
            tracker.close()

    def _describe(self) -> None:
        rows, loader = self.manifest.ratings.rows("train"), self.loader
        log.info(
            "%s on %s, %d rank(s); %s ratings, %d steps of %d an epoch (%d dropped), %s parameters",
            self.config.model.name,
            self.world.device.type,
            self.world.size,
            f"{rows:,}",
            loader.steps,
            loader.batch * self.world.size,
            loader.dropped,
            f"{sum(p.numel() for p in self.model.parameters()):,}",
        )

    def _out_of_patience(self) -> bool:
        progress, patience = self.state.progress, self.config.patience
        return patience is not None and progress.best_epoch >= 0 and progress.epoch - progress.best_epoch > patience

    def _after_step(self, bar: "EpochBar") -> None:
        bar.advance()
        # Every rank must decide alike, so rank 0's clock is asked only at steps known to all.
        if self.state.progress.step % 64 == 0 and self.state.progress.step < self.loader.steps:
            due = time.monotonic() - self._saved > self.config.checkpoint_seconds
            if self.holders.share(due):
                self._checkpoint()

    def _checkpoint(self) -> None:
        """Write a checkpoint: rank 0 what all hold alike; of sharded tables each rank its own, and rank 0 last."""
        if not self.holders.is_main:
            self._write_checkpoint()
        self.holders.wait()
        if self.world.is_main:
            self._write_checkpoint()
        self._saved = time.monotonic()

    def _write_checkpoint(self) -> None:
        state, keep = self.state.state_dict(), self.config.keep_checkpoints
        save_checkpoint(self._checkpoints, self._total_steps(), state, keep, self.holders.rank)

    def _total_steps(self) -> int:
        return self.state.progress.epoch * self.loader.steps + self.state.progress.step

    def _keep_best(self) -> None:
        if self.world.is_main:
            save_artifact(
                self.config.run_dir / FILE, self.model, self.config.model, self.shape, self.manifest, self.tables
            )
        else:
            send_shares(self.model)

    def finish(self) -> dict[str, Any]:
        """Measure the best epoch's model on test beside the floors, and write metrics.json, last of all."""
        config, world, progress = self.config, self.world, self.state.progress
        world.wait()
        best = load_artifact(config.run_dir / FILE)
        self.model.load_state_dict(best.model.state_dict())
        test = evaluate(self.model, self.loader, "test", world, config.eval_batch_size)
        counts = self.tables.items.values("train_ratings")
        floors, _ = measure_reference_models(
            self.loader, world, self.tables.users.rows, self.tables.items.rows, self.tables.train_mean
        )
        ranking = (
            measure_ranking(
                self.model, self.loader, world, counts, self.tables.users.rows, config.ranking_users, config.seed
            )
            if config.ranking_users
            else {}
        )
        metrics = {
            "scale": [self.loader.lowest, MAX_RATING],
            "valid": progress.valid,
            "test": test,
            "floors": floors,
            "ranking": ranking,
            "train": {
                "samples_per_second": progress.samples / max(progress.seconds, 1e-9),
                "seconds": progress.seconds,
                "data_wait_share": progress.wait_seconds / max(progress.seconds, 1e-9),
                "samples": progress.samples,
                "epochs": progress.epoch,
                "best_epoch": progress.best_epoch + 1,
                "steps_per_epoch": self.loader.steps,
                "dropped_per_epoch": self.loader.dropped,
                "ranks": world.size,
                "device": world.device.type,
                "seed": config.seed,
            },
        }
        if world.is_main:
            write_atomically(config.run_dir / "metrics.json", json.dumps(metrics, indent=1).encode())
        return metrics


class EpochBar:
    """Progress of an epoch on rank 0: a bar on a terminal, a line now and then in a log."""

    def __init__(self, run: Run, epoch: int):
        self._run, self._label = run, f"epoch {epoch + 1}/{run.config.epochs}"
        self._shown = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(
            *columns, TextColumn("{task.fields[note]}"), console=stderr, transient=True, disable=not stderr.is_terminal
        )
        self._task = self._bar.add_task(self._label, total=run.loader.steps, note="")

    def __enter__(self) -> "EpochBar":
        if self._run.world.is_main and stderr.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """One more step is done. Reads tensors only when something is shown."""
        if not self._run.world.is_main or time.monotonic() - self._shown < (1.0 if stderr.is_terminal else LOG_SECONDS):
            return
        self._shown = time.monotonic()
        state = self._run.state
        progress = state.progress
        note = (
            f"RMSE {state.train_rmse():.4f}  {progress.samples / progress.seconds:,.0f} samples/s  "
            f"waiting for data {progress.wait_seconds / progress.seconds:.1%}"
        )
        self._bar.update(self._task, completed=progress.step, note=note)
        if not stderr.is_terminal:
            log.info("%s  step %d/%d  %s", self._label, progress.step, self._run.loader.steps, note)


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Names of the settings in which two runs differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [d for key in sorted({*old, *new}) for d in _differences(old.get(key), new.get(key), f"{path}.{key}")]
    return [] if old == new else [f"{path.removeprefix('.config').lstrip('.')} ({old} there, {new} now)"]


def seed_everything(seed: int) -> None:
    """Seed all generators that initial weights and dropout draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def show_summary(metrics: dict[str, Any], run: Path) -> None:
    """Print the test metrics beside the floors."""
    low, high = metrics["scale"]
    view = View(title=f"test ratings never seen, {low}-{high} scale ({run})", title_justify="left")
    for name in ("", "RMSE", "MAE", "R2"):
        view.add_column(name, justify="left" if not name else "right")
    rows = {"global mean": metrics["floors"]["global_mean"], "user + item bias": metrics["floors"]["bias"]}
    for name, values in {**rows, "this model": metrics["test"]}.items():
        view.add_row(name, *(f"{values[key]:.4f}" for key in ("rmse", "mae", "r2")))
    stdout.print(view)
    if metrics["ranking"]:
        view = View(title="ranking of unseen anime", title_justify="left")
        for name in ("", "NDCG@10", "Recall@20", "coverage@10"):
            view.add_column(name, justify="left" if not name else "right")
        for name, label in {"popularity": "most rated", "model": "by predicted rating"}.items():
            values = metrics["ranking"][name]
            view.add_row(label, *(f"{values[k]:.4f}" for k in ("ndcg_at_10", "recall_at_20", "coverage_at_10")))
        stdout.print(view)
    train = metrics["train"]
    stdout.print(
        f"{train['epochs']} epochs (best: {train['best_epoch']}), {train['samples_per_second']:,.0f} samples/s, "
        f"{train['seconds']:.1f} s training, {train['data_wait_share']:.1%} of it waiting for data"
    )


def train(config: TrainConfig, world: World) -> dict[str, Any]:
    """The metrics of a run that is begun, taken up, or only looked up as it is finished."""
    run = Run(config, world)
    metrics = run.finished()
    if metrics is None:
        run.resume()
        run.train()
        return run.finish()
    if world.is_main:
        log.info("%s is finished already; --resume never trains it anew", config.run_dir)
    return metrics


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(TrainConfig, argv, "train", presets("train")["wide_deep"])
    with join_world(config.device) as world:
        metrics = train(config, world)
        if world.is_main:
            show_summary(metrics, config.run_dir)


if __name__ == "__main__":
    run_command(main)
