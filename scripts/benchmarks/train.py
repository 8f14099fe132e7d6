"""Compare widedeep/train.py with the same model in plain PyTorch, and with the machine's matrix products."""

import shutil
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import CPU, GEMM_SECONDS, Round
from benchmarks.workspace import Workspace
from widedeep.data.batches import unpack_columns
from widedeep.data.pyarrow_reader import read_shards
from widedeep.data.shards import read_row_groups
from widedeep.models.wide_deep import WideDeepConfig
from widedeep.schema.manifest import Manifest, read_manifest
from widedeep.training.limit import gemm_rate

PLAIN_SECONDS = 8.0
PLAIN_ROWS = 4_000_000


class PlainModel(nn.Module):
    """Two embeddings and an MLP in the simplest form."""

    def __init__(self, users: int, items: int, config: WideDeepConfig, sparse: bool):
        super().__init__()
        width = config.embedding_dim
        self.user = nn.Embedding(users, width, sparse=sparse)
        self.item = nn.Embedding(items, width, sparse=sparse)
        layers: list[nn.Module] = []
        for inner, outer in pairwise((2 * width, *config.hidden)):
            layers += [nn.Linear(inner, outer), nn.ReLU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(config.hidden[-1], 1))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """[B], [B] -> [B]."""
        return self.mlp(torch.cat([self.user(user), self.item(item)], dim=1)).squeeze(1)


def plain_rate(rows: Tensor, users: int, items: int, batch: int, sparse: bool) -> float:
    """Return the samples a second of `PlainModel` with dense fused Adam, or with SparseAdam for the embeddings."""
    user, item, rating = (column.clone() for column in unpack_columns(rows))
    user, item = user.long(), item.long()
    model = PlainModel(users, items, WideDeepConfig(), sparse)
    if sparse:
        tables = [model.user.weight, model.item.weight]
        optimizers = [torch.optim.SparseAdam(tables), torch.optim.Adam(model.mlp.parameters(), fused=True)]
    else:
        optimizers = [torch.optim.Adam(model.parameters(), fused=True)]
    order = torch.randperm(len(rating))

    def step(number: int) -> None:
        pick = order[number * batch % (len(order) - batch) :][:batch]
        loss = (model(user[pick], item[pick]) - rating[pick]).square().mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()

    return batch * _steps_per_second(step)


def _steps_per_second(step: Callable[[int], None]) -> float:
    for number in range(5):
        step(number)
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < PLAIN_SECONDS:
        step(5 + done)
        done += 1
    return done / (time.perf_counter() - begun)


def trained(workspace: Workspace, *options: str, ranks: int = 1) -> dict[str, Any]:
    """Train one epoch; return the `train` part of its metrics, its peak memory and its test RMSE."""
    run = workspace.path / "bench-run"
    cost = workspace.train(run, *options, ranks=ranks)
    metrics = workspace.metrics(run)
    shutil.rmtree(run)
    return metrics["train"] | {"peak_bytes": cost.peak_bytes, "test_rmse": metrics["test"]["rmse"]}


def bench(workspace: Workspace, repeats: int) -> list[Round]:
    """Train an epoch in each mode, in turn with the yardsticks."""
    manifest = read_manifest(workspace.prepared)
    sample = sample_ratings(workspace, manifest)
    users, items = int(sample[:, 0].max()) + 1, manifest.items.rows
    return [
        compare(
            gemm=gemm_rate(CPU, GEMM_SECONDS, 2048, 2048, 2048),
            resident=trained(workspace),
            stream=trained(workspace, "--loader.mode", "stream"),
            two_ranks=trained(workspace, "--device", "cpu", ranks=2),
            batch_1k=trained(workspace, "--batch-size", "1024"),
            dense=plain_rate(sample, users, items, 8192, sparse=False),
            sparse_1k=plain_rate(sample, users, items, 1024, sparse=True),
            sparse=plain_rate(sample, users, items, 8192, sparse=True),
        )
        for _ in range(repeats)
    ]


def sample_ratings(workspace: Workspace, manifest: Manifest) -> Tensor:
    """Return the first row groups of the training split, with PLAIN_ROWS rows or slightly more."""
    groups, rows = [], 0
    for group in read_row_groups(read_shards, workspace.prepared, manifest.ratings.shards["train"], seed=0):
        groups.append(torch.from_numpy(group))
        rows += len(group)
        if rows >= PLAIN_ROWS:
            break
    return torch.cat(groups)


def compare(
    *,
    gemm: float,
    resident: dict[str, Any],
    stream: dict[str, Any],
    two_ranks: dict[str, Any],
    batch_1k: dict[str, Any],
    dense: float,
    sparse_1k: float,
    sparse: float,
) -> Round:
    """Return the rates of a round, and their ratios."""
    widths = (2 * WideDeepConfig().embedding_dim, *WideDeepConfig().hidden, 1)
    # Three products: forward, gradient of the input, gradient of the weights.
    flops = 6 * sum(inner * outer for inner, outer in pairwise(widths))
    rate = resident["samples_per_second"]
    return {
        "samples_per_second": rate,
        "vs_gemm": rate * flops / gemm,
        "vs_dense_adam": rate / dense,
        "vs_sparse_adam": rate / sparse,
        "vs_sparse_adam_1k": rate / sparse_1k,
        "batch_1k_vs_sparse_adam_1k": batch_1k["samples_per_second"] / sparse_1k,
        "two_ranks_vs_one": two_ranks["samples_per_second"] / rate,
        "data_wait_share": resident["data_wait_share"],
        "stream_data_wait_share": stream["data_wait_share"],
        "stream_samples_per_second": stream["samples_per_second"],
        "gemm_flops": gemm,
        "flops_per_sample": flops,
        "peak_bytes": resident["peak_bytes"],
        "stream_peak_bytes": stream["peak_bytes"],
        "test_rmse": resident["test_rmse"],
        "stream_test_rmse": stream["test_rmse"],
        "two_ranks_test_rmse": two_ranks["test_rmse"],
    }
