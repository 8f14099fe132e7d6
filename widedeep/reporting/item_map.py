"""Put the most rated items on a map, by the learnt vectors that `widedeep similar` compares.

Legend: n items on the map, D width of a vector, V values of a column.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from widedeep.data.feature_tables import FeatureTable
from widedeep.schema.manifest import RESERVED_VALUES
from widedeep.schema.run_report import ItemMap, MappedItem
from widedeep.scoring.vectors import TrainedModel

MAPPED_ITEMS = 2000
LEAST_ITEMS = 3  # two are on a line whatever their vectors are

Floats = NDArray[np.float64]


def map_items(trained: TrainedModel, most: int = MAPPED_ITEMS) -> ItemMap | None:
    """Return the map of the `most` items with most training ratings; None if fewer than three have any."""
    counts, table = trained.artifact.item_ratings, trained.table("items")
    chosen = np.argsort(-counts, kind="stable")[:most]
    chosen = chosen[counts[chosen] > 0]
    if len(chosen) < LEAST_ITEMS:
        return None
    places, variance = principal_plane(trained.vectors_of("items", chosen).numpy().astype(np.float64))
    column = grouping_column(table)
    groups = most_frequent_values(table, column, chosen) if column else [None] * len(chosen)
    ids = [str(id) if isinstance(id, str) else int(id) for id in trained.artifact.item_id[chosen]]
    titles = table.strings("title") if table.has("title") else None
    items = (
        MappedItem(
            item_id=id,
            title=(titles[index] if titles else "") or str(id),
            group=group,
            train_ratings=int(counts[index]),
            x=round(float(x), 4),
            y=round(float(y), 4),
        )
        for index, id, group, (x, y) in zip(chosen.tolist(), ids, groups, places, strict=True)
    )
    return ItemMap(grouped_by=column, variance=variance, items=tuple(items))


def principal_plane(vectors: Floats) -> tuple[Floats, tuple[float, float]]:
    """Project vectors on the plane in which they vary most (principal component analysis; Pearson, 1901).

    Args:
        vectors: [n, D].

    Returns:
        [n, 2] places, with the longest coordinate of each axis positive, so that the picture is always the same; and
        the shares of the variance along both axes.

    """
    centred = vectors - vectors.mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2))
    axes = min(2, len(lengths))
    places[:, :axes] = left[:, :axes] * lengths[:axes]
    longest = places[np.abs(places).argmax(axis=0), [0, 1]]
    shares = lengths**2 / max(float((lengths**2).sum()), 1e-300)
    along = [float(share) for share in (*shares[:2], 0.0, 0.0)[:2]]
    return places * np.where(longest < 0, -1.0, 1.0), (along[0], along[1])


def grouping_column(table: FeatureTable) -> str | None:
    """Return the multi-valued column with the fewest values: of anime the genres; None if there is none."""
    columns = table.table.of_kind("multi_hot")
    return min(columns, key=table.vocabulary_size, default=None)


def most_frequent_values(table: FeatureTable, column: str, chosen: np.ndarray) -> list[str | None]:
    """Return of each chosen item, [n] indexes, that of its values which most chosen items have; None without any."""
    named = [*table.vocabulary(column), ""]  # the last one pads
    rows = [
        [named[number] for number in ids if named[number] not in RESERVED_VALUES]
        for ids in table.category_ids(column)[chosen.astype(np.int64)].tolist()
    ]
    frequency = Counter(value for row in rows for value in row)
    return [max(row, key=lambda value: (frequency[value], value), default=None) for row in rows]
