"""Outputs to serve, made without Spark: a trained model, and its stored lists."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import widedeep
from tests.builders import MAL, describe, write_prepared
from tests.training import command, train
from widedeep.config.serve import ServeConfig
from widedeep.schema.dataset import Dataset
from widedeep.schema.manifest import HIDDEN_MANIFEST, SPLITS
from widedeep.schema.recommendations import RecommendationManifest, id_type
from widedeep.scoring.loaded_model import LoadedModel
from widedeep.scoring.user_lists import ListPlan, score_batches

USERS, ITEMS, STORED = 150, 61, 12
# All items are candidates, so that a list has the affinities of pairs; users are known by their ratings alone.
HISTORY = {"model__name": "wide_deep_history", "model__candidates": ITEMS, "optim__lr": 5e-3, "model__user_columns": ""}
BY_INDEX = {"model__hidden": "16,8"}


class Outputs(NamedTuple):
    """Directories as the three commands write them."""

    folder: Path

    @property
    def config(self) -> ServeConfig:
        return ServeConfig(
            run_dir=self.folder / "run",
            data=self.folder / "prepared",
            recommendations=self.folder / "lists",
            timeout_seconds=120.0,  # a process that answers takes long to start on a busy machine
        )

    def load(self) -> LoadedModel:
        return widedeep.load(self.folder / "run", self.folder / "prepared")


def make_outputs(folder: Path, flags: dict | None = None, dataset: Dataset = MAL) -> Outputs:
    """Prepare, train and store lists of STORED items; some users and items are cold."""
    write_prepared(folder / "prepared", users=USERS, items=ITEMS, features=True, dataset=dataset)
    fit(folder, flags)
    outputs = Outputs(folder)
    store_lists(folder / "lists", outputs.load())
    return outputs


def fit(folder: Path, flags: dict | None = None, seed: int = 0) -> None:
    """Train, in place of a model that is there."""
    settings = {"epochs": 1, "batch_size": 512, "ranking_users": 0, "seed": seed, "resume": "never"}
    train(command(folder / "prepared", folder / "run", **settings, **(HISTORY if flags is None else flags)))


def store_lists(directory: Path, model: LoadedModel, length: int = STORED, users_per_group: int = 40) -> None:
    """Write the lists of all users as jobs/score_all.py does: sorted by user, in several files and row groups."""
    artifact, manifest = model.artifact, model.trained.manifest
    shards = [shard for split in manifest.ratings.shards.values() for shard in split]
    user = np.arange(len(artifact.user_id), dtype=np.int32)
    seen = [model.trained.tables.rated_items(one, shards) for one in user.tolist()]
    batch = pa.record_batch(
        {
            "user": user,
            "user_id": pa.array(artifact.user_id, id_type(artifact.ids)),
            "seen": pa.array(seen, pa.list_(pa.int32())),
        }
    )
    plan = ListPlan(pa.array(model.titles.shown, pa.string()), length)
    rows = pa.Table.from_batches(score_batches(artifact, model.scorer, iter([batch]), plan))
    directory.mkdir(exist_ok=True)
    half, names = len(rows) // 2, ("part-00000.parquet", "part-00001.parquet")
    for name, part in zip(names, (rows[:half], rows[half:]), strict=True):
        draft = directory / f".{name}"
        pq.write_table(part, draft, row_group_size=users_per_group * length, write_page_checksum=True)
        draft.rename(directory / name)
    written = RecommendationManifest(
        config={"exclude": SPLITS, "top_n": length},
        data_digest=manifest.digest,
        model=artifact.sha256,
        ids=artifact.ids,
        users=len(user),
        rows=len(rows),
        distinct_items=len(rows[artifact.ids.item].unique()),
        files=tuple(describe(directory, name) for name in names),
    )
    draft = directory / f".{HIDDEN_MANIFEST}"
    draft.write_text(written.seal())
    draft.rename(directory / HIDDEN_MANIFEST)


def export(*entries: tuple[int, int, str]) -> bytes:
    """A list as MyAnimeList exports it, of item ids, scores and states."""
    anime = "".join(
        f"<anime><series_animedb_id>{item}</series_animedb_id><series_title><![CDATA[T{item}]]></series_title>"
        f"<my_score>{score}</my_score><my_status>{status}</my_status></anime>"
        for item, score, status in entries
    )
    return f'<?xml version="1.0"?><myanimelist><myinfo/>{anime}</myanimelist>'.encode()
