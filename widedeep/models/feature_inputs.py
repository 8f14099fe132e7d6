"""The features of users or items that a model reads: numbers and category ids.

Legend: B pairs, T rows of the table (users or items), F numbers, V values of a column's vocabulary, M largest number of
values that a row has in a column (1 for a category).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from widedeep.data.feature_tables import FeatureTable
from widedeep.models.labels import Labels, Vocabularies

# The sizes that a model is built with, and the buffers that it is filled with, both by name.
ModelInputs = tuple[dict[str, int], dict[str, Tensor]]


class FeatureLookup(nn.Module):
    """Looks up the numbers and category ids of users or of items by their index."""

    numbers: Tensor  # [T, F] float32
    codes: Tensor  # [T, sum of M] int32 category ids, V where a row has fewer values; stored models know this name

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
    def from_shape(cls, side: str, shape: dict[str, int], rows: int) -> "FeatureLookup":
        """Build the lookup whose sizes `feature_spec` put into a model's shape under the name `side`."""
        prefix = f"{side}.values."
        names = [key.removeprefix(prefix) for key in shape if key.startswith(prefix)]
        vocabularies = {name: shape[f"{side}.vocabulary.{name}"] for name in names}
        return cls(rows, shape[f"{side}.numbers"], vocabularies, {name: shape[prefix + name] for name in names})

    def look_up_numbers(self, index: Tensor) -> Tensor:
        """Return the numbers of users or items: [B] int32 indexes -> [B, F] float32."""
        return self.numbers.index_select(0, index)

    def look_up_categories(self, index: Tensor) -> dict[str, Tensor]:
        """Return the category ids of users or items: [B] int32 indexes -> column -> [B, M] int32."""
        if not self.values:
            return {}
        columns = self.codes.index_select(0, index).split(list(self.values.values()), dim=1)
        return dict(zip(self.values, columns, strict=True))


class ValueEmbedding(nn.EmbeddingBag):
    """An embedding of a column: the mean over a row's values, zeros for a row without values.

    Vocabularies are small compared with the number of users and items, so the weights are dense.
    """

    def __init__(self, vocabulary: int, width: int, sd: float):
        super().__init__(vocabulary + 1, width, mode="mean", padding_idx=vocabulary)
        with torch.no_grad():
            self.weight.normal_(std=sd)
            self.weight[vocabulary].zero_()


class EmbeddedColumns(nn.Module):
    """Embeddings of several columns."""

    def __init__(self, columns: Sequence[str], vocabularies: dict[str, int], width: int, sd: float):
        super().__init__()
        self.columns, self.width = columns, len(columns) * width
        self.values = nn.ModuleList(ValueEmbedding(vocabularies[name], width, sd) for name in columns)

    def forward(self, categories: dict[str, Tensor]) -> list[Tensor]:
        """Embed columns: column -> [B, M] category ids; returns [B, width] for each column."""
        return [values(categories[name]) for name, values in zip(self.columns, self.values, strict=True)]

    def labels(self, module: str, vocabularies: Vocabularies) -> Labels:
        """Return the labels of the embeddings' rows; `module` is the name of this one in the model."""
        return {f"{module}.values.{n}.weight": {0: vocabularies[name]} for n, name in enumerate(self.columns)}


def feature_spec(
    side: str, table: FeatureTable, numbers: Sequence[str], names: Sequence[str], multi_hot: Sequence[str] = ()
) -> ModelInputs:
    """Return the sizes and the buffers of a `FeatureLookup` for a table.

    Args:
        side: the name of the lookup in the model; a prefix of all names in the result.
        table: the features of users or of items.
        numbers: columns of numbers.
        names: category and multi-valued columns, to be looked up as category ids.
        multi_hot: multi-valued columns to be looked up as numbers, 0 or 1 for each value.

    """
    names = list(dict.fromkeys(names))
    by_column = [table.category_ids(name) for name in names]  # [T, M] each
    values = torch.cat([table.numeric(numbers), *(table.multi_hot(name) for name in multi_hot)], dim=1)
    trained = torch.from_numpy(table.values("train_ratings") > 0)
    shape = {f"{side}.numbers": values.shape[1]}
    shape |= {f"{side}.vocabulary.{name}": table.vocabulary_size(name) for name in names}
    shape |= {f"{side}.values.{name}": ids.shape[1] for name, ids in zip(names, by_column, strict=True)}
    ids = torch.cat(by_column, dim=1) if by_column else torch.zeros(table.rows, 0, dtype=torch.int32)
    return shape, {f"{side}.numbers": standardise(values, trained), f"{side}.codes": ids}


def merge_inputs(*parts: ModelInputs) -> ModelInputs:
    """Return all sizes and all buffers of several parts of a model."""
    shape, buffers = {}, {}
    for more_sizes, more_buffers in parts:
        shape |= more_sizes
        buffers |= more_buffers
    return shape, buffers


def standardise(values: Tensor, trained: Tensor) -> Tensor:
    """Shift and scale columns to mean 0 and standard deviation 1 over the trained rows; constant columns become 0.

    Args:
        values: [T, F] float32.
        trained: [T] bool, whether the row has training ratings.

    """
    known = values[trained].double()
    if not known.numel():
        return torch.zeros_like(values)
    mean, sd = known.mean(0), known.std(0, correction=0)
    constant = sd < 1e-6 * (1 + mean.abs())
    scaled = (values - mean) / torch.where(constant, 1.0, sd)
    return torch.where(constant, 0.0, scaled).float()
