"""Train a model on prepared ratings: one process, or many ranks under torchrun.

torchrun widedeep/train.py --data data/prepared --run-dir runs/best
"""

from widedeep.common.launch import enter_tuned_process

if __name__ == "__main__":
    enter_tuned_process()

from collections.abc import Sequence

from widedeep.common.command import load_config, run_command
from widedeep.common.console import log_counts
from widedeep.parallel.world import join_world
from widedeep.reporting.run_files import write_run_files
from widedeep.training.metrics_file import counts_of, show_summary
from widedeep.training.plan import plan
from widedeep.training.run import TrainingRun
from widedeep.training.settings import TrainConfig


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(TrainConfig, argv, "train", default="best")
    with join_world(config.device, config.timeout_seconds) as world:
        if config.dry_run:
            plan(config, world)
            return
        metrics = TrainingRun(config, world).execute()
        if world.is_main:
            if config.report:
                write_run_files(config.run_dir, config.data, metrics)
            log_counts("trained", counts_of(metrics))
            show_summary(metrics, config.run_dir)


if __name__ == "__main__":
    run_command(main)
