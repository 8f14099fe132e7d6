"""The columns of users or items that a model takes in: numbers, and values of categories.

Legend: B pairs, T rows of the table (users or items), F numbers, V values of a column's vocabulary, M most values
that a row has of a column (1 for a category).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from widedeep.data.feature_tables import FeatureTable


class Columns(nn.Module):
    """Numbers and codes of all users or of all items, looked up by position."""

    numbers: Tensor  # [T, F] float32
    codes: Tensor  # [T, sum of M] int32, V where a row has fewer values

    def __init__(self, rows: int, numbers: int, vocabularies: dict[str, int], values: dict[str, int]):
        """Build with empty buffers.

        Args:
            rows: T.
            numbers: F.
            vocabularies: column -> V.
            values: column -> M.

        """
        super().__init__()
        self.vocabularies, self.values = vocabularies, values
        self.register_buffer("numbers", torch.zeros(rows, numbers))
        self.register_buffer("codes", torch.zeros(rows, sum(values.values()), dtype=torch.int32))

    @classmethod
    def of_shape(cls, side: str, shape: dict[str, int], rows: int) -> "Columns":
        """Columns as `describe` found them."""
        prefix = f"{side}.values."
        names = [key.removeprefix(prefix) for key in shape if key.startswith(prefix)]
        vocabularies = {name: shape[f"{side}.vocabulary.{name}"] for name in names}
        return cls(rows, shape[f"{side}.numbers"], vocabularies, {name: shape[prefix + name] for name in names})

    def look_up_numbers(self, position: Tensor) -> Tensor:
        """[B] -> [B, F]."""
        return self.numbers.index_select(0, position)

    def look_up(self, position: Tensor) -> dict[str, Tensor]:
        """[B] -> by column [B, M] int32."""
        if not self.values:
            return {}
        codes = self.codes.index_select(0, position).split(list(self.values.values()), dim=1)
        return dict(zip(self.values, codes, strict=True))


class Values(nn.EmbeddingBag):
    """An embedding for each value of a column; of several values the mean, of none zeros.

    Vocabularies are small beside users and items, so these weights are dense ones.
    """

    def __init__(self, vocabulary: int, width: int, sd: float):
        super().__init__(vocabulary + 1, width, mode="mean", padding_idx=vocabulary)
        with torch.no_grad():
            self.weight.normal_(std=sd)
            self.weight[vocabulary].zero_()


class Embedded(nn.Module):
    """The values of some columns, each as an embedding."""

    def __init__(self, columns: Sequence[str], vocabularies: dict[str, int], width: int, sd: float):
        super().__init__()
        self.columns, self.width = columns, len(columns) * width
        self.values = nn.ModuleList(Values(vocabularies[name], width, sd) for name in columns)

    def forward(self, codes: dict[str, Tensor]) -> list[Tensor]:
        """By column [B, M] -> for each of the columns [B, width]."""
        return [values(codes[name]) for name, values in zip(self.columns, self.values, strict=True)]


def describe(
    side: str, table: FeatureTable, numbers: Sequence[str], names: Sequence[str], multi_hot: Sequence[str] = ()
) -> tuple[dict[str, int], dict[str, Tensor]]:
    """What `Columns` of a table are built with and filled with.

    Args:
        side: under what name the model holds them.
        table: where they are.
        numbers: columns of numbers.
        names: category and multi-valued columns, as codes.
        multi_hot: multi-valued columns to be numbers, a 0 or 1 for each value.

    Returns:
        Parts of the shape and of the buffers.

    """
    names = list(dict.fromkeys(names))
    coded = [table.category_ids(name) for name in names]
    values = torch.cat([table.numeric(numbers), *(table.multi_hot(name) for name in multi_hot)], dim=1)
    trained = torch.from_numpy(table.values("train_ratings") > 0)
    shape = {f"{side}.numbers": values.shape[1]}
    shape |= {f"{side}.vocabulary.{name}": table.vocabulary_size(name) for name in names}
    shape |= {f"{side}.values.{name}": codes.shape[1] for name, codes in zip(names, coded, strict=True)}
    codes = torch.cat(coded, dim=1) if coded else torch.zeros(table.rows, 0, dtype=torch.int32)
    return shape, {f"{side}.numbers": standardised(values, trained), f"{side}.codes": codes}


def standardised(values: Tensor, trained: Tensor) -> Tensor:
    """Columns at mean 0 and standard deviation 1 over the trained rows; constant ones at 0.

    Args:
        values: [T, F] float32.
        trained: [T] bool.

    """
    known = values[trained].double()
    if not known.numel():
        return torch.zeros_like(values)
    mean, sd = known.mean(0), known.std(0, correction=0)
    constant = sd < 1e-6 * (1 + mean.abs())
    scaled = (values - mean) / torch.where(constant, 1.0, sd)
    return torch.where(constant, 0.0, scaled).float()
