"""The parts of sharding that need no other ranks; tests/dist/test_sharding.py has the rest."""

import pytest
import torch
from torch import nn

from widedeep.config.train import EmbeddingConfig
from widedeep.evaluation.sampled_ranking import share_of_sample
from widedeep.parallel.row_embeddings import RowEmbedding
from widedeep.parallel.sharding import embedding_kind, init_shard_rows, shard_bounds
from widedeep.parallel.world import ALONE, World

BLOCK = 32


@pytest.mark.parametrize(("rows", "size"), [(10, 1), (10, 2), (9, 2), (10, 4), (9, 4), (3, 4), (1, 2)])
def test_the_shares_are_those_of_torch_chunk(rows, size):
    ranges = [range(*shard_bounds(rows, rank, size)) for rank in range(size)]
    chunks = [chunk.tolist() for chunk in torch.arange(rows).chunk(size)]
    assert [list(share) for share in ranges if len(share)] == chunks
    assert all(share.stop == rows for share in ranges[len(chunks) :])


@pytest.mark.parametrize("width", [1, 3, 8, 32])
@pytest.mark.parametrize("rows", [1, 5, 16, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK - 1, 3 * BLOCK, 3 * BLOCK + 7])
def test_a_share_has_the_numbers_of_a_table_drawn_as_a_whole(rows, width):
    torch.manual_seed(7)
    whole = nn.init.normal_(torch.empty(rows, width), std=0.3)
    following = torch.randn(20)
    for size in (1, 2, 3):
        parts = []
        for rank in range(size):
            torch.manual_seed(7)
            parts.append(init_shard_rows(rows, width, 0.3, *shard_bounds(rows, rank, size), block=BLOCK))
            assert torch.equal(torch.randn(20), following)  # what comes after draws the same, too
        assert torch.equal(torch.cat(parts), whole)


def test_one_rank_alone_holds_whole_tables():
    two = World(0, 2, torch.device("cpu"))
    assert embedding_kind(EmbeddingConfig(sharding="row"), ALONE) is RowEmbedding
    assert embedding_kind(EmbeddingConfig(), two) is RowEmbedding
    assert embedding_kind(EmbeddingConfig(sharding="row"), two) is not RowEmbedding


@pytest.mark.parametrize("users", [0, 1, 2, 5, 6])
def test_every_rank_scores_as_many_users_and_all_are_scored(users):
    sample = torch.arange(users) + 100
    shares = [share_of_sample(sample, World(rank, 3, torch.device("cpu"))).tolist() for rank in range(3)]
    assert len({len(share) for share in shares}) == 1
    assert {user for share in shares for user in share} == set(sample.tolist())


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("before", [1, 2, 3, 5])
def test_a_rank_finds_its_rows_in_the_parts_of_any_number_of_ranks(rows, ranks, before, monkeypatch):
    whole = torch.arange(3 * rows).view(rows, 3)
    parts = [whole[slice(*shard_bounds(rows, rank, before))] for rank in range(before)]
    table = RowEmbedding(rows, 3, 1.0)
    for rank in range(ranks):
        mine = shard_bounds(rows, rank, ranks)
        monkeypatch.setattr(RowEmbedding, "bounds", property(lambda _, mine=mine: mine))
        assert torch.equal(table.own_rows(parts), whole[slice(*mine)])
