"""The architectures by name."""

from widedeep.models.base import Recommender
from widedeep.models.factorised import Factorised
from widedeep.models.genre_hybrid import GenreHybrid
from widedeep.models.ncf import NCF
from widedeep.models.recommender_net import RecommenderNet
from widedeep.models.wide_deep import WideDeep
from widedeep.models.wide_deep_cross import WideDeepCross
from widedeep.models.wide_deep_features import WideDeepFeatures

REGISTRY: dict[str, type[Factorised]] = {
    "wide_deep": WideDeep,
    "wide_deep_features": WideDeepFeatures,
    "wide_deep_cross": WideDeepCross,
    "genre_hybrid": GenreHybrid,
    "ncf": NCF,
    "recommender_net": RecommenderNet,
}

__all__ = [
    "NCF",
    "REGISTRY",
    "GenreHybrid",
    "Recommender",
    "RecommenderNet",
    "WideDeep",
    "WideDeepCross",
    "WideDeepFeatures",
]
