"""Train, kill and resume at random moments for hours, and compare each end with that of an undisturbed training.

python scripts/soak.py --data data/prepared --hours 2

Trainings of one rank and of two take turns. Each is killed (SIGKILL) or stopped (SIGTERM) at random moments until it
ends; its metrics and its model must then be those of the undisturbed one, bit by bit. Beside them one training goes on
all the time: its memory, threads and open files must not grow.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from safetensors.torch import load_file

from widedeep.common.console import log, print_table, setup_logging
from widedeep.training.metrics_file import TIMED

ROOT = Path(__file__).resolve().parent.parent
MOST_GROWTH = 0.05  # of the memory, from the first quarter of the time to the last
MOST_MORE = 2  # threads or open files, some of which come and go


class Look(NamedTuple):
    """What a process has at a moment."""

    memory: int  # bytes that are its own
    threads: int
    files: int


def look_at(process: psutil.Process) -> Look:
    """Return what a process has."""
    memory = process.memory_info()
    # Without the pages of libraries: how many of them count as a process's own depends on which others run.
    return Look(memory.rss - getattr(memory, "shared", 0), process.num_threads(), process.num_fds())


def command(data: Path, run: Path, ranks: int, *flags: str) -> list[str]:
    """Return the command line of a training."""
    launch = [sys.executable] if ranks == 1 else ["torchrun", "--standalone", "--nproc-per-node", str(ranks)]
    settings = ["--config", "wide_deep", "--data", str(data), "--run-dir", str(run), "--device", "cpu"]
    return [*launch, "widedeep/train.py", *settings, "--checkpoint-seconds", "1", *flags]


def start(argv: list[str]) -> subprocess.Popen[bytes]:
    """Start a training in a session of its own, without output."""
    return subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def learnt(run: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return what a finished training has learnt: its metrics without times, and its weights."""
    metrics = json.loads((run / "metrics.json").read_text())
    for name in TIMED:
        del metrics["train"][name]
    return metrics, load_file(run / "model.safetensors")


def same(run: Path, undisturbed: Path) -> bool:
    """Whether two trainings have learnt the same, bit by bit."""
    (metrics, weights), (expected, others) = learnt(run), learnt(undisturbed)
    equal = weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)
    return equal and metrics == expected


def kill_until_it_ends(argv: list[str], seconds: float, draw: random.Random) -> tuple[int, int]:
    """Run a command again and again, killing it after a random time, until it ends; return the kills and the stops."""
    kills = stops = 0
    while True:
        process = start(argv)
        try:
            code = process.wait(timeout=draw.uniform(0.2, 2.0) * seconds)  # some must get past their start
        except subprocess.TimeoutExpired:
            if draw.random() < 0.5:
                kills += 1
                for child in [*psutil.Process(process.pid).children(recursive=True), process]:
                    child.kill()
            else:
                stops += 1
                process.terminate()
            process.wait()
            continue
        if code:
            raise RuntimeError(f"{' '.join(argv)} ended with {code}")
        return kills, stops


class Ended(NamedTuple):
    """A training that was disturbed and has come to its end."""

    ranks: int
    kills: int
    stops: int
    same: bool  # whether it has learnt what the undisturbed one has
    more_files: int  # than the undisturbed one left


def disturb(options: argparse.Namespace, flags: list[str]) -> tuple[list[Ended], list[Look]]:
    """Train with disturbances until the time is over; return the ends, and looks at the training beside them."""
    draw, seconds, whole = random.Random(options.seed), {}, {}
    ended, looks, run = [], [], options.work / "disturbed"
    beside = start(command(options.data, options.work / "beside", 1, "--epochs", "1000000", "--patience", "none"))
    try:
        for ranks in (1, 2):
            began, whole[ranks] = time.monotonic(), options.work / f"undisturbed-{ranks}"
            subprocess.run(command(options.data, whole[ranks], ranks, *flags), cwd=ROOT, check=True)
            seconds[ranks] = time.monotonic() - began
        end = time.monotonic() + 3600 * options.hours
        while time.monotonic() < end:
            ranks = 1 + len(ended) % 2
            kills, stops = kill_until_it_ends(command(options.data, run, ranks, *flags), seconds[ranks], draw)
            files, expected = (len(list(path.rglob("*"))) for path in (run, whole[ranks]))
            ended.append(Ended(ranks, kills, stops, same(run, whole[ranks]), files - expected))
            looks.append(look_at(psutil.Process(beside.pid)))
            log.info("training %d: %s", len(ended), ended[-1])
            shutil.rmtree(run)
    finally:
        beside.kill()
        beside.wait()
    return ended, looks


def report(ended: list[Ended], looks: list[Look]) -> bool:
    """Print what happened; return whether every end was the same and nothing grew."""
    rows = []
    for ranks in (1, 2):
        mine = [one for one in ended if one.ranks == ranks]
        counts = (len(mine), sum(one.kills for one in mine), sum(one.stops for one in mine))
        left = max((one.more_files for one in mine), default=0)
        rows.append((f"{ranks} rank(s)", *counts, sum(not one.same for one in mine), left))
    columns = ("", "ended", "kills", "stops", "ended otherwise", "more files, at most")
    print_table("trainings", columns, rows)
    quarter = max(1, len(looks) // 4)
    parts = (looks[:quarter], looks[-quarter:])
    first, last = (Look(*map(statistics.median, zip(*part, strict=True))) for part in parts)
    grown = [
        ("memory, MB", f"{first.memory / 1e6:.0f}", f"{last.memory / 1e6:.0f}"),
        ("threads", first.threads, last.threads),
        ("open files", first.files, last.files),
    ]
    print_table("the training beside them, medians", ("", "first quarter", "last quarter"), grown)
    more = max(last.threads - first.threads, last.files - first.files)
    flat = last.memory <= (1 + MOST_GROWTH) * first.memory and more <= MOST_MORE
    return flat and all(one.same for one in ended)


def main() -> None:
    """Run the command; exit with 1 if an end differs or a process grows."""
    setup_logging()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/prepared"), help="prepared directory to train on")
    parser.add_argument("--work", type=Path, default=Path("data/soak"), help="directory of the trainings; is emptied")
    parser.add_argument("--hours", type=float, default=2.0, help="how long (default: 2)")
    parser.add_argument("--epochs", type=int, default=3, help="of each training (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    ended, looks = disturb(options, ["--epochs", str(options.epochs), "--patience", "none"])
    sys.exit(0 if report(ended, looks) else 1)


if __name__ == "__main__":
    main()
