"""The `widedeep` command, which runs every command of this package by name.

widedeep train --config ncf --data data/prepared --run-dir runs/ncf
"""

import argparse
import importlib
import os
import shlex
import sys
from importlib.metadata import version
from typing import NamedTuple

from widedeep.common.command import run_command
from widedeep.common.launch import enter_tuned_process, launch_training


class Command(NamedTuple):
    """A command: the module whose `main` it runs, what starts that module, and a line of help."""

    module: str
    engine: str | None  # spark, torch (torchrun), process (one that trains by itself) or none
    help: str


SPARK = "widedeep.spark"
COMMANDS = {
    "synthesize": Command(f"{SPARK}.synthesis.synthesize", "spark", "write a dump with a known answer planted in it"),
    "explore": Command(f"{SPARK}.exploration.explore", "spark", "show a dump in one HTML page"),
    "check-data": Command(f"{SPARK}.preparation.check_data", "spark", "check or propose the description of a data set"),
    "prepare": Command(f"{SPARK}.preparation.prepare", "spark", "turn a dump into checked, encoded Parquet shards"),
    "train": Command("widedeep.train", "torch", "train a model on prepared ratings"),
    "search": Command("widedeep.search", "process", "search for the settings of a training that are best"),
    "score-all": Command(f"{SPARK}.scoring.score_all", "spark", "write the best items of every user"),
    "recommendations": Command("widedeep.recommendations", None, "show the recommendations of a user"),
    "recommend": Command("widedeep.recommend", None, "recommend items to a person by their own ratings"),
    "similar": Command("widedeep.similar", None, "show the items or users most similar to one"),
    "serve": Command("widedeep.serve.command", None, "serve lists over HTTP, with a page for people"),
    "export": Command("widedeep.export", None, "write encoders, scalers and vectors as Parquet"),
    "baselines": Command(f"{SPARK}.baseline_fits.baselines", "spark", "tune and fit what models are compared with"),
    "evaluate": Command(f"{SPARK}.evaluation.evaluate", "spark", "measure systems on the test split"),
    "doctor": Command("widedeep.doctor", None, "show versions, memory and disk, and what is wrong"),
}
# Commands that may also be written in two words.
IN_TWO_WORDS = {"data check": "check-data"}
EPILOG = """
widedeep COMMAND --help shows the settings of a command. What stands before a -- goes to what starts it, options of
spark-submit (such as --master, --driver-memory) or of torchrun (such as --nproc-per-node):

  widedeep train --nproc-per-node 2 -- --epochs 5
"""


def make_parser() -> argparse.ArgumentParser:
    """Return a parser for the name of the command; the command parses the other arguments itself."""
    parser = argparse.ArgumentParser(
        prog="widedeep",
        usage="widedeep COMMAND [OPTION ... --] [SETTING ...]",
        description="From a dump of ratings to recommendations for every user.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"widedeep {version('widedeep')}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.help, add_help=False)
    return parser


def main() -> None:
    """Run the command that the command line names."""
    parser = make_parser()
    if long := IN_TWO_WORDS.get(" ".join(sys.argv[1:3])):
        sys.argv[1:3] = [long]
    name, rest = parser.parse_args(sys.argv[1:2]).command, sys.argv[2:]
    command = COMMANDS[name]
    options, settings = split_at(rest, "--")
    if options and command.engine not in ("spark", "torch"):
        parser.error(f"{name} is started by nothing that takes options before a --")
    if command.engine == "torch" and not {"--help", "-h"} & set(settings):
        launch_training(options, settings)
        return
    if command.engine == "process":
        enter_tuned_process()
    if command.engine == "spark":
        os.environ["PYSPARK_SUBMIT_ARGS"] = shlex.join(["--name", f"widedeep {name}", *options, "pyspark-shell"])
    sys.argv = [f"widedeep {name}", *settings]
    run_command(importlib.import_module(command.module).main)


def split_at(arguments: list[str], mark: str) -> tuple[list[str], list[str]]:
    """Return the arguments before a mark and those after it; without a mark, all are after it."""
    place = arguments.index(mark) if mark in arguments else -1
    return arguments[: max(place, 0)], arguments[place + 1 :]


if __name__ == "__main__":
    main()
