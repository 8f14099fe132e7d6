"""Crossed columns: a weight for each pair of values.

Legend: B pairs of a user and an item, or users or items; V values of a column, M largest number of values that a row
has in a column.
"""

from itertools import product

import torch
from torch import Tensor, nn

from widedeep.common.errors import InputError
from widedeep.models.feature_inputs import ValueEmbedding
from widedeep.models.labels import Labels, Vocabularies

# A cross of two columns.
Cross = tuple[str, str]

# Odd 64-bit multipliers: the golden ratio and the square roots of 2 and 3, as fractions of 2^64.
USER_FACTOR, ITEM_FACTOR, MIX_FACTOR = 0x1E3779B97F4A7C15, 0x6A09E667F3BCC909, 0x3B67AE8584CAA73B


def pair_buckets(user: Tensor, item: Tensor, buckets: int) -> Tensor:
    """Return the bucket that each pair of keys is hashed to.

    Args:
        user: [...] int user keys: 0 for a cold user, otherwise 1 + the row in the embedding table.
        item: [...] int item keys, likewise; both broadcast.
        buckets: number of buckets, below 2^31.

    Returns:
        [...] int64 below `buckets`; `buckets` itself for pairs with a cold user or item.

    """
    user, item = user.long(), item.long()
    mixed = user * USER_FACTOR + item * ITEM_FACTOR  # int64 wraps around
    mixed = (mixed ^ (mixed >> 32)) * MIX_FACTOR
    bits = (mixed >> 33) & 0x7FFFFFFF
    known = (user > 0) & (item > 0)
    return torch.where(known, (bits * buckets) >> 31, buckets)


def value_shares(ids: Tensor, vocabulary: int) -> Tensor:
    """Return each value's share of a row's values: [B, M] category ids, V for no value -> [B, V] float32."""
    counts = torch.zeros(len(ids), vocabulary + 1, device=ids.device)
    counts.scatter_add_(1, ids.long(), torch.ones(ids.shape, device=ids.device))
    total = (ids < vocabulary).sum(1, keepdim=True).clamp_(min=1)
    return counts[:, :vocabulary] / total


def cross_ids(first: Tensor, second: Tensor, sizes: tuple[int, int]) -> Tensor:
    """Return the ids of all pairs of a row's values in two columns.

    Args:
        first: [B, M1] category ids, V1 for no value.
        second: [B, M2] category ids, V2 for no value.
        sizes: V1 and V2.

    Returns:
        [B, M1 M2] ids of pairs, V1 V2 for no pair.

    """
    one, two = first[:, :, None], second[:, None]
    known = (one < sizes[0]) & (two < sizes[1])
    return torch.where(known, one * sizes[1] + two, sizes[0] * sizes[1]).flatten(1)


def sort_crosses(crosses: tuple[str, ...], users: set[str], items: set[str]) -> tuple[list[Cross], ...]:
    """Split crosses into those of two user columns, of two item columns, and of both (the user column first).

    Args:
        crosses: crosses such as gender*genres.
        users: category and multi-hot columns of users.
        items: category and multi-hot columns of items.

    Raises:
        InputError: a cross names an unknown column.

    """
    of_users, of_items, of_both = [], [], []
    for cross in crosses:
        one, two = cross.split("*")
        if one in users and two in users:
            of_users.append((one, two))
        elif one in items and two in items:
            of_items.append((one, two))
        elif one in users | items and two in users | items:
            of_both.append((one, two) if one in users else (two, one))
        else:
            raise InputError(
                f"model.crosses: {cross} is of no category or multi-hot columns of users ({', '.join(sorted(users))}) "
                f"and items ({', '.join(sorted(items))})"
            )
    return of_users, of_items, of_both


class OneSideWeights(nn.Module):
    """A linear model of one side: weights for the values of its columns and of its crosses."""

    def __init__(self, columns: list[str], crosses: list[Cross], vocabularies: dict[str, int]):
        """Build with weights of 0.

        Args:
            columns: columns with a weight for each value.
            crosses: crosses with a weight for each pair of values.
            vocabularies: column -> V.

        """
        super().__init__()
        self.columns, self.crosses = columns, crosses
        self.sizes = {cross: (vocabularies[cross[0]], vocabularies[cross[1]]) for cross in crosses}
        counts = [vocabularies[name] for name in columns] + [one * two for one, two in self.sizes.values()]
        self.weights = nn.ModuleList(ValueEmbedding(count, 1, 0.0) for count in counts)

    def forward(self, categories: dict[str, Tensor]) -> Tensor | None:
        """Sum the weights of rows: column -> [B, M] category ids; returns [B, 1], or None without any column."""
        inputs = [categories[name] for name in self.columns]
        inputs += [cross_ids(categories[one], categories[two], self.sizes[one, two]) for one, two in self.crosses]
        terms = [weights(ids) for weights, ids in zip(self.weights, inputs, strict=True)]
        return torch.stack(terms).sum(0) if terms else None

    def labels(self, module: str, vocabularies: Vocabularies) -> Labels:
        """Return the labels of the weights; `module` is the name of this one in the model."""
        values = [vocabularies[name] for name in self.columns]
        pairs = [list(product(vocabularies[one], vocabularies[two])) for one, two in self.crosses]
        return {f"{module}.weights.{n}.weight": {0: labels} for n, labels in enumerate([*values, *pairs])}


class UserItemCrosses(nn.Module):
    """Crosses of a user column with an item column, computed as a dot product.

    A user's vector has, for each value of the item column, its weight given the user's values. An item's vector has
    each value's share of the item's values. Crosses with the same item column are summed in the user's vector.
    """

    def __init__(self, crosses: list[Cross], users: dict[str, int], items: dict[str, int]):
        """Build with weights of 0.

        Args:
            crosses: pairs of a user column and an item column.
            users: user column -> V.
            items: item column -> V.

        """
        super().__init__()
        self.crosses = crosses
        self.sizes = {item: items[item] for item in dict.fromkeys(item for _, item in crosses)}
        self.weights = nn.ModuleList(ValueEmbedding(users[user], items[item], 0.0) for user, item in crosses)
        self.width = sum(self.sizes.values())

    def user_weights(self, categories: dict[str, Tensor]) -> Tensor | None:
        """Return the vectors of users: column -> [B, M] category ids; returns [B, width], None without crosses."""
        by_cross = [weights(categories[user]) for weights, (user, _) in zip(self.weights, self.crosses, strict=True)]
        sums = [
            torch.stack([part for part, (_, item) in zip(by_cross, self.crosses, strict=True) if item == name]).sum(0)
            for name in self.sizes
        ]
        return torch.cat(sums, dim=1) if sums else None

    def item_shares(self, categories: dict[str, Tensor]) -> Tensor | None:
        """Return the vectors of items: column -> [B, M] category ids; returns [B, width], None without crosses."""
        parts = [value_shares(categories[name], size) for name, size in self.sizes.items()]
        return torch.cat(parts, dim=1) if parts else None

    def labels(self, module: str, users: Vocabularies, items: Vocabularies) -> Labels:
        """Return the labels of the weights; `module` is the name of this one in the model."""
        return {
            f"{module}.weights.{n}.weight": {0: users[user], 1: items[item]}
            for n, (user, item) in enumerate(self.crosses)
        }
