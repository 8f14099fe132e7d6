"""Anime like an anime, or users like a user, by the cosine of what a model has learnt of them.

widedeep similar --run-dir runs/wide_deep --anime "cowboy bebop"
"""

from collections.abc import Sequence

import numpy as np
import torch

from widedeep.common.command import load_config
from widedeep.common.console import log, print_table
from widedeep.common.errors import InputError
from widedeep.config.similar import SimilarConfig
from widedeep.scoring.title_search import match_title
from widedeep.scoring.vectors import Trained, load_trained, nearest


def find_anime(trained: Trained, query: str) -> int:
    """The index of the anime that is meant; says which other titles match."""
    titles = trained.tables.items.strings("title")
    found = match_title(query, titles, trained.artifact.item_ratings.tolist())
    if found.others:
        others = ", ".join(repr(titles[place]) for place in found.others)
        log.info("taking %r for %r; other matches: %s", titles[found.taken], query, others)
    return found.taken


def find_user(trained: Trained, user_id: int) -> int:
    """The index of a user; raises InputError if there is none."""
    found = np.flatnonzero(trained.artifact.user_id == user_id)
    if not len(found):
        raise InputError(f"user {user_id} is not among the {len(trained.artifact.user_id):,} users of the data")
    return int(found[0])


def show_neighbours(trained: Trained, side: str, index: int, count: int, least: int) -> None:
    """Print a table of `count` of them, each with at least as many training ratings: little is learnt of the others."""
    artifact = trained.artifact
    ids, ratings = (
        (artifact.user_id, artifact.user_ratings) if side == "users" else (artifact.anime_id, artifact.item_ratings)
    )
    key, text = ("user_id", "username") if side == "users" else ("anime_id", "title")
    names = trained.table(side).strings(text)
    if not ratings[index]:
        log.warning("%r has no training ratings: what the model knows of it is little or nothing", names[index])
    neighbours, cosines = nearest(trained.vectors(side), index, torch.from_numpy(ratings >= least), count)
    rows = [
        (rank, ids[other], names[other], f"{cosine:.4f}", f"{ratings[other]:,}")
        for rank, (other, cosine) in enumerate(zip(neighbours.tolist(), cosines.tolist(), strict=True), start=1)
    ]
    columns = ("rank", key, text, "cosine", "training ratings")
    print_table(f"like {names[index]} ({key} {ids[index]})", columns, rows, text=(text,))


def main(argv: Sequence[str]) -> None:
    """Parse, look up, print."""
    config = load_config(SimilarConfig, argv, "similar")
    trained = load_trained(config.run_dir, config.data)
    if config.anime is not None:
        show_neighbours(trained, "items", find_anime(trained, config.anime), config.top, config.min_ratings)
    if config.user is not None:
        show_neighbours(trained, "users", find_user(trained, config.user), config.top, config.min_ratings)
