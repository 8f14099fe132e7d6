"""Write a dump in the schema of MyAnimeList 2023, of any size, with a known answer planted in it.

    spark-submit jobs/synthesize.py --ratings 1e6 --seed 7 --output data/raw

The driver draws the anime (at most 25 K) and broadcasts them. Each task then draws whole blocks of users by itself:
nothing on the driver grows with the ratings, and the text does not depend on the number of tasks.
"""

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from widedeep.common.command import load_config
from widedeep.common.console import log, print_table, say
from widedeep.common.errors import InputError
from widedeep.config.raw_data import ANIME_FILE, RATINGS_FILE, USERS_FILE
from widedeep.config.synthesize import SynthesizeConfig
from widedeep.schema.records import seal
from widedeep.spark.filesystem import Files
from widedeep.spark.session import build_session
from widedeep.spark.staged_directory import Output, staged_directory
from widedeep.synthesis.anime_text import anime_header, anime_lines
from widedeep.synthesis.calibration import plant
from widedeep.synthesis.dump_text import FAULTS, RATING_HEADER, USER_HEADER, anime_labels, rating_text, user_text
from widedeep.synthesis.planted_model import PlantedModel
from widedeep.synthesis.ratings import Ratings, draw_ratings, draw_scored
from widedeep.synthesis.sizes import Sizes, plan_sizes
from widedeep.synthesis.users import Users, draw_users

MOST_RATINGS_IN_ONE_FILE = 100_000_000  # above this, a CSV is a directory of part files
BLOCKS_PER_PART = 16  # about 1.1 M ratings, 50 MB
MIN_PARTS = 8  # small dumps use several cores too
LEVELS = range(1, 11)
FAULT_NAMES = sorted(set(FAULTS))
# Squared errors are summed as integers in this unit: an exact sum does not depend on its order.
ERROR_UNIT = 1e-6
COUNT_COLUMNS = [*(f"rated_{level}" for level in LEVELS), "unscored", "squared_error", *FAULT_NAMES]


def main(argv: Sequence[str]) -> None:
    """Parse, build, run, close."""
    config = load_config(SynthesizeConfig, argv, "synthesize")
    plan_sizes(config.ratings, config.users, config.anime)  # report impossible sizes before Spark starts
    spark = build_session("widedeep synthesize")
    try:
        manifest = synthesize(spark, config)
    finally:
        spark.stop()
    print_summary(config.output, manifest)


def synthesize(spark: SparkSession, config: SynthesizeConfig, parts: int | None = None) -> dict[str, Any]:
    """Write the dump and return the content of its manifest.json.

    Args:
        spark: the session.
        config: the settings.
        parts: number of tasks among which the users are divided; None: `part_count` of the sizes.

    """
    began, files = time.monotonic(), Files(spark)
    output = config.output.rstrip("/")
    sizes = plan_sizes(config.ratings, config.users, config.anime)
    with staged_directory(files, Output(output, "generated data", config.overwrite)) as staged:
        log.info("planting: %s ratings, %s of %s users, %s anime", *_grouped(sizes))
        model = plant(config.seed, sizes, config.noise)
        counts = write_dump(spark, staged.path, config, model, parts or part_count(sizes))
        planted = planted_facts(model, counts)
        files.write_text(f"{staged.path}/planted.json", json.dumps(planted, indent=2) + "\n")
        manifest = manifest_facts(files, staged.path, config, model, counts, planted)
        staged.commit(seal("generated data", 1, manifest))
    log.info("wrote %s in %.0f s", output, time.monotonic() - began)
    return manifest


def part_count(sizes: Sizes) -> int:
    """Return the number of tasks, and of part files, from the sizes alone."""
    return min(sizes.blocks, max(MIN_PARTS, -(-sizes.blocks // BLOCKS_PER_PART)))


def write_dump(
    spark: SparkSession, directory: str, config: SynthesizeConfig, model: PlantedModel, parts: int
) -> dict[str, int]:
    """Write the three CSV files and return the sums of COUNT_COLUMNS over the ratings file."""
    files = Files(spark)
    shared = spark.sparkContext.broadcast((model, anime_labels(model)))
    one_file = model.sizes.ratings <= MOST_RATINGS_IN_ONE_FILE
    columns = ", ".join(f"`{name}` long" for name in COUNT_COLUMNS)

    def ratings_of(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model, labels = shared.value
        for block, head in _blocks(batches, one_file):
            yield rating_batch(config, model, labels, block, RATING_HEADER if head else None)

    def users_of(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model, _ = shared.value
        for block, head in _blocks(batches, one_file):
            yield user_batch(config, model, block, USER_HEADER if head else None)

    def anime_of(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            yield _text_batch("\n".join([anime_header(), *anime_lines(shared.value[0])]))

    observed = Observation("ratings")
    blocks = spark.range(0, model.sizes.blocks, 1, parts)
    log.info("writing %s in %d parts", RATINGS_FILE, parts)
    ratings = blocks.mapInArrow(ratings_of, f"text string, {columns}")
    ratings = ratings.observe(observed, *(F.sum(name).alias(name) for name in COUNT_COLUMNS)).select("text")
    _write(files, ratings, f"{directory}/{RATINGS_FILE}", one_file)
    log.info("writing %s", USERS_FILE)
    _write(files, blocks.mapInArrow(users_of, "text string"), f"{directory}/{USERS_FILE}", one_file)
    log.info("writing %s", ANIME_FILE)
    _write(files, spark.range(0, 1, 1, 1).mapInArrow(anime_of, "text string"), f"{directory}/{ANIME_FILE}", True)
    shared.destroy()
    return {name: int(value) for name, value in observed.get.items()}


def _blocks(batches: Iterable[pa.RecordBatch], one_file: bool) -> Iterator[tuple[int, bool]]:
    """Yield the blocks of a task, each with whether a header comes first: once in the file, or once in each part."""
    first = True
    for batch in batches:
        for block in batch.column(0).to_pylist():
            yield block, (block == 0) if one_file else first
            first = False


def rating_batch(
    config: SynthesizeConfig, model: PlantedModel, labels: pa.Array, block: int, header: str | None
) -> pa.RecordBatch:
    """Return one row: the text of a block of the ratings file, and its COUNT_COLUMNS."""
    users, ratings, scored = _draw_block(config, model, block)
    bad_rows = round(config.bad_rows * model.sizes.ratings)
    written = rating_text(model, labels, block, users, ratings, scored, bad_rows)
    levels = np.bincount(ratings.rating[scored], minlength=11)[1:]
    error = float(((ratings.rating - ratings.expected)[scored] ** 2).sum())
    counts = [
        *levels,
        len(scored) - scored.sum(),
        round(error / ERROR_UNIT),
        *(written.faults.get(name, 0) for name in FAULT_NAMES),
    ]
    return _text_batch(written.text, header, dict(zip(COUNT_COLUMNS, counts, strict=True)))


def user_batch(config: SynthesizeConfig, model: PlantedModel, block: int, header: str | None) -> pa.RecordBatch:
    """Return one row: the text of a block of the users file. The ratings are drawn again, for the users' means."""
    users, ratings, scored = _draw_block(config, model, block)
    return _text_batch(user_text(model, block, users, ratings, scored), header)


def _draw_block(config: SynthesizeConfig, model: PlantedModel, block: int) -> tuple[Users, Ratings, NDArray[np.bool_]]:
    """Return the users of a block, their ratings, and which of these have a score; the same at every call."""
    users = draw_users(model, block)
    ratings = draw_ratings(model, block, users)
    return users, ratings, draw_scored(model, block, users, ratings, config.unscored)


def _text_batch(text: str, header: str | None = None, counts: dict[str, int] | None = None) -> pa.RecordBatch:
    """Return one row with all lines, or no row without lines; Spark's text writer adds the last newline."""
    lines = [part for part in (header, text.removesuffix("\n")) if part]
    columns = {"text": pa.array(["\n".join(lines)]), **{k: pa.array([int(v)]) for k, v in (counts or {}).items()}}
    return pa.RecordBatch.from_pydict(columns).slice(0, 1 if lines else 0)


def _write(files: Files, frame: DataFrame, target: str, one_file: bool) -> None:
    """Write the text in order, as one file or as a directory of part files."""
    directory = f"{target}.parts" if one_file else target
    frame.write.text(directory)
    if one_file:
        parts = [name for name, _, _ in files.entries(directory) if name.startswith("part-")]
        files.concatenate([f"{directory}/{name}" for name in parts], target)
        files.delete(directory)


def planted_facts(model: PlantedModel, counts: dict[str, int]) -> dict[str, Any]:
    """Return the content of planted.json: the known answer that a recommender is measured against."""
    histogram = np.array([counts[f"rated_{level}"] for level in LEVELS])
    rows = int(histogram.sum())
    if not rows:
        raise InputError("no entry has a score: lower --unscored or raise --ratings")
    mean = float((histogram * LEVELS).sum() / rows)
    return {
        # The noise floor: the RMSE of a predictor that knows everything but the noise.
        "rmse_floor": round(math.sqrt(counts["squared_error"] * ERROR_UNIT / rows), 6),
        # RMSE of the reference model, user + item biases, on held-out ratings of a sample of the users.
        "rmse_bias": None if math.isnan(model.bias_rmse) else round(model.bias_rmse, 4),
        "noise_sd": model.noise,
        "ratings": rows,
        "unscored": counts["unscored"],  # further entries, without a score
        "mean": round(mean, 6),
        "sd": round(math.sqrt(float((histogram * (np.array(LEVELS) - mean) ** 2).sum()) / rows), 6),
        "histogram": {str(level): int(count) for level, count in zip(LEVELS, histogram, strict=True)},
        "parameters": model.parameters(),
    }


def manifest_facts(
    files: Files,
    staging: str,
    config: SynthesizeConfig,
    model: PlantedModel,
    counts: dict[str, int],
    planted: dict[str, Any],
) -> dict[str, Any]:
    """Return the content of manifest.json."""
    bad = {name: counts[name] for name in FAULT_NAMES}
    rows = {
        RATINGS_FILE: planted["ratings"] + planted["unscored"] + sum(bad.values()),
        USERS_FILE: model.sizes.users,
        ANIME_FILE: model.sizes.anime,
    }
    return {
        "config": config.model_dump(mode="json", exclude={"overwrite"}),
        "seed": config.seed,
        "sizes": {**vars(model.sizes), "rated_anime": int((model.anime.popularity > 0).sum())},
        "files": {name: {"rows": rows[name], "bytes": _bytes(files, f"{staging}/{name}")} for name in rows},
        "bad_rows": bad,
        "rmse_floor": planted["rmse_floor"],
    }


def _bytes(files: Files, name: str) -> int:
    return sum(size for _, size, _ in files.data_entries(name))


def _grouped(sizes: Sizes) -> tuple[str, ...]:
    return tuple(f"{n:,}" for n in (sizes.ratings, sizes.raters, sizes.users, sizes.anime))


def print_summary(output: str, manifest: dict[str, Any]) -> None:
    """Print the files that were written."""
    files = manifest["files"].items()
    rows = [(name, f"{facts['rows']:,}", f"{facts['bytes'] / 1e6:,.1f}") for name, facts in files]
    print_table(output, ("file", "rows", "MB"), rows)
    say(f"noise floor: RMSE {manifest['rmse_floor']:.4f}")
