"""Train with full and with sharded tables in the same processes, and compare the two; run by torchrun.

compare_tables.py DATA OUT writes OUT/RANK.json.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from widedeep.models.wide_deep import WideDeepConfig
from widedeep.models.wide_deep_cross import WideDeepCrossConfig
from widedeep.config.train import EmbeddingConfig, LoaderConfig, OptimConfig
from widedeep.training.settings import TrainConfig
from widedeep.models import REGISTRY
from widedeep.data.loaders import make_loader
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.schema.manifest import read_manifest
from widedeep.parallel.sharding import embedding_kind, shard_bounds
from widedeep.data.feature_tables import Tables
from widedeep.training.negatives import NegativeSampler
from widedeep.training.step import TrainState, evaluate
from widedeep.parallel.world import World, join_world, local_part

STEPS = 10
WIDE_DEEP = WideDeepConfig(embedding_dim=5, hidden=(8,))
# Uses only columns of the small prepared directory.
CROSS = WideDeepCrossConfig(
    **{"pair_buckets": 41, "crosses": (), "wide_users": (), "wide_items": ("genres",), "embedding_dim": 3},
    **{"deep_items": ("genres",), "deep_users": (), "deep_numeric": ("score",), "hidden": (8,)},
)
CASES = {
    "adam": (WIDE_DEEP, "adam", "mse"),
    "adagrad": (WIDE_DEEP, "adagrad", "mse"),
    "sgd": (WIDE_DEEP, "sgd", "mse"),
    "wide_deep_cross": (CROSS, "adam", "mse"),
    "softmax": (WIDE_DEEP, "adam", "softmax"),
}
# Streaming an odd number of shards gives the ranks different numbers of valid batches.
LOADER = LoaderConfig(mode="stream", shuffle_buffer=1000)


class Training:
    """A training, and its tables with their moments."""

    def __init__(self, data: Path, world: World, case: str, sharding: str):
        model, optim, loss = CASES[case]
        config = TrainConfig(
            data=data,
            model=model,
            loss=loss,
            optim=OptimConfig(name=optim, lr=0.05, embedding_decay=1e-3),
            embedding=EmbeddingConfig(sharding=sharding),
        )
        torch.manual_seed(3)
        tables, kind = Tables(data, read_manifest(data)), embedding_kind(config.embedding, world)
        self.model = REGISTRY[model.name].from_tables(model, tables, kind)
        sampler = NegativeSampler(tables.items.values("train_ratings"), config.ranking, 0, world)
        self.state = TrainState(self.model, config, world, STEPS, sampler)
        self.embeddings = [module for module in self.model.modules() if isinstance(module, RowEmbedding)]
        self.tables = [embedding.weight.data for embedding in self.embeddings]
        self.moments = [moment for group in self.state.optimizer._rows._moments for moment in group]

    def dense(self) -> list[Tensor]:
        return [value for name, value in self.model.state_dict().items() if "embedding" not in name]

    def bytes(self) -> int:
        """Size of this rank's part of tables and moments."""
        return sum(local_part(tensor).untyped_storage().nbytes() for tensor in (*self.tables, *self.moments))


def same(shares: list[Tensor], wholes: list[Tensor], world: World) -> bool:
    """Whether local parts equal the full tables to the bit, without the last row, which steps do not update."""
    for share, whole in zip(shares, wholes, strict=True):
        low, high = shard_bounds(len(whole), world.rank, world.size)
        high = min(high, len(whole) - 1)
        if not torch.equal(local_part(share)[: high - low], whole[low:high]):
            return False
    return True


def compare(data: Path, world: World, case: str) -> dict:
    loader = make_loader(data, read_manifest(data), world, LOADER, batch_size=64, seed=0)
    whole, sharded = (Training(data, world, case, sharding) for sharding in ("none", "row"))
    found = {
        "distributed": all(isinstance(t, DTensor) and t.placements == (Shard(0),) for t in sharded.tables),
        "same_at_first": same(sharded.tables, whole.tables, world),
    }
    before = whole.tables[0].clone()
    for _, batch in zip(range(STEPS), loader.epoch(0), strict=False):
        for training in (whole, sharded):
            training.state.train_step(batch)
    found |= {
        "moved": float((whole.tables[0] - before).abs().max()),
        "same_tables": same(sharded.tables, whole.tables, world),
        "same_moments": same(sharded.moments, whole.moments, world),
        "same_dense": all(torch.equal(s, w) for s, w in zip(sharded.dense(), whole.dense(), strict=True)),
        "bytes": [training.bytes() for training in (whole, sharded)],
        "batches": sum(-(-len(rows) // 50) for rows in loader.batches("valid")),
        "rmse": [evaluate(training.model, loader, "valid", world, 50)["rmse"] for training in (whole, sharded)],
    }
    last = torch.tensor([len(before) - 1] * (1 - world.rank), dtype=torch.int32)  # rank 1 requests no rows
    settled = [training.embeddings[0](last) for training in (whole, sharded)]
    return found | {"settled": [rows.tolist() for rows in settled]}


def main(data: str, out: str) -> None:
    with join_world("cpu") as world:
        found = {case: compare(Path(data), world, case) for case in CASES}
        (Path(out) / f"{world.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
