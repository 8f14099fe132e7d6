"""The command that shows the items or users most similar to one, by the cosine of their learnt vectors.

widedeep similar --run-dir runs/best --title "cowboy bebop"
"""

from collections.abc import Sequence

import numpy as np
import torch

from widedeep.common.command import load_config
from widedeep.common.console import log, print_table
from widedeep.common.errors import InputError
from widedeep.config.similar import SimilarConfig
from widedeep.scoring.title_search import TitleIndex
from widedeep.scoring.vectors import TrainedModel, load_trained, nearest


def find_item(trained: TrainedModel, query: str) -> int:
    """Return the item index of the item that best matches a title; log which other titles match."""
    titles = TitleIndex.of_table(trained.tables.items, trained.artifact.item_ratings.tolist())
    matches = titles.match(query)
    if matches.others:
        others = ", ".join(repr(titles.shown[item]) for item in matches.others)
        log.info("taking %r for %r; other matches: %s", titles.shown[matches.best], query, others)
    return matches.best


def find_user(trained: TrainedModel, user: str) -> int:
    """Return the user index of a user id; raise InputError if the data does not have it."""
    indexes = np.flatnonzero(trained.artifact.user_id == trained.artifact.ids.parse(user, "user"))
    if not len(indexes):
        raise InputError(f"user {user} is not among the {len(trained.artifact.user_id):,} users of the data")
    return int(indexes[0])


def show_neighbours(trained: TrainedModel, side: str, index: int, count: int, min_ratings: int) -> None:
    """Print a table of the most similar users or items.

    Args:
        trained: the model.
        side: `users` or `items`.
        index: user or item index.
        count: number of neighbours.
        min_ratings: training ratings that a neighbour must have; a model learns little from fewer.

    """
    artifact = trained.artifact
    ids, ratings = (
        (artifact.user_id, artifact.user_ratings) if side == "users" else (artifact.item_id, artifact.item_ratings)
    )
    key, text = ("user_id", "username") if side == "users" else (artifact.ids.item, "title")
    names = trained.table(side).strings(text)
    if not ratings[index]:
        log.warning("%r has no training ratings: the model knows little or nothing about it", names[index])
    neighbours, cosines = nearest(trained.vectors(side), index, torch.from_numpy(ratings >= min_ratings), count)
    rows = [
        (rank, ids[other], names[other], f"{cosine:.4f}", f"{ratings[other]:,}")
        for rank, (other, cosine) in enumerate(zip(neighbours.tolist(), cosines.tolist(), strict=True), start=1)
    ]
    columns = ("rank", key, text, "cosine", "training ratings")
    print_table(f"like {names[index]} ({key} {ids[index]})", columns, rows, text=(text,))


def main(argv: Sequence[str]) -> None:
    """Show the items or users most similar to one: parse, look up, print."""
    config = load_config(SimilarConfig, argv, "similar")
    trained = load_trained(config.run_dir, config.data)
    if config.title is not None:
        show_neighbours(trained, "items", find_item(trained, config.title), config.top, config.min_ratings)
    if config.user is not None:
        show_neighbours(trained, "users", find_user(trained, config.user), config.top, config.min_ratings)
