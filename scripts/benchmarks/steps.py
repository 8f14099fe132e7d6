"""Time steps of the default model's training: torchrun scripts/benchmarks/steps.py DATA RUN_DIR ROUNDS JSON.

The closed forms are fitted once. Then each round times STEPS steps. One process also keeps the model in RUN_DIR.
"""

from widedeep.common.launch import enter_tuned_process

if __name__ == "__main__":
    enter_tuned_process()

import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from widedeep.common.command import load_config
from widedeep.data.batches import Batch
from widedeep.data.histories import UserHistories
from widedeep.models.artifact import MODEL_FILE, save_artifact
from widedeep.parallel.world import World, join_world
from widedeep.training.run import TrainingRun
from widedeep.training.settings import TrainConfig

WARM_UP, STEPS = 5, 50


def endless(run: TrainingRun) -> Iterator[Batch | UserHistories]:
    """Yield the batches of one epoch after the other."""
    for epoch in itertools.count():
        yield from run.loader.epoch(epoch)


def timed(run: TrainingRun, batches: Iterator[Batch | UserHistories], steps: int, world: World) -> float:
    """Train for some steps and return the ratings a second of all ranks."""
    world.barrier()
    before, begun = run.state.progress.samples, time.perf_counter()
    for batch in itertools.islice(batches, steps):
        with run.state.limit.counting(len(batch.rating)):
            run.state.train_step(batch)
    world.barrier()
    return (run.state.progress.samples - before) / (time.perf_counter() - begun)


def main() -> None:
    """Run the command."""
    data, run_dir, rounds, file = sys.argv[1:]
    flags = ["--data", data, "--run-dir", run_dir, "--resume", "never", "--device", "cpu"]
    config = load_config(TrainConfig, flags, "train", default="best")
    with join_world(config.device, config.timeout_seconds) as world:
        run = TrainingRun(config, world)
        try:
            batches = endless(run)
            timed(run, batches, WARM_UP, world)
            speeds = [timed(run, batches, STEPS, world) for _ in range(int(rounds))]
            if world.is_main:
                shares = [run.state.limit.share(speed) or 0.0 for speed in speeds]
                Path(file).write_text(json.dumps({"samples_per_second": speeds, "vs_gemm": shares}))
                if world.size == 1:
                    save_artifact(Path(run_dir) / MODEL_FILE, run.model, run.manifest, run.tables)
        finally:
            run.close()


if __name__ == "__main__":
    main()
