"""How a history stands to the genres, studios and other attributes of a target.

Legend: I items, V values of all columns together, M values that an item has at most, all columns together; u users, T
targets, L ratings of a history.
"""

import torch
from torch import Tensor

from widedeep.models.feature_inputs import FeatureLookup
from widedeep.models.history.fitted import Fitted
from widedeep.models.history.lookups import rows_of
from widedeep.models.history.past import Past

LEAST_SHARE = 1e-4  # of the items, that have a value
DAMPING = 3.0  # of the mean residual of a value, in ratings


class Tastes(Fitted):
    """Compares histories with targets by attributes."""

    codes: Tensor  # [I, M] int32, values of all columns numbered together, V where an item has fewer
    share: Tensor  # [V] float32, of the rated items that have the value

    def __init__(self, items: int, columns: FeatureLookup):
        """Build with empty buffers for the columns of a lookup."""
        super().__init__()
        self.slots = list(columns.values.values())  # M of each column
        self.register_buffer("codes", torch.zeros(items, sum(self.slots), dtype=torch.int32))
        self.register_buffer("share", torch.zeros(sum(columns.vocabularies.values())))

    def forward(self, past: Past, past_item: Tensor, target: Tensor) -> Tensor:
        """Return two numbers for each column, means over the values of a target.

        Args:
            past: the histories.
            past_item: [u, L] int64 item indexes.
            target: [u, T] int64 item indexes.

        Returns:
            [u, T, columns x 2]: log of how much more often the history has the value than the rated items have it, and
            the mean residual of the ratings of items with this value.

        """
        values, users = len(self.share), len(past.row)
        code = rows_of(self.codes, past_item).long()  # [u, L, M]
        count, residual = (
            column.new_zeros(users, values + 1).scatter_add_(
                1, code.flatten(1), column.repeat_interleave(code.shape[2], 1)
            )
            for column in (past.present, past.residual)
        )
        share = torch.cat([self.share, self.share.new_ones(1)])
        lift = ((count + share) / (past.count + 1.0) / share).log()
        both = torch.stack([lift, residual / (count + DAMPING)], dim=-1)  # [u, V + 1, 2]
        both[:, values] = 0.0
        of_target = rows_of(self.codes, target).long()  # [u, T, M]
        first = (values + 1) * torch.arange(users, device=target.device)[:, None, None]
        found = rows_of(both.flatten(0, 1), first + of_target)  # [u, T, M, 2]
        there = (of_target < values).float()
        parts = zip(found.split(self.slots, 2), there.split(self.slots, 2), strict=True)
        means = [part.sum(2) / has.sum(2, keepdim=True).clamp(min=1.0) for part, has in parts]
        return torch.cat([found.new_zeros(*target.shape, 0), *means], dim=-1)


def fit_tastes(codes: Tensor, vocabularies: dict[str, int], values: dict[str, int], rated: Tensor) -> dict[str, Tensor]:
    """Return the buffers of `Tastes`.

    Args:
        codes: [I, M] int32, those of a `FeatureLookup`: each column has values of its own.
        vocabularies: column -> number of values.
        values: column -> how many an item has at most.
        rated: [I] bool, whether the item has training ratings.

    """
    total, first, joint = sum(vocabularies.values()), 0, []
    for column, own in zip(vocabularies, codes.split(list(values.values()), dim=1), strict=True):
        joint.append(torch.where(own < vocabularies[column], own + first, total))
        first += vocabularies[column]
    numbered = torch.cat([codes[:, :0], *joint], dim=1).int()
    having = torch.bincount(numbered[rated].flatten().long(), minlength=total + 1)[:total]
    return {"codes": numbered, "share": having / max(1, int(rated.sum())) + LEAST_SHARE}
