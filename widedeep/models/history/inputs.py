"""The tensors of the model that are not trained: read from prepared data, or fitted to it in closed form.

Legend: I items, A rated items (with training ratings), R = A + 1 rows (the last for all unrated items), U users, G
genres, n training ratings.
"""

import numpy as np
import torch
from torch import Tensor

from widedeep.common.console import log
from widedeep.data.feature_tables import FeatureTable, Tables
from widedeep.data.rating_matrices import preference
from widedeep.models.feature_inputs import FeatureLookup, ModelInputs, feature_spec, standardise
from widedeep.models.history.factors import fit_factors, random_start
from widedeep.models.history.ledger import RatingLedger, TrainingRatings, fit_ledger
from widedeep.models.history.people import fit_people
from widedeep.models.history.settings import WideDeepHistoryConfig
from widedeep.models.history.sparse import fit_sparse
from widedeep.models.history.statistics import fit_statistics
from widedeep.models.history.tastes import fit_tastes
from widedeep.models.history.timeline import fit_timeline
from widedeep.models.history.titles import fit_titles
from widedeep.models.history.wide import fit_crosses


class Ledger(RatingLedger):
    """The histories of the users of the data, and by what their items are compared beside ratings."""

    genres: Tensor  # [I, G] float32, each row of length 1 or 0
    fame: Tensor  # [I] float32, log of 1 + how many people know the item, 0 where that is not known

    def __init__(self, shape: dict[str, int]):
        """Build with empty buffers."""
        super().__init__(shape)
        self.register_buffer("genres", torch.zeros(shape["items"], shape["genres"]))
        self.register_buffer("fame", torch.zeros(shape["items"]))


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
    items = tables.items
    shape, ledger, ratings = fit_ledger(tables)
    genres = items.multi_hot(config.genres) if config.genres else torch.zeros(items.rows, 0)
    shape["genres"] = genres.shape[1]
    ledger["genres"] = genres / genres.norm(dim=1, keepdim=True).clamp(min=1.0)
    ledger["fame"] = _log_fame(config, items)
    sizes, buffers = feature_spec("terms.columns", items, config.numbers, (*config.columns, *config.kinds))
    lookup = FeatureLookup.from_shape("terms.columns", sizes, items.rows)
    trained = ledger["row_of"] < shape["rows"] - 1
    date = items.numeric([config.release] if config.release else []).sum(1)
    parts = {
        "ledger": ledger,
        "timeline": fit_timeline(standardise(date[:, None], trained)[:, 0], trained),
        "tastes": fit_tastes(buffers["terms.columns.codes"], lookup.vocabularies, lookup.values, trained),
    }
    ids = items.values("item_id")[ledger["item_of"][:-1].numpy()]
    parts |= _closed_forms(config, tables, ratings, ids, (shape["users"], shape["rows"]))
    if "people" in parts:
        shape["people"] = len(parts["people"]["user"])
    named = {f"terms.{part}.{name}": tensor for part, fit in parts.items() for name, tensor in fit.items()}
    return shape | sizes, buffers | named


def _log_fame(config: WideDeepHistoryConfig, items: FeatureTable) -> Tensor:
    if not config.fame:
        return torch.zeros(items.rows)
    known = np.nan_to_num(items.unscaled(config.fame), nan=0.0).clip(min=0.0)
    return torch.from_numpy(np.log1p(known).astype(np.float32))


def _closed_forms(
    config: WideDeepHistoryConfig, tables: Tables, ratings: TrainingRatings, ids: np.ndarray, shape: tuple[int, int]
) -> dict[str, dict[str, Tensor]]:
    """Fit the statistics of items, the item x item weights, the similarity of titles, people and latent factors."""
    weight = preference(ratings.rating, tables.scale)
    statistics = fit_statistics(ratings.user, ratings.row, ratings.rating, shape)
    optional = {}
    if config.user_neighbours:
        deviation = ratings.rating - statistics["mean"].numpy() - statistics["bias"].numpy()[ratings.row]
        optional["people"] = fit_people(ratings.user, ratings.row, deviation, shape, config.user_pool)
    if config.factors:
        start = random_start(ids, config.factors).to(tables.device)
        optional["factors"] = fit_factors(ratings.user, ratings.row, ratings.rating, start, config.folds)
    return optional | {
        "statistics": statistics,
        "crosses": fit_crosses(ratings.user, ratings.row, weight, shape, config.ridge, tables.device),
        "sparse": fit_sparse(
            *(ratings.user, ratings.row, weight, shape, config.folds),
            *(config.sparse_kept, config.sparse_l1, config.sparse_l2),
        ),
        "titles": fit_titles(tables.items.own_titles(), config.titles),
    }
