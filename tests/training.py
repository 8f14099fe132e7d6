"""Helpers that train as a user does, with the command line, on a small prepared directory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from widedeep.training.metrics_file import TIMED

ROOT = Path(__file__).resolve().parent.parent
TORCHRUN = Path(sys.executable).with_name("torchrun")
SETTINGS = """
device = "cpu"
epochs = 3
patience = "none"
batch_size = 64
ranking_users = 20
[model]
embedding_dim = 8
hidden = [16, 8]
[optim]
lr = 0.01
"""


def command(data: Path, run: Path, **flags: Any) -> list[str]:
    """Return the command line: `--data … --run-dir …` and further flags; `optim__lr=1` means `--optim.lr 1`."""
    settings = run.with_suffix(".toml")
    settings.write_text(SETTINGS)
    named = {name.replace("__", ".").replace("_", "-"): str(value) for name, value in flags.items()}
    pairs = {"config": str(settings), "data": str(data), "run-dir": str(run), **named}
    return ["widedeep/train.py", *(part for name, value in pairs.items() for part in (f"--{name}", value))]


def torchrun(ranks: int, argv: list[str]) -> subprocess.CompletedProcess:
    """Run under torchrun, with a free port per call, so that tests can run in parallel."""
    launch = [str(TORCHRUN), "--standalone", "--nproc-per-node", str(ranks)]
    return subprocess.run([*launch, *argv], cwd=ROOT, capture_output=True, text=True)


def widedeep(ranks: int, argv: list[str]) -> subprocess.CompletedProcess:
    """Run with the package's own launcher, which passes on the exit code of a rank."""
    launch = [str(TORCHRUN.with_name("widedeep")), "train", "--nproc-per-node", str(ranks), "--"]
    return subprocess.run([*launch, *argv[1:]], cwd=ROOT, capture_output=True, text=True)


def python(argv: list[str]) -> subprocess.CompletedProcess:
    """Run a single process without torchrun."""
    return subprocess.run([sys.executable, *argv], cwd=ROOT, capture_output=True, text=True)


def train(argv: list[str]) -> dict[str, Any]:
    """Train in this process and return the metrics."""
    from widedeep.train import main

    main(argv[1:])
    return metrics(Path(argv[argv.index("--run-dir") + 1]))


def metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def curve(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl, one per epoch."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def learnt(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return metrics.json without the values that depend on the clock."""
    return {**metrics, "train": {name: value for name, value in metrics["train"].items() if name not in TIMED}}


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """Return the points of a curve of TensorBoard's event files: number and value, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # TensorBoard reads files in the order of their names, which end in the second and the number of the writer in its
    # process. Within a second, here a whole training, the hundredth would come before the ninety-ninth.
    for file in folder.glob("events.out.tfevents.*"):
        start, _, number = file.name.rpartition(".")
        file.rename(folder / f"{start}.{int(number):06}")
    return [(event.step, event.value) for event in EventAccumulator(str(folder)).Reload().Scalars(name)]
