"""The command that recommends items to a person by their own ratings; the person need not be in the data.

widedeep recommend --ratings mylist.csv --run-dir runs/NAME
"""

import json
from collections.abc import Sequence

from widedeep.common.command import load_config
from widedeep.common.console import log, print_table
from widedeep.common.errors import InputError
from widedeep.common.files import write_atomically
from widedeep.config.recommend import RecommendConfig
from widedeep.data.rating_lists import read_rating_list
from widedeep.reporting.recommendation_table import show_list
from widedeep.schema.recommendations import dump_row
from widedeep.scoring.loaded_model import LoadedModel
from widedeep.scoring.personal import OwnRatings, match_entries, require_histories


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
    model = LoadedModel(config.run_dir, config.data)
    artifact = model.artifact
    require_histories(artifact.model, config.run_dir)
    entries = read_rating_list(config.ratings, model.trained.manifest.dataset, artifact.scale)
    own = match_entries(entries, model.item_of, model.titles)
    show_matches(own, len(entries))
    if not len(own.items):
        raise InputError(f"{config.ratings} has no rating of an item of the data, so there is nothing to go by")
    recommendations = model.recommend_to(own, config.top_n, model.rules(config.rerank))
    show_list("recommendations", recommendations, artifact.ids)
    if config.json_file:
        content = {
            "not_found": own.not_found,
            "recommendations": [dump_row(row, artifact.ids) for row in recommendations],
        }
        write_atomically(config.json_file, json.dumps(content, indent=1, ensure_ascii=False).encode())
