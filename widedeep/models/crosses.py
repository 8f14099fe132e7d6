"""Crossed columns: a weight for each pair of values.

Legend: B pairs of a user and an item or B of either, V values of a column, M most values that a row has of it.
"""

import torch
from torch import Tensor, nn

from widedeep.models.feature_inputs import Values

# Odd 64-bit numbers: multiples of the golden ratio and of the square roots of 2 and 3, as fractions of 2^64.
USER_FACTOR, ITEM_FACTOR, MIX = 0x1E3779B97F4A7C15, 0x6A09E667F3BCC909, 0x3B67AE8584CAA73B


def pair_buckets(user: Tensor, item: Tensor, buckets: int) -> Tensor:
    """The bucket that a pair is hashed to.

    Args:
        user: [...] int, 0 for one without training ratings, else the row of the embedding and 1.
        item: [...] int, likewise; both broadcast.
        buckets: how many, below 2^31.

    Returns:
        [...] int64 below `buckets`; `buckets` itself where there is a 0.

    """
    user, item = user.long(), item.long()
    mixed = user * USER_FACTOR + item * ITEM_FACTOR  # int64 wraps around
    mixed = (mixed ^ (mixed >> 32)) * MIX
    bits = (mixed >> 33) & 0x7FFFFFFF
    known = (user > 0) & (item > 0)
    return torch.where(known, (bits * buckets) >> 31, buckets)


def shares(codes: Tensor, vocabulary: int) -> Tensor:
    """Each value's share of a row's values: [B, M] codes, V where there is none -> [B, V] float32."""
    spread = torch.zeros(len(codes), vocabulary + 1, device=codes.device)
    spread.scatter_add_(1, codes.long(), torch.ones(codes.shape, device=codes.device))
    counts = (codes < vocabulary).sum(1, keepdim=True).clamp_(min=1)
    return spread[:, :vocabulary] / counts


def crossed(first: Tensor, second: Tensor, sizes: tuple[int, int]) -> Tensor:
    """All pairs of a row's values of two columns.

    Args:
        first: [B, M1] codes, V1 where there is none.
        second: [B, M2] codes, V2 where there is none.
        sizes: V1 and V2.

    Returns:
        [B, M1 M2] codes, V1 V2 where either is none.

    """
    one, two = first[:, :, None], second[:, None]
    known = (one < sizes[0]) & (two < sizes[1])
    return torch.where(known, one * sizes[1] + two, sizes[0] * sizes[1]).flatten(1)


class SameSide(nn.Module):
    """Weights of one side's values and of its crosses: what they sum to is the side's alone."""

    def __init__(self, columns: list[str], crosses: list[tuple[str, str]], vocabularies: dict[str, int]):
        """Weights start at 0.

        Args:
            columns: those with a weight for each value.
            crosses: pairs of columns with a weight for each pair of values.
            vocabularies: column -> V.

        """
        super().__init__()
        self.columns, self.crosses = columns, crosses
        self.sizes = {cross: (vocabularies[cross[0]], vocabularies[cross[1]]) for cross in crosses}
        counts = [vocabularies[name] for name in columns] + [one * two for one, two in self.sizes.values()]
        self.weights = nn.ModuleList(Values(count, 1, 0.0) for count in counts)

    def forward(self, codes: dict[str, Tensor]) -> Tensor | None:
        """By column [B, M] -> [B, 1]; None without any column."""
        inputs = [codes[name] for name in self.columns]
        inputs += [crossed(codes[one], codes[two], self.sizes[one, two]) for one, two in self.crosses]
        terms = [weights(values) for weights, values in zip(self.weights, inputs, strict=True)]
        return torch.stack(terms).sum(0) if terms else None


class BothSides(nn.Module):
    """Crosses of a user's with an item's column: a dot product.

    The user brings the weights of all the item column's values, given his own; the item brings its values' shares.
    Crosses with the same item column share its place in the product.
    """

    def __init__(self, crosses: list[tuple[str, str]], users: dict[str, int], items: dict[str, int]):
        """Weights start at 0.

        Args:
            crosses: pairs of a user's and an item's column.
            users: a user's column -> V.
            items: an item's column -> V.

        """
        super().__init__()
        self.crosses = crosses
        self.sizes = {item: items[item] for item in dict.fromkeys(item for _, item in crosses)}
        self.weights = nn.ModuleList(Values(users[user], items[item], 0.0) for user, item in crosses)
        self.width = sum(self.sizes.values())

    def of_users(self, codes: dict[str, Tensor]) -> Tensor | None:
        """By column [B, M] -> [B, width]."""
        found = [weights(codes[user]) for weights, (user, _) in zip(self.weights, self.crosses, strict=True)]
        sums = [
            torch.stack([part for part, (_, item) in zip(found, self.crosses, strict=True) if item == name]).sum(0)
            for name in self.sizes
        ]
        return torch.cat(sums, dim=1) if sums else None

    def of_items(self, codes: dict[str, Tensor]) -> Tensor | None:
        """By column [B, M] -> [B, width]."""
        parts = [shares(codes[name], size) for name, size in self.sizes.items()]
        return torch.cat(parts, dim=1) if parts else None
