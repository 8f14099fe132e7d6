"""The architectures by name."""

from widedeep.models.base import Recommender
from widedeep.models.wide_deep import WideDeep

REGISTRY: dict[str, type[WideDeep]] = {"wide_deep": WideDeep}

__all__ = ["REGISTRY", "Recommender", "WideDeep"]
