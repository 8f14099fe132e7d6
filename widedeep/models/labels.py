"""What rows and columns of weights stand for, by which a model of later data takes them over."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Vocabularies = Mapping[str, Sequence[str]]  # column -> values
# Name of a tensor -> axis -> labels of its first entries. Entries without a label stand for nothing that another model
# knows. Axes that are not named are the same in all models of equal settings.
Labels = dict[str, dict[int, Sequence[Hashable] | np.ndarray]]


class DataNames(NamedTuple):
    """The ids and values in the data of a model."""

    user_id: np.ndarray  # [U] int64 or texts, by user index
    item_id: np.ndarray  # [I] int64 or texts, by item index
    users: Vocabularies
    items: Vocabularies


def values_of(column: str, vocabularies: Vocabularies) -> list[Hashable]:
    """Return the labels of a column's values where several columns stand side by side."""
    return [(column, value) for value in vocabularies[column]]
