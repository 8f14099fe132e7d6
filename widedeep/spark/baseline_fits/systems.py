"""A system's directory: its lists, its predictions, and what says that it is whole.

SYSTEMS/NAME/recommendations/   as jobs/score_all.py writes it
SYSTEMS/NAME/predictions/       user:int32, item:int32, rating:float32, predicted:float32, and _manifest.json
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from widedeep.baselines.tuning import Predictor
from widedeep.schema.manifest import HIDDEN_MANIFEST, MAX_RATING, DataFile, Manifest
from widedeep.schema.recommendations import RecommendationManifest
from widedeep.scoring.pairs import PredictionManifest
from widedeep.spark.filesystem import Files, scratch_directory, staged_directory
from widedeep.spark.shards import describe_files

# A look-up reads one row group: small ones make it quick.
ROW_GROUP = 1 << 14
ROWS_PER_FILE = 1 << 20
# Pairs predicted at once.
PAIRS = 1 << 20

PREDICTED = pa.schema(
    [("user", pa.int32()), ("item", pa.int32()), ("rating", pa.float32()), ("predicted", pa.float32())]
)
LISTED = pa.schema(
    [
        ("user_id", pa.int64()),
        ("rank", pa.int32()),
        ("anime_id", pa.int64()),
        ("title", pa.string()),
        ("score", pa.float32()),
        ("predicted_rating", pa.float32()),
    ]
)
# users [n], items [n, N] (-1: none) and scores [n, N] of a block of users, best first
Lists = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


class Names(NamedTuple):
    """What stands for positions in the lists."""

    user_id: np.ndarray  # [U] int64
    anime_id: np.ndarray  # [I] int64
    title: list[str]  # I of them


def prepared_here(files: Files, data: str, manifest: Manifest) -> Path:
    """The prepared directory on this machine; its files are fetched if it is on another file system."""
    local = files.local(data)
    if local:
        return local
    here = scratch_directory()
    shards = [shard for group in manifest.ratings.shards.values() for shard in group]
    for file in (*shards, *manifest.users.files, *manifest.items.files):
        (here / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(files.fetch(f"{data}/{file.path}"), here / file.path)
    return here


def write_predictions(
    spark: SparkSession,
    output: str,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    predictor: Predictor,
    config: dict[str, Any],
    data_digest: str,
) -> PredictionManifest:
    """Write a prediction for each pair (user, item, rating, all [n]), in the order of users, and commit them."""
    order = np.argsort(pairs[0], kind="stable")  # a predictor may have to look at a user's neighbours

    def tables() -> Iterator[pa.Table]:
        for low in range(0, max(1, len(pairs[0])), PAIRS):
            user, item, rating = (column[order[low : low + PAIRS]] for column in pairs)
            predicted = predictor(user, item).astype(np.float32)
            yield pa.table([pa.array(c) for c in (user, item, rating, predicted)], schema=PREDICTED)

    def manifest(files: tuple[DataFile, ...]) -> PredictionManifest:
        rows = sum(file.rows for file in files)
        return PredictionManifest(config=config, data_digest=data_digest, rows=rows, files=files)

    return _write(spark, output, tables(), PREDICTED, manifest)


def write_lists(
    spark: SparkSession,
    output: str,
    lists: Lists,
    predictor: Predictor,
    names: Names,
    lowest: int,
    config: dict[str, Any],
    data_digest: str,
) -> RecommendationManifest:
    """Write lists as jobs/score_all.py does and commit them.

    Args:
        spark: the session, which measures the files.
        output: directory to write.
        lists: of blocks of users, in ascending order of positions.
        predictor: of the column predicted_rating.
        names: of users and items.
        lowest: of the ratings' scale, to which predictions are clipped.
        config: for the manifest.
        data_digest: of the prepared directory.

    """
    users, shown = set(), set()
    titles = pa.array(names.title, pa.string())

    def tables() -> Iterator[pa.Table]:
        for block, items, scores in lists:
            rows, ranks = np.nonzero(items >= 0)
            chosen, who = items[rows, ranks], block[rows]
            users.update(who.tolist())
            shown.update(chosen.tolist())
            predicted = np.clip(predictor(who, chosen), lowest, MAX_RATING)
            columns = [
                names.user_id[who],
                (ranks + 1).astype(np.int32),
                names.anime_id[chosen],
                titles.take(pa.array(chosen)),
                scores[rows, ranks].astype(np.float32),
                predicted.astype(np.float32),
            ]
            yield pa.table([pa.array(column) for column in columns], schema=LISTED)

    def manifest(files: tuple[DataFile, ...]) -> RecommendationManifest:
        return RecommendationManifest(
            config=config,
            data_digest=data_digest,
            users=len(users),
            rows=sum(file.rows for file in files),
            distinct_anime=len(shown),
            files=files,
        )

    return _write(spark, output, tables(), LISTED, manifest)


def _write(spark: SparkSession, output: str, tables: Iterator[pa.Table], schema: pa.Schema, manifest: Callable) -> Any:
    """Write tables as Parquet files and commit them with their manifest; return the manifest."""
    files = Files(spark)
    with staged_directory(files, output, HIDDEN_MANIFEST) as staged:
        _write_files(files, staged.path, tables, schema)
        written = manifest(describe_files(spark, staged.path))
        staged.commit(written.model_dump_json(indent=1))
    return written


def _write_files(files: Files, directory: str, tables: Iterator[pa.Table], schema: pa.Schema) -> None:
    """Write tables to Parquet files, each of at least ROWS_PER_FILE rows except for the last."""
    number, writer, rows = 0, None, 0
    # Made here, then moved to where the data is: pyarrow does not know all the places that Spark does.
    with tempfile.TemporaryDirectory(prefix="widedeep-") as here:
        for table in tables:
            part = Path(here) / f"part-{number:05d}.parquet"
            writer = writer or pq.ParquetWriter(part, schema, compression="zstd", write_page_checksum=True)
            writer.write_table(table, row_group_size=ROW_GROUP)
            rows += len(table)
            if rows >= ROWS_PER_FILE:
                writer.close()
                files.send(part, f"{directory}/{part.name}")
                number, writer, rows = number + 1, None, 0
        if writer:
            writer.close()
            files.send(Path(here) / f"part-{number:05d}.parquet", f"{directory}/part-{number:05d}.parquet")
