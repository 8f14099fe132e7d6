"""When items came out: how a target stands in time to a history, and which parts of its franchise a user knows.

Legend: I items, u users, T targets, L ratings of a history, M items with similar titles.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from widedeep.models.history.fitted import Fitted
from widedeep.models.history.lookups import rows_of
from widedeep.models.history.past import Past
from widedeep.models.history.titles import Similar

PERIODS = 32  # of time, with equally many rated items in each
WELL_KNOWN = 50.0  # ratings from which it counts in full that a user has not rated a part
NO_GAP = 9.0  # in place of the time since the last known part, where there is none
DAMPING = 2.0  # of the mean residual of a period, in ratings
NUMBERS = 11


class Timeline(Fitted):
    """Knows when items came out."""

    date: Tensor  # [I] float32, standardised; all 0 if it is not known when items came out
    period: Tensor  # [I] int32

    def __init__(self, items: int):
        """Build with empty buffers."""
        super().__init__()
        self.register_buffer("date", torch.zeros(items))
        self.register_buffer("period", torch.zeros(items, dtype=torch.int32))

    def in_time(self, past: Past, past_item: Tensor, target: Tensor) -> list[Tensor]:
        """Return what a history has of the time of each target.

        Args:
            past: the histories.
            past_item: [u, L] int64 item indexes.
            target: [u, T] int64 item indexes.

        Returns:
            the share of the history that is from later periods, the share from about the same time, and the mean
            residual of the same period, [u, T] each.

        """
        then, now = self.period[past_item].long(), self.period[target].long()
        count, residual = (past.count.new_zeros(len(past.row), PERIODS) for _ in range(2))
        count.scatter_add_(1, then, past.present)
        residual.scatter_add_(1, then, past.residual)
        share = count / past.count
        around = pad(share, (1, 1)).unfold(1, 3, 1).sum(2)
        of_period = 1.0 - share.cumsum(1), around, residual / (count + DAMPING)
        return [column.gather(1, now) for column in of_period]

    def of_franchise(self, past: Past, target: Tensor, similar: Similar, count: Tensor) -> list[Tensor]:
        """Return what a user knows of the franchise of each target.

        Args:
            past: the histories.
            target: [u, T] int64 item indexes.
            similar: items with similar titles.
            count: [I] float32, number of ratings of each item.

        Returns:
            numbers of parts before and after the target that the user has rated, and has not rated; mean, highest and
            lowest deviation of the ratings; and the time since the last rated part before it, [u, T] each.

        """
        seen = similar.rated_parts().float()
        neighbour = similar.neighbour.clamp(min=0)  # those that there are not count as no parts
        missing = (similar.parts().float() - seen) * rows_of((count / WELL_KNOWN).clamp(max=1.0), neighbour)
        rated = similar.of_past((past.residual + past.bias) * past.present) * seen
        gap = self.date[target][..., None] - rows_of(self.date, neighbour)
        before, after = (gap > 0).float(), (gap < 0).float()
        since = torch.where(seen * before > 0, gap, NO_GAP).amin(2)
        return [
            *((parts * side).sum(2) for parts in (seen, missing) for side in (before, after)),
            rated.sum(2) / (seen.sum(2) + 0.5),
            rated.amax(2),
            rated.amin(2),
            since,
        ]


def fit_timeline(date: Tensor, rated: Tensor) -> dict[str, Tensor]:
    """Return the buffers of `Timeline`: standardised dates [I], and whether the item has training ratings [I] bool."""
    some = date[rated] if rated.any() else date
    edges = torch.quantile(some, torch.linspace(0.0, 1.0, PERIODS + 1)[1:-1])
    return {"date": date, "period": torch.bucketize(date, edges).int()}
