"""The command that shows the items or users most similar to one, by the cosine of their learnt vectors.

widedeep similar --run-dir runs/best --title "cowboy bebop"
"""

from collections.abc import Sequence

from widedeep.common.command import load_config
from widedeep.common.console import log, print_table
from widedeep.config.similar import SimilarConfig
from widedeep.scoring.loaded_model import LoadedModel


def find_title(model: LoadedModel, query: str) -> int:
    """Return the item index of the item that best matches a title; log which other titles match."""
    titles = model.titles
    matches = titles.match(query)
    if matches.others:
        others = ", ".join(repr(titles.shown[item]) for item in matches.others)
        log.info("taking %r for %r; other matches: %s", titles.shown[matches.best], query, others)
    return matches.best


def show_neighbours(model: LoadedModel, side: str, index: int, count: int, min_ratings: int) -> None:
    """Print a table of the most similar `users` or `items`; the arguments are those of `LoadedModel.neighbours`."""
    neighbours = model.neighbours(side, index, count, min_ratings)
    ids, _, names = model.described(side)
    key, text = ("user_id", "username") if side == "users" else (model.artifact.ids.item, "title")
    rows = [(row.rank, row.id, row.name, f"{row.cosine:.4f}", f"{row.train_ratings:,}") for row in neighbours]
    columns = ("rank", key, text, "cosine", "training ratings")
    print_table(f"like {names[index]} ({key} {ids[index]})", columns, rows, text=(text,))


def main(argv: Sequence[str]) -> None:
    """Show the items or users most similar to one: parse, look up, print."""
    config = load_config(SimilarConfig, argv, "similar")
    model = LoadedModel(config.run_dir, config.data)
    if config.title is not None:
        show_neighbours(model, "items", find_title(model, config.title), config.top, config.min_ratings)
    if config.user is not None:
        show_neighbours(model, "users", model.user_index(config.user), config.top, config.min_ratings)
