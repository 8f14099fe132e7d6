"""What an encoding of a user holds, and how it is one row of numbers.

Legend: u users, L the longest history, R rows (the rated items, and the last one for all unrated items), K neighbours,
D width of a profile, C numbers of an encoding.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from widedeep.models.history.people import Neighbours
from widedeep.models.history.wide import WideScores

BITS = 24  # a float32 holds whole numbers below 2**24 exactly


class Encoded(NamedTuple):
    """What is known of users."""

    row: Tensor  # [u, L or fewer] int64 rows of the history; the last row fills up
    rating: Tensor  # [u, L or fewer] float32
    rated: Tensor  # [u, R] bool, the rows of all ratings, of which the history may be a part
    wide: WideScores
    people: Neighbours | None  # of like taste, K of them; None if the model has none
    profile: Tensor  # [u, D] float32


class Layout(NamedTuple):
    """The widths of what an encoding holds."""

    longest: int
    rows: int
    neighbours: int
    profile: int

    def pack(self, encoded: Encoded) -> Tensor:
        """Return encodings, [u, C] float32."""
        short = 0, self.longest - encoded.row.shape[1]
        history = pad(encoded.row.float(), short, value=self.rows - 1.0), pad(encoded.rating, short)
        columns = *history, bits_to_floats(encoded.rated), *encoded.wide, *(encoded.people or ()), encoded.profile
        return torch.cat(columns, dim=1)

    def unpack(self, encodings: Tensor) -> Encoded:
        """Return what encodings hold, [u, C] -> histories as long as the longest of them."""
        bits, scores = -(-self.rows // BITS), len(WideScores._fields)
        widths = [self.longest, self.longest, bits, *[self.rows] * scores, *[self.neighbours] * 2, self.profile]
        row, rating, rated, *wide, place, similarity, profile = encodings.split(widths, dim=1)
        length = max(1, int((row < self.rows - 1).sum(1).max())) if len(row) else 1
        return Encoded(
            row=row[:, :length].long(),
            rating=rating[:, :length],
            rated=floats_to_bits(rated, self.rows),
            wide=WideScores(*wide),
            people=Neighbours(place.long(), similarity) if self.neighbours else None,
            profile=profile,
        )


def bits_to_floats(bits: Tensor) -> Tensor:
    """Return BITS bits as a whole number each: [u, R] bool -> [u, R / BITS] float32."""
    groups = pad(bits, (0, -bits.shape[1] % BITS)).unflatten(1, (-1, BITS))
    return groups.float() @ _powers(bits).float()


def floats_to_bits(numbers: Tensor, count: int) -> Tensor:
    """Return the first `count` bits of such numbers: [u, R / BITS] -> [u, R] bool."""
    return (numbers.int()[:, :, None] & _powers(numbers)).bool().flatten(1)[:, :count]


def _powers(like: Tensor) -> Tensor:
    """Return the value of each bit of a number, [BITS] int32."""
    return 1 << torch.arange(BITS, dtype=torch.int32, device=like.device)
