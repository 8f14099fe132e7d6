"""Row-wise updates of tables, compared with torch's optimizers on a sparse embedding."""

from functools import partial

import pytest
import torch
from torch import nn

from widedeep.config.train import OptimConfig
from widedeep.parallel.row_embeddings import RowEmbedding, RowOptimizer, sum_duplicate_rows
from widedeep.parallel.world import World

ROWS, WIDTH, LR = 9, 3, 0.05
# Rows with repeats; row 8 never comes, row 5 rests after the first step.
BATCHES = [torch.tensor(rows, dtype=torch.int32) for rows in ([5, 1, 1, 0], [2, 1, 2, 7], [0, 3, 3, 3], [4, 6, 1, 0])]
REFERENCES = {
    "adam": torch.optim.SparseAdam,
    "adamw": torch.optim.SparseAdam,
    "adagrad": torch.optim.Adagrad,
    "sgd": torch.optim.SGD,
}


def loss_of(embeddings: torch.Tensor, step: int) -> torch.Tensor:
    targets = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(step))
    return (embeddings - targets).square().mean()


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("name", REFERENCES)
def test_rows_move_as_under_torchs_sparse_optimizers(name):
    torch.manual_seed(0)
    table = RowEmbedding(ROWS, WIDTH, 1.0).train()
    reference = nn.Embedding(ROWS, WIDTH, sparse=True)
    reference.weight.data.copy_(table.weight)
    world = World(0, 1, torch.device("cpu"))
    rows, theirs = RowOptimizer([table], OptimConfig(name=name), world), REFERENCES[name](reference.parameters(), lr=LR)
    for step, batch in enumerate(BATCHES):
        loss_of(table(batch), step).backward()
        rows.step(rows.start(), LR)
        theirs.zero_grad()
        loss_of(reference(batch), step).backward()
        theirs.step()
        torch.testing.assert_close(table.weight.detach(), reference.weight.detach())


def test_evaluation_collects_nothing():
    table = RowEmbedding(ROWS, WIDTH, 1.0)
    table.eval()(BATCHES[0])
    with torch.no_grad():
        table.train()(BATCHES[0])
    assert table.gathered == []


@pytest.mark.parametrize("compact", [True, False])
def test_sums_of_rows_by_hand(compact):
    rows, grads = torch.tensor([4, 2, 4, 0, 2, 4]), torch.tensor([[1.0], [10.0], [2.0], [100.0], [20.0], [4.0]])
    found, sums = sum_duplicate_rows(rows, grads, 5, compact)
    assert sorted(found.tolist()) == ([0, 2, 4] if compact else sorted(rows.tolist()))
    assert dict(zip(found.tolist(), sums[:, 0].tolist(), strict=True)) == {0: 100.0, 2: 30.0, 4: 7.0}


def test_repeated_rows_move_as_distinct_ones(monkeypatch):
    """Non-compact sums, the default on a GPU, give the same result on the CPU."""
    tables = []
    for compact in (True, False):
        monkeypatch.setattr(
            "widedeep.parallel.row_embeddings.sum_duplicate_rows", partial(sum_duplicate_rows, compact=compact)
        )
        torch.manual_seed(0)
        table = RowEmbedding(ROWS, WIDTH, 1.0).train()
        rows = RowOptimizer([table], OptimConfig(), World(0, 1, torch.device("cpu")))
        for step, batch in enumerate(BATCHES):
            loss_of(table(batch), step).backward()
            rows.step(rows.start(), LR)
        tables.append(table.weight)
    assert torch.equal(*tables)


def test_a_row_that_is_there_twice_counts_once_in_the_norm():
    """As on a GPU, where each duplicate has the full sum: 3^2 + 4^2 + 1^2."""
    rows, grads = torch.tensor([0, 5, 5]), torch.tensor([[3.0, 4.0], [1.0, 0.0], [1.0, 0.0]])
    assert float(RowEmbedding(6, 2, 1.0).squared_norm(rows, grads)) == 26.0
