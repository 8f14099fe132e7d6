"""The histories of a block of users, padded to equal length, with what follows from them alone.

Legend: u users, L ratings of the longest history, A rated items and one row for all others, n ratings of all histories.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from widedeep.data.histories import owners_of, starts_of
from widedeep.data.rating_matrices import preference
from widedeep.models.history.biases import USER_DAMPING
from widedeep.models.history.factors import UserFactors
from widedeep.models.history.people import Neighbours
from widedeep.models.history.statistics import ItemStatistics
from widedeep.models.history.wide import Bags
from widedeep.schema.rating_scale import RatingScale


class Past(NamedTuple):
    """Padded histories."""

    row: Tensor  # [u, L] int64 rows of rated items; the row of unrated items fills up
    present: Tensor  # [u, L] float32, 1.0 where there is a rating
    weight: Tensor  # [u, L] float32, the preference of the rating, 0 where there is none
    residual: Tensor  # [u, L] float32, rating - mean - user bias - item bias, 0 where there is none
    rating: Tensor  # [u, L] float32, of no meaning where there is none
    bias: Tensor  # [u, 1] float32, the user's bias by this history
    count: Tensor  # [u, 1] float32, number of ratings, 1 for an empty history
    profile: Tensor  # [u, D] float32, the vector of what else is known of the user; [u, 1] zeros if nothing is
    people: Neighbours | None = None  # of like taste; None: nobody looks for them
    factors: UserFactors | None = None  # None: the model has none
    rated: Tensor | None = None  # [u, A + 1] bool, all rows that the user has rated; the history may have fewer

    def part(self, users: Tensor | slice, length: int) -> "Past":
        """Return some of the users, whose histories have at most `length` ratings; without `rated`."""
        row, present, weight, residual, rating = (column[users, :length] for column in self[:5])
        of_users = (column[users] for column in (self.bias, self.count, self.profile))
        people, factors = self.people and self.people.part(users), self.factors and self.factors.part(users)
        return Past(row, present, weight, residual, rating, *of_users, people=people, factors=factors)


def make_past(
    row: Tensor, rating: Tensor, statistics: ItemStatistics, scale: RatingScale, profile: Tensor | None = None
) -> Past:
    """Return padded histories.

    Args:
        row: [u, L] int64; the last row, that of unrated items, where there is no rating.
        rating: [u, L] float32.
        statistics: of the items.
        scale: of the ratings.
        profile: [u, D] vectors of the users by what else is known of them; None: nothing is.

    """
    present = (row < len(statistics.count) - 1).float()
    deviation = statistics.deviations(row, rating) * present
    count = present.sum(1, keepdim=True)
    bias = deviation.sum(1, keepdim=True) / (count + USER_DAMPING)
    return Past(
        row=row,
        present=present,
        weight=preference(rating, scale) * present,
        residual=(deviation - bias) * present,
        rating=rating,
        bias=bias,
        count=count.clamp(min=1.0),
        profile=torch.zeros_like(bias) if profile is None else profile,
    )


def bags_of(past: Past) -> tuple[Bags, Tensor]:
    """Return padded histories one after another, and the residuals of their ratings [n]."""
    there = past.present > 0
    return Bags(starts_of(there.sum(1)), past.row[there], past.weight[there]), past.residual[there]


def pad(start: Tensor, columns: tuple[Tensor, ...], fills: tuple[float, ...]) -> tuple[Tensor, ...]:
    """Pad ragged columns: [n] each, split at `start` [u + 1] -> [u, L] each, filled up with `fills`."""
    count = start.diff()
    user = owners_of(start, len(columns[0]))
    place = torch.arange(len(user), device=start.device) - start[user]
    length = max(1, int(count.max())) if len(count) else 1
    padded = []
    for column, fill in zip(columns, fills, strict=True):
        out = torch.full((len(count), length), fill, dtype=column.dtype, device=column.device)
        out[user, place] = column
        padded.append(out)
    return tuple(padded)
