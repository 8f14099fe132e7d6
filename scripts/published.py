"""Work three published results out on a dump, each beside an honest one.

No published system runs here: simpler models, or arithmetic, show what such results mean.

python scripts/published.py --input data/raw --json published.json

It also writes the inputs that two presets need:
--unscored DIR    the dump with generated entries without a score, as many as the last of the three results implies, as
                  ratings of 0: for conf/prepare/genre_hybrid_published.toml
--mean-scores DIR the dump with the anime's mean Score, scaled to 0-1, in place of each rating, and its dataset.toml:
                  for conf/prepare/wide_deep_features_published.toml
"""

import argparse
import json
from pathlib import Path
from typing import Any

from widedeep.common.console import print_table
from widedeep.evaluation.published.dump_files import (
    ANIME_FILE,
    RATINGS_FILE,
    USERS_FILE,
    read_dump,
    write_mean_scores,
    write_unscored,
)
from widedeep.evaluation.published.mean_rating import worse_than_the_mean
from widedeep.evaluation.published.score_as_label import mean_scores_as_ratings, score_as_label
from widedeep.evaluation.published.unscored_entries import has_unscored, unscored_as_zero, unscored_entries


def flatten(results: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Nested results under dotted names."""
    rows: dict[str, Any] = {}
    for key, value in results.items():
        name = f"{path}.{key}" if path else key
        rows |= flatten(value, name) if isinstance(value, dict) else {name: value}
    return rows


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=Path("data/raw"), help="directory of the dump's three CSV files")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--unscored", type=Path, help="write the dump with entries without a score to this directory")
    parser.add_argument("--mean-scores", type=Path, help="write the dump with mean scores as ratings to this directory")
    options = parser.parse_args()
    missing = [name for name in (RATINGS_FILE, USERS_FILE, ANIME_FILE) if not (options.input / name).exists()]
    if missing:
        parser.error(f"--input {options.input} lacks {', '.join(missing)}")
    ratings, users, anime = read_dump(options.input)
    if options.unscored:
        added = ratings.head(0) if has_unscored(ratings) else unscored_entries(ratings, users, "share_of_the_published")
        write_unscored(options.input, options.unscored, added)
    if options.mean_scores:
        write_mean_scores(options.input, options.mean_scores, mean_scores_as_ratings(ratings, anime))
    results = {
        "rmse_0.0729": score_as_label(ratings, anime),
        "rmse_1.70": worse_than_the_mean(ratings),
        "rmse_2.79_r2_0.49": unscored_as_zero(ratings, users),
    }
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    for name, result in results.items():
        rows = [(key, f"{v:.4f}" if isinstance(v, float) else v) for key, v in flatten(result).items()]
        print_table(name, ["metric", "value"], rows, text=("metric", "value"))


if __name__ == "__main__":
    main()
