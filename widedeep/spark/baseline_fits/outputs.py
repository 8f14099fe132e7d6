"""A system's directory, written by one process: lists and predictions as jobs/score_all.py writes them.

SYSTEMS/NAME/recommendations/   columns of widedeep/schema/recommendations.py, and _manifest.json
SYSTEMS/NAME/predictions/       user, item, rating, predicted, and _manifest.json
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from widedeep.baselines.tuning import ListBlock, Predictor
from widedeep.common.files import refusals_named
from widedeep.schema.manifest import HIDDEN_MANIFEST, Manifest
from widedeep.schema.predictions import PREDICTION_SCHEMA, PredictionManifest
from widedeep.schema.recommendations import RecommendationManifest, list_schema
from widedeep.schema.records import SealedRecord
from widedeep.spark.filesystem import Files, scratch_directory
from widedeep.spark.shards import describe_files
from widedeep.spark.staged_directory import Output, StagedDirectory, check_output, staged_directory

# A look-up reads one row group: small ones make it quick.
ROWS_PER_GROUP = 1 << 14
ROWS_PER_FILE = 1 << 20
PAIRS_PER_BLOCK = 1 << 20  # predicted at once
OUTPUTS: dict[str, type[SealedRecord]] = {
    "predictions": PredictionManifest,
    "recommendations": RecommendationManifest,
}


class ListLabels(NamedTuple):
    """Ids and titles that lists show instead of indexes."""

    user_id: np.ndarray  # [U] int64, or texts
    item_id: np.ndarray  # [I] int64, or texts
    title: pa.StringArray  # [I]


@dataclass(frozen=True)
class SystemWriter:
    """Writes and commits the predictions and lists of one system."""

    spark: SparkSession
    directory: str  # SYSTEMS/NAME
    manifest: Manifest  # of the prepared directory
    labels: ListLabels

    def check_outputs(self) -> None:
        """Raise InputError if there are outputs that no command of this package has written."""
        for name in OUTPUTS:
            check_output(Files(self.spark), self._output(name))

    def write_predictions(
        self, pairs: tuple[np.ndarray, np.ndarray, np.ndarray], predictor: Predictor, config: dict[str, Any]
    ) -> None:
        """Write a prediction for each pair (user, item, rating, all [n]), sorted by user."""
        with self._staged("predictions") as staged:
            write_parts(staged, PREDICTION_SCHEMA, prediction_tables(pairs, predictor))
            files = describe_files(self.spark, staged.path)
            manifest = PredictionManifest(
                config=config,
                data_digest=self.manifest.digest,
                model=f"baseline {config['baseline']}",
                rows=sum(file.rows for file in files),
                files=files,
            )
            staged.commit(manifest.seal())

    def write_lists(self, lists: Iterable[ListBlock], predictor: Predictor, config: dict[str, Any]) -> None:
        """Write lists.

        Args:
            lists: blocks of users in ascending order.
            predictor: of the column predicted_rating.
            config: for the manifest.

        """
        users: set[int] = set()
        items: set[int] = set()

        def tables() -> Iterator[pa.Table]:
            for block in lists:
                listed = block.items >= 0
                users.update(block.users[listed.any(axis=1)].tolist())
                items.update(block.items[listed].tolist())
                yield self._list_table(block, predictor)

        with self._staged("recommendations") as staged:
            write_parts(staged, list_schema(self.manifest.dataset.ids), tables())
            files = describe_files(self.spark, staged.path)
            manifest = RecommendationManifest(
                config=config,
                data_digest=self.manifest.digest,
                model=f"baseline {config['baseline']}",
                ids=self.manifest.dataset.ids,
                users=len(users),
                rows=sum(file.rows for file in files),
                distinct_items=len(items),
                files=files,
            )
            staged.commit(manifest.seal())

    def _output(self, name: str) -> Output:
        # Whether it is out of date, the caller has looked up in the result.
        return Output(f"{self.directory}/{name}", OUTPUTS[name].kind, overwrite=True, manifest_name=HIDDEN_MANIFEST)

    def _staged(self, name: str) -> AbstractContextManager[StagedDirectory]:
        return staged_directory(Files(self.spark), self._output(name))

    def _list_table(self, block: ListBlock, predictor: Predictor) -> pa.Table:
        """A row for each item of the lists, ranked from 1."""
        rows, ranks = np.nonzero(block.items >= 0)
        user, item = block.users[rows], block.items[rows, ranks]
        scale = self.manifest.ratings.scale
        predicted = np.clip(predictor(user, item), scale.lowest, scale.highest)
        columns = [
            self.labels.user_id[user],
            (ranks + 1).astype(np.int32),
            self.labels.item_id[item],
            self.labels.title.take(pa.array(item)),
            block.affinities[rows, ranks].astype(np.float32),
            predicted.astype(np.float32),
        ]
        schema = list_schema(self.manifest.dataset.ids)
        arrays = [pa.array(column, schema.field(n).type) for n, column in enumerate(columns)]
        arrays += [pa.nulls(len(rows), field.type) for field in list(schema)[len(arrays) :]]  # no explanations
        return pa.table(arrays, schema=schema)


def local_prepared(files: Files, data: str, manifest: Manifest) -> Path:
    """Return the prepared directory on this machine, after fetching its files if they are on another file system."""
    local = files.local(data)
    if local:
        return local
    here = scratch_directory()
    shards = [shard for group in manifest.ratings.shards.values() for shard in group]
    for file in (*shards, *manifest.users.files, *manifest.items.files):
        (here / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(files.fetch(f"{data}/{file.path}"), here / file.path)
    return here


def prediction_tables(pairs: tuple[np.ndarray, np.ndarray, np.ndarray], predictor: Predictor) -> Iterator[pa.Table]:
    """Predict pairs (user, item, rating, all [n]) in blocks, sorted by user."""
    order = np.argsort(pairs[0], kind="stable")  # so that a predictor looks up each user's neighbours once
    for low in range(0, max(1, len(order)), PAIRS_PER_BLOCK):
        user, item, rating = (column[order[low : low + PAIRS_PER_BLOCK]] for column in pairs)
        predicted = predictor(user, item).astype(np.float32)
        columns = [pa.array(column) for column in (user, item, rating, predicted)]
        yield pa.table(columns, schema=PREDICTION_SCHEMA)


def write_parts(staged: StagedDirectory, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write tables as Parquet files; all but the last have ROWS_PER_FILE rows or more.

    pyarrow does not know every file system that Spark does, so that files are written here and then moved.
    """
    number, rows, writer = 0, 0, None
    named = refusals_named(tempfile.gettempdir(), "name another temporary directory by TMPDIR")
    with named, tempfile.TemporaryDirectory(prefix="widedeep-") as here:
        part = Path(here) / "part-00000.parquet"
        for table in tables:
            part = Path(here) / f"part-{number:05d}.parquet"
            writer = writer or pq.ParquetWriter(part, schema, compression="zstd", write_page_checksum=True)
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
            rows += len(table)
            if rows >= ROWS_PER_FILE:
                writer.close()
                staged.files.send(part, f"{staged.path}/{part.name}")
                number, rows, writer = number + 1, 0, None
        if writer:
            writer.close()
            staged.files.send(part, f"{staged.path}/{part.name}")
