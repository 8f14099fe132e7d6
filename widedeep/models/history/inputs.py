"""The tensors of the model that are not trained: read from prepared data, or fitted to it in closed form.

Legend: I items, A rated items (with training ratings), R = A + 1 rows (the last for all unrated items), U users, G
genres, n training ratings.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from widedeep.common.console import log
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.data.rating_matrices import preference
from widedeep.models.feature_inputs import FeatureLookup, ModelInputs, feature_spec, standardise
from widedeep.models.history.fitted import Fitted
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.history.sparse import fit_sparse
from widedeep.models.history.statistics import fit_statistics
from widedeep.models.history.tastes import fit_tastes
from widedeep.models.history.timeline import fit_timeline
from widedeep.models.history.titles import fit_titles
from widedeep.models.history.wide import fit_crosses


class Ledger(Fitted):
    """The histories of the users of the data, and how rows and items are numbered."""

    start: Tensor  # [U + 1] int64; user j has the ratings from start[j] up to start[j + 1]
    row: Tensor  # [n] int32
    rating: Tensor  # [n] float32
    row_of: Tensor  # [I] int32, A for unrated items
    item_of: Tensor  # [R] int32, 0 for the last row
    genres: Tensor  # [I, G] float32, each row of length 1 or 0
    fame: Tensor  # [I] float32, log of 1 + how many people know the item, 0 where that is not known

    def __init__(self, shape: dict[str, int]):
        """Build with empty buffers."""
        super().__init__()
        for name, size in (("row", "ratings"), ("row_of", "items"), ("item_of", "rows")):
            self.register_buffer(name, torch.zeros(shape[size], dtype=torch.int32))
        self.register_buffer("start", torch.zeros(shape["users"] + 1, dtype=torch.int64))
        self.register_buffer("rating", torch.zeros(shape["ratings"]))
        self.register_buffer("genres", torch.zeros(shape["items"], shape["genres"]))
        self.register_buffer("fame", torch.zeros(shape["items"]))

    def history(self, user: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Return the training ratings of users, of a longer history `longest` ratings at equal distances.

        Args:
            user: [u] int32 user indexes.
            longest: how many ratings to return at most.

        Returns:
            [u, L] int64 rows, the last one where a history is shorter; [u, L] float32 ratings.

        """
        first = self.start[user]
        count = (self.start[user + 1] - first)[:, None]
        place = torch.arange(min(longest, max(1, int(count.max()) if len(count) else 1)), device=user.device)
        stride = (count / len(place)).clamp(min=1.0)
        inside = place * stride < count
        index = (first[:, None] + (place * stride).long()).clamp(max=len(self.row) - 1)
        row = torch.where(inside, self.row[index].long(), len(self.item_of) - 1)
        return row, torch.where(inside, self.rating[index], 0.0)


class _Ratings(NamedTuple):
    """The training ratings, grouped by user."""

    user: np.ndarray  # [n] int64
    row: np.ndarray  # [n] int32
    rating: np.ndarray  # [n] float32


def with_known_columns(config: WideDeepHistoryConfig, items: FeatureTable) -> WideDeepHistoryConfig:
    """Return the settings without columns that the items do not have; log which ones are left out."""
    several = {name: getattr(config, name) for name in ("columns", "kinds", "numbers")}
    single = {name: getattr(config, name) for name in ("release", "fame", "genres")}
    wanted = [*(name for names in several.values() for name in names), *filter(None, single.values())]
    left_out = [name for name in dict.fromkeys(wanted) if not items.has(name)]
    if left_out:
        log.warning("the items have no %s: the model goes without", ", ".join(left_out))
    kept = {field: tuple(name for name in names if name not in left_out) for field, names in several.items()}
    kept |= {field: "" if name in left_out else name for field, name in single.items()}
    return config.model_copy(update=kept)


def fit_inputs(config: WideDeepHistoryConfig, tables: Tables) -> ModelInputs:
    """Return the sizes of the model, and its buffers by name."""
    histories, items = tables.user_histories(), tables.items
    rated = np.flatnonzero(items.values("train_ratings") > 0)
    row_of = np.full(items.rows, len(rated), np.int32)
    row_of[rated] = np.arange(len(rated))
    user = np.repeat(histories.user.numpy().astype(np.int64), histories.start.diff().numpy())
    ratings = _Ratings(user, row_of[histories.item.numpy()], histories.rating.numpy())
    genres = items.multi_hot(config.genres) if config.genres else torch.zeros(items.rows, 0)
    shape = {"users": tables.users.rows, "items": items.rows, "rows": len(rated) + 1}
    shape |= {"ratings": len(user), "genres": genres.shape[1]}
    ledger = {
        "start": torch.from_numpy(np.append(0, np.cumsum(np.bincount(user, minlength=tables.users.rows)))),
        "row": torch.from_numpy(ratings.row),
        "rating": histories.rating,
        "row_of": torch.from_numpy(row_of),
        "item_of": torch.from_numpy(np.append(rated, 0).astype(np.int32)),
        "genres": genres / genres.norm(dim=1, keepdim=True).clamp(min=1.0),
        "fame": _log_fame(config, items),
    }
    sizes, buffers = feature_spec("terms.columns", items, config.numbers, (*config.columns, *config.kinds))
    lookup = FeatureLookup.from_shape("terms.columns", sizes, items.rows)
    trained = torch.from_numpy(row_of < len(rated))
    date = items.numeric([config.release] if config.release else []).sum(1)
    parts = {
        "ledger": ledger,
        "timeline": fit_timeline(standardise(date[:, None], trained)[:, 0], trained),
        "tastes": fit_tastes(buffers["terms.columns.codes"], lookup.vocabularies, lookup.values, trained),
    }
    parts |= _closed_forms(config, tables, ratings, (tables.users.rows, len(rated) + 1))
    named = {f"terms.{part}.{name}": tensor for part, fit in parts.items() for name, tensor in fit.items()}
    return shape | sizes, buffers | named


def _log_fame(config: WideDeepHistoryConfig, items: FeatureTable) -> Tensor:
    if not config.fame:
        return torch.zeros(items.rows)
    known = np.nan_to_num(items.unscaled(config.fame), nan=0.0).clip(min=0.0)
    return torch.from_numpy(np.log1p(known).astype(np.float32))


def _closed_forms(
    config: WideDeepHistoryConfig, tables: Tables, ratings: _Ratings, shape: tuple[int, int]
) -> dict[str, dict[str, Tensor]]:
    """Fit the statistics of items, the item x item weights, and the similarity of titles."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weight = preference(ratings.rating, tables.scale)
    return {
        "statistics": fit_statistics(ratings.user, ratings.row, ratings.rating, shape),
        "crosses": fit_crosses(ratings.user, ratings.row, weight, shape, config.ridge, device),
        "sparse": fit_sparse(
            *(ratings.user, ratings.row, weight, shape), config.sparse_folds, config.sparse_l1, config.sparse_l2
        ),
        "titles": fit_titles(tables.items.strings("title"), config.titles),
    }
