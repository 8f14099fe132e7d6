"""The steps of scripts/leaderboard.sh that read and write small files.

presets: print what to train, a line each: name, preset of conf/train and further flags, separated by tabs.
best: print the baselines that the others are compared with, and the seed on which they are.
write: write the tables and the picture.
page: write the page and the picture again from what leaderboard.json holds, without measuring anything.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from widedeep.common.command import read_toml
from widedeep.common.errors import InputError
from widedeep.reporting.leaderboard.board import Board, measured_data, read_board, shown_audit, write_board
from widedeep.reporting.leaderboard.entries import (
    best_baselines,
    entries_as_published,
    entries_over_seeds,
    lowest_seed,
    over_seeds_only,
    read_evaluations,
    seed_directory,
)
from widedeep.reporting.leaderboard.page import leaderboard_page
from widedeep.reporting.leaderboard.picture import draw_leaderboard
from widedeep.reporting.leaderboard.published_claims import published_claims
from widedeep.reporting.leaderboard.verbal_claims import verbal_claims
from widedeep.schema.manifest import read_manifest

ROOT = Path(__file__).resolve().parent.parent


def presets(table: Mapping[str, Any]) -> list[list[str]]:
    """Name, preset and flags of each model: the presets to train as they are, then their variants.

    Raises:
        InputError: a flag is empty, which a shell that splits lines at tabs would not see.

    """
    files = sorted((ROOT / "conf" / "train").glob("*.toml"))
    plain = table.get("train", [f.stem for f in files if not f.stem.endswith("_published")])
    variants = [[name, v["preset"], *v["flags"]] for name, v in table["presets"].items() if "preset" in v]
    for name, *words in variants:
        if not all(words):
            raise InputError(f"presets.{name}: a flag is empty; write --flag= as one text")
    return [[name, name] for name in plain] + variants


def write(work: Path, docs: Path, name: str, table: Mapping[str, Any]) -> None:
    """Write the tables and the picture: NAME.json, NAME.md and NAME.svg."""
    evaluations = read_evaluations(work)
    liked = next(iter(next(iter(evaluations.values())).values())).liked
    manifest = read_manifest(seed_directory(work, lowest_seed(evaluations)) / "prepared")
    entries = [*entries_over_seeds(work, table), *entries_as_published(work, table)]
    claims_file = work / "published.json"
    board = Board(
        data=measured_data(manifest, liked, table.get("about", "")),
        entries=tuple(entries),
        claims=published_claims(json.loads(claims_file.read_text())) if claims_file.exists() else (),
        verbal_claims=verbal_claims(table, entries),
        audit=shown_audit(manifest),
    )
    write_board(board, docs / f"{name}.json")
    write_page(docs, name)


def write_page(docs: Path, name: str) -> None:
    """Write NAME.md and NAME.svg from NAME.json."""
    board = read_board(docs / f"{name}.json")
    (docs / f"{name}.md").write_text(leaderboard_page(board, name))
    draw_leaderboard(over_seeds_only(board.entries), docs / f"{name}.svg")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("presets", "best", "write", "page"))
    parser.add_argument(
        "--work", type=Path, default=Path("data/leaderboard"), help="directory of scripts/leaderboard.sh"
    )
    parser.add_argument(
        "--systems",
        type=Path,
        default=ROOT / "scripts" / "leaderboard.toml",
        help="TOML file: what to train (default: all presets), and what to say of it",
    )
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the tables go")
    parser.add_argument("--name", default="leaderboard", help="of the tables and the picture")
    options = parser.parse_args()
    try:
        table = read_toml(options.systems)
        if options.action == "presets":
            print(*("\t".join(line) for line in presets(table)), sep="\n")
        elif options.action == "best":
            evaluations = read_evaluations(options.work)
            seed = lowest_seed(evaluations)
            print(*(f"{seed} {name}" for name in best_baselines(evaluations, table["baselines"])), sep="\n")
        elif options.action == "page":
            write_page(options.docs, options.name)
        else:
            write(options.work, options.docs, options.name, table)
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
