"""The command that recommends items to a person by their own ratings; the person need not be in the data.

widedeep recommend --ratings mylist.csv --run-dir runs/NAME
"""

import json
from collections.abc import Sequence

import numpy as np

from widedeep.common.command import load_config, presets, read_toml
from widedeep.common.console import log, print_table
from widedeep.common.errors import InputError
from widedeep.common.files import write_atomically
from widedeep.config.recommend import RecommendConfig
from widedeep.data.feature_tables import Tables
from widedeep.data.rating_lists import read_rating_list
from widedeep.models import ARCHITECTURES, REGISTRY, Recommender
from widedeep.reporting.recommendation_table import show_list
from widedeep.schema.recommendations import dump_row
from widedeep.scoring.list_rules import make_rules, sample_step
from widedeep.scoring.personal import OwnRatings, match_entries, recommend_to
from widedeep.scoring.title_search import TitleIndex
from widedeep.scoring.vectors import load_trained


def require_histories(model: Recommender, run: object) -> None:
    """Raise InputError, naming the presets that can, if a model cannot serve people who are not in the data."""
    if model.encodes_histories:
        return
    default = ARCHITECTURES[0].name()
    names = {preset: read_toml(file).get("model", {}).get("name", default) for preset, file in presets("train").items()}
    able = [preset for preset, name in names.items() if REGISTRY[name].encodes_histories]
    remedy = f"train with --config {' or '.join(able)}" if able else "no preset of this release can"
    raise InputError(
        f"the model in {run} ({model.name()}) knows people by their index alone, so it cannot recommend to others: "
        f"{remedy}"
    )


def sample_ratings(tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Return the users and items of the training ratings of a sample of users; see `make_rules`."""
    user, item, _ = tables.train_ratings()
    kept = user % sample_step(tables.users.rows) == 0
    return user[kept], item[kept]


def show_matches(own: OwnRatings, entries: int) -> None:
    """Print what became of each entry of a person's list."""
    for message in own.remarks:
        log.info(message)
    for message in own.not_found:
        log.warning(message)
    counts = {
        "rated": len(own.items),
        "seen, not rated": own.unrated,
        "planned, not rated": own.planned,
        "not found": len(own.not_found),
    }
    counts["replaced by a later rating"] = entries - sum(counts.values())
    print_table(f"{entries:,} entries", ("", ""), [(name, f"{count:,}") for name, count in counts.items()])


def main(argv: Sequence[str]) -> None:
    """Recommend to a person: parse, look up, print."""
    config = load_config(RecommendConfig, argv, "recommend")
    trained = load_trained(config.run_dir, config.data)
    artifact = trained.artifact
    require_histories(artifact.model, config.run_dir)
    entries = read_rating_list(config.ratings, trained.manifest.dataset, artifact.scale)
    titles = TitleIndex.of_table(trained.tables.items, artifact.item_ratings.tolist())
    own = match_entries(entries, artifact.item_id, titles)
    show_matches(own, len(entries))
    if not len(own.items):
        raise InputError(f"{config.ratings} has no rating of an item of the data, so there is nothing to go by")
    rules = make_rules(config.rerank, trained.tables.items, lambda: sample_ratings(trained.tables))
    recommendations = recommend_to(artifact, titles.shown, own, config.top_n, rules)
    show_list("recommendations", recommendations, artifact.ids)
    if config.json_file:
        content = {
            "not_found": own.not_found,
            "recommendations": [dump_row(row, artifact.ids) for row in recommendations],
        }
        write_atomically(config.json_file, json.dumps(content, indent=1, ensure_ascii=False).encode())
