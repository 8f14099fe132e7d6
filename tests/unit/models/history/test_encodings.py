"""Encodings of users: what is packed is unpacked, to the bit."""

import pytest
import torch

from widedeep.models.history.encodings import Encoded, Layout, bits_to_floats, floats_to_bits
from widedeep.models.history.people import Neighbours
from widedeep.models.history.wide import WideScores

ROWS = 50  # the last one is that of unrated items


@pytest.mark.parametrize("count", [1, 23, 24, 25, 100])
def test_bits_come_back(count):
    bits = torch.rand(3, count, generator=torch.Generator().manual_seed(count)) < 0.5
    bits[0], bits[1] = True, False
    numbers = bits_to_floats(bits)
    assert numbers.dtype == torch.float32
    assert numbers.shape == (3, -(-count // 24))
    assert torch.equal(floats_to_bits(numbers, count), bits)


@pytest.mark.parametrize("neighbours", [0, 3])
@pytest.mark.parametrize("lengths", [(4, 2), (0, 0)], ids=["histories", "no ratings"])
def test_what_is_packed_is_unpacked(neighbours, lengths):
    torch.manual_seed(0)
    longest = max(lengths)
    there = torch.arange(6) < torch.tensor(lengths)[:, None]
    people = Neighbours(torch.randint(9, (2, neighbours)), torch.rand(2, neighbours)) if neighbours else None
    given = Encoded(
        row=torch.where(there, torch.randint(ROWS - 1, (2, 6)), ROWS - 1),
        rating=torch.where(there, torch.rand(2, 6), 0.0),
        rated=torch.rand(2, ROWS) < 0.3,
        wide=WideScores(*(torch.randn(2, ROWS) for _ in WideScores._fields)),
        people=people,
        profile=torch.randn(2, 5),
    )
    layout = Layout(longest=8, rows=ROWS, neighbours=neighbours, profile=5)
    found = layout.unpack(layout.pack(given))
    expected = given._replace(row=given.row[:, : max(1, longest)], rating=given.rating[:, : max(1, longest)])
    for one, other in zip(found, expected, strict=True):
        pairs = [(one, other)] if isinstance(other, torch.Tensor) else zip(one or (), other or (), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
